#include <algorithm>
#include <numeric>
#include <utility>

#include "ecp/probes/draws.h"
#include "ecp/probes/tasks.h"

namespace ecp {
namespace {

// Tokens: keys (at least 32), values, and words that mean nothing.
constexpr std::int64_t values = 32, words = 32;

std::int64_t keys_for(std::int64_t pairs) { return std::max<std::int64_t>(32, 2 * pairs); }

/// Noise with `pairs` keys and values from row `begin` on, pairs [key, value] in the order of rows.
struct Pairs {
  ProbeExample example;
  std::vector<std::int64_t> keys, chosen;  // chosen: their values

  Pairs(std::int64_t n, std::int64_t pairs, std::int64_t begin, Draws& draws) {
    const std::int64_t all = keys_for(pairs);
    for (std::int64_t i = 0; i < n; ++i) example.tokens.push_back(all + values + draws.below(words));
    example.targets.assign(static_cast<std::size_t>(n), -1);
    std::vector<std::int64_t> bag(static_cast<std::size_t>(all));
    std::iota(bag.begin(), bag.end(), 0);
    for (std::int64_t i = 0; i < pairs; ++i) {
      const auto place = static_cast<std::size_t>(i);
      std::swap(bag[place], bag[static_cast<std::size_t>(draws.between(i, all - 1))]);
      keys.push_back(bag[place]);
      chosen.push_back(all + draws.below(values));
      const auto row = static_cast<std::size_t>(begin + 2 * i);
      example.tokens[row] = keys.back();
      example.tokens[row + 1] = chosen.back();
    }
  }

  void ask(std::int64_t pair, std::int64_t row) {
    example.tokens[static_cast<std::size_t>(row)] = keys[static_cast<std::size_t>(pair)];
    example.targets[static_cast<std::size_t>(row)] = chosen[static_cast<std::size_t>(pair)];
  }
  [[nodiscard]] bool asks(std::int64_t row) const {
    return example.targets[static_cast<std::size_t>(row)] >= 0;
  }
};

class Recall : public Probe {
 public:
  using Probe::Probe;

  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override {
    const auto& [task, n, nearest, farthest, items] = settings();
    Draws draws(seed, number);
    // The last row asks for some pair at a distance that places all; the others ask where there is room.
    const std::int64_t at_end = draws.below(items);
    const std::int64_t value_row = n - 1 - draws.between(nearest, std::min(farthest, n - 2 - 2 * at_end));
    const std::int64_t begin = value_row - 1 - 2 * at_end;
    Pairs pairs(n, items, begin, draws);
    pairs.ask(at_end, n - 1);
    const std::int64_t free = begin + 2 * items;  // the first row after the pairs
    for (std::int64_t pair = 0; pair < items; ++pair) {
      if (pair == at_end) continue;
      const std::int64_t value = begin + 2 * pair + 1;
      const std::int64_t first = std::max(free, value + nearest), last = std::min(n - 1, value + farthest);
      if (first > last) continue;
      std::int64_t row = draws.between(first, last);
      for (std::int64_t tries = 0; tries < 8 && pairs.asks(row); ++tries) row = draws.between(first, last);
      if (!pairs.asks(row)) pairs.ask(pair, row);
    }
    return pairs.example;
  }

 private:
  [[nodiscard]] ProbeExample asking(std::int64_t distance, std::uint64_t seed,
                                    std::uint64_t number) const override {
    const std::int64_t items = settings().items, begin = settings().sequence - distance - 2 * items;
    Draws draws(seed, number);
    Pairs pairs(settings().sequence, items, begin, draws);
    for (std::int64_t pair = 0; pair < items; ++pair) pairs.ask(pair, begin + 2 * pair + 1 + distance);
    return pairs.example;
  }
};

}  // namespace

std::unique_ptr<Probe> make_recall(ProbeSettings settings) {
  if (settings.items == 0) settings.items = 8;
  ProbeFacts facts;
  facts.vocab = keys_for(settings.items) + values + words;
  facts.answers = settings.items;
  facts.rows_asking = 2 * settings.items - 1;
  facts.chance = 1.0 / static_cast<double>(values);
  facts.distance_means = "tokens from the row that holds a key again back to its value";
  // No question stands amid the pairs; the first pair is rows 0 and 1 at the earliest.
  facts.least_distance = 2 * settings.items - 1;
  facts.most_distance = settings.sequence - 2 * settings.items;
  return std::make_unique<Recall>(std::move(settings), std::move(facts));
}

}  // namespace ecp
