#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/probes/draws.h"
#include "ecp/probes/tasks.h"

namespace ecp {
namespace {

constexpr std::int64_t deepest = 10, shortest_list = 4;  // [MAX 1 2]: its operator, two arguments, its end

/// The longest expression of at most `depth` lists inside each other, or `enough`.
std::int64_t longest(std::int64_t depth, std::int64_t arguments, std::int64_t enough) {
  std::int64_t length = 1;
  for (std::int64_t i = 0; i < depth && length < enough; ++i) length = 2 + arguments * length;
  return std::min(length, enough);
}

/// Writes an expression and knows its value.
class Writer {
 public:
  Writer(std::int64_t arguments, Draws& draws, std::vector<std::int64_t>& out)
      : arguments_(arguments), draws_(draws), out_(out) {}

  /// An expression of `length` tokens, 1 or at least 4; its value.
  std::int64_t write(std::int64_t length, std::int64_t depth) {
    if (length == 1) {
      out_.push_back(draws_.below(10));
      return out_.back();
    }
    const std::int64_t operation = draws_.between(listops::minimum, listops::sum);
    out_.push_back(operation);
    std::vector<std::int64_t> values;
    for (const std::int64_t part : parts(length - 2, longest(depth - 1, arguments_, length)))
      values.push_back(write(part, depth - 1));
    out_.push_back(listops::close);
    return value(operation, values);
  }

 private:
  /// `total` ≥ 2 tokens as lengths of arguments, in any order: digits, and as many lists as fit up to a drawn
  /// number of them, none longer than `most`.
  std::vector<std::int64_t> parts(std::int64_t total, std::int64_t most) {
    for (;;) {
      const std::int64_t count = draws_.between(2, std::min(arguments_, total));
      std::vector<std::int64_t> lengths(static_cast<std::size_t>(count), 1);
      std::int64_t rest = total - count;
      const std::int64_t lists =
          most < shortest_list ? 0 : std::min(draws_.between(1, count), rest / (shortest_list - 1));
      for (std::int64_t i = 0; i < lists; ++i) {
        lengths[static_cast<std::size_t>(i)] = shortest_list;
        rest -= shortest_list - 1;
      }
      if (rest > 0 && (lists == 0 || rest > lists * (most - shortest_list))) continue;
      for (std::int64_t i = 0; i < lists; ++i) {  // what the lists after this one can't take is its own
        std::int64_t& length = lengths[static_cast<std::size_t>(i)];
        const std::int64_t later = (lists - i - 1) * (most - shortest_list);
        const std::int64_t more =
            draws_.between(std::max<std::int64_t>(0, rest - later), std::min(rest, most - shortest_list));
        length += more;
        rest -= more;
      }
      for (std::size_t i = lengths.size(); i-- > 1;)
        std::swap(lengths[i],
                  lengths[static_cast<std::size_t>(draws_.below(static_cast<std::int64_t>(i) + 1))]);
      return lengths;
    }
  }

  static std::int64_t value(std::int64_t operation, std::vector<std::int64_t> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    std::int64_t sum = 0;
    for (const std::int64_t one : values) sum += one;
    switch (operation) {
      case listops::minimum:
        return values.front();
      case listops::maximum:
        return values.back();
      case listops::median:
        return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
      default:
        return sum % 10;
    }
  }

  std::int64_t arguments_;
  Draws& draws_;
  std::vector<std::int64_t>& out_;
};

class ListOps : public Probe {
 public:
  using Probe::Probe;

  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override {
    return at(Draws(seed, number).between(settings().nearest, settings().farthest), seed, number);
  }

 private:
  [[nodiscard]] ProbeExample asking(std::int64_t distance, std::uint64_t seed,
                                    std::uint64_t number) const override {
    const auto n = static_cast<std::size_t>(settings().sequence);
    Draws draws(seed, number);
    draws.below(1);  // what `training` has drawn
    ProbeExample example;
    example.tokens.assign(n - 1 - static_cast<std::size_t>(distance), listops::padding);
    const std::int64_t value = Writer(settings().items, draws, example.tokens).write(distance, deepest);
    example.tokens.push_back(listops::equals);
    example.targets.assign(n, -1);
    example.targets.back() = value;
    return example;
  }
};

}  // namespace

std::unique_ptr<Probe> make_listops(ProbeSettings settings) {
  if (settings.items == 0) settings.items = 10;
  require(settings.items >= 4, "data.probe_items: expected at least 4 arguments of a list, got {}",
          settings.items);
  ProbeFacts facts;
  facts.vocab = listops::padding + 1;
  facts.answers = facts.rows_asking = 1;
  facts.chance = 0.1;
  facts.distance_means = "length of the expression in tokens";
  facts.least_distance = shortest_list;
  facts.most_distance = longest(deepest, settings.items, std::max<std::int64_t>(settings.sequence - 1, 0));
  return std::make_unique<ListOps>(std::move(settings), std::move(facts));
}

}  // namespace ecp
