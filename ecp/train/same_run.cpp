#include "ecp/train/same_run.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/fields.h"
#include "ecp/config/run_settings.h"

namespace ecp {
namespace {

/// Beside those without effect: how long, and how often it is measured.
constexpr std::array changeable{"train.steps", "train.minutes", "train.eval_every"};

bool may_change(std::string_view name) {
  const auto among = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return among(without_effect) || among(changeable);
}

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
  Config result = stored, other = left_to_run(asked, stored);
  const AllFields ours(result), theirs(other);
  for (std::size_t i = 0; i < ours.all.size(); ++i) {
    const auto& [name, field] = ours.all[i];
    const Field& wanted = theirs.all[i].second;
    const std::string before = to_toml(field), after = to_toml(wanted);
    if (before == after) continue;
    if (!may_change(name)) {
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
