#include "ecp/train/same_run.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/fields.h"

namespace ecp {
namespace {

constexpr std::array changeable{
    "train.steps",
    "train.minutes",
    "train.threads",
    "train.eval_every",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "train.sample_every",
    "train.sample_prompt",
    "train.sample_tokens",
    "eval.batch",
    "train.tensorboard",
    "train.activation_checkpointing",
    "train.memory_limit",
};

/// Every field of a configuration as (section.key, field).
class AllFields {
 public:
  explicit AllFields(Config& config) { config.visit(*this); }

  template <class Struct>
  void section(std::string_view name, Struct& part) {
    for (Field& field : FieldList(part).fields) {
      all.emplace_back(std::string(name) + "." + field.name, std::move(field));
    }
  }

  std::vector<std::pair<std::string, Field>> all;
};

void copy(const Field& from, const Field& to) {
  std::visit([&](auto* value) { *std::get<decltype(value)>(to.value) = *value; }, from.value);
}

}  // namespace

Config continued(const Config& stored, const Config& asked) {
  Config result = stored, other = asked;
  if (other.model.vocab == 0) other.model.vocab = stored.model.vocab;
  if (other.train.dtype == "auto") other.train.dtype = stored.train.dtype;  // whatever this machine has
  const AllFields ours(result), theirs(other);
  for (std::size_t i = 0; i < ours.all.size(); ++i) {
    const auto& [name, field] = ours.all[i];
    const Field& wanted = theirs.all[i].second;
    const std::string before = to_toml(field), after = to_toml(wanted);
    if (before == after) continue;
    if (std::find(changeable.begin(), changeable.end(), name) == changeable.end()) {
      fail(
          "{}: expected {} as in the run that is resumed, got {} (a run can only change how long, how often "
          "and with how many threads and how much memory)",
          name, before, after);
    }
    copy(wanted, field);
  }
  return result;
}

}  // namespace ecp
