#include <algorithm>
#include <utility>

#include "ecp/probes/draws.h"
#include "ecp/probes/tasks.h"

namespace ecp {
namespace {

// Tokens: the digits, two marks, and words that mean nothing.
constexpr std::int64_t digits = 10, key_mark = 10, question_mark = 11, first_word = 12, words = 20;

ProbeExample noise(std::int64_t n, Draws& draws) {
  ProbeExample example;
  for (std::int64_t i = 0; i < n; ++i) example.tokens.push_back(first_word + draws.below(words));
  example.targets.assign(static_cast<std::size_t>(n), -1);
  return example;
}

/// A key of `size` digits and its question, whose last row is `last`.
void put(ProbeExample& example, std::int64_t size, std::int64_t distance, std::int64_t last, Draws& draws) {
  auto row = static_cast<std::size_t>(last);
  const auto back = static_cast<std::size_t>(distance);
  for (std::int64_t i = size; i-- > 0; --row) {  // the row that asks for digit i, which stands `back` before
    const std::int64_t digit = draws.below(digits);
    example.tokens[row - back] = digit;
    example.targets[row] = digit;
    if (i + 1 < size) example.tokens[row + 1] = digit;
    if (i > 0) continue;
    example.tokens[row - back - 1] = key_mark;
    example.tokens[row] = question_mark;
  }
}

class Passkey : public Probe {
 public:
  using Probe::Probe;

  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override {
    const auto& [task, sequence, nearest, farthest, items] = settings();
    Draws draws(seed, number);
    ProbeExample example = noise(sequence, draws);
    // From the end: a question, its key, the question before it. A few words keep rounds apart.
    std::int64_t last = sequence - 1;
    while (last - items >= nearest) {
      const std::int64_t distance = draws.between(nearest, std::min(farthest, last - items));
      put(example, items, distance, last, draws);
      last -= distance + items + 1 + draws.below(16);
    }
    return example;
  }

 private:
  [[nodiscard]] ProbeExample asking(std::int64_t distance, std::uint64_t seed,
                                    std::uint64_t number) const override {
    Draws draws(seed, number);
    ProbeExample example = noise(settings().sequence, draws);
    put(example, settings().items, distance, settings().sequence - 1, draws);
    return example;
  }
};

}  // namespace

std::unique_ptr<Probe> make_passkey(ProbeSettings settings) {
  if (settings.items == 0) settings.items = 5;
  ProbeFacts facts;
  facts.vocab = first_word + words;
  facts.answers = facts.rows_asking = settings.items;
  facts.chance = 1.0 / static_cast<double>(digits);
  facts.distance_means = "tokens from the row that asks for a digit back to it";
  // The question's mark comes after the key's last digit; the key's mark is row 0 at the earliest.
  facts.least_distance = settings.items;
  facts.most_distance = settings.sequence - settings.items - 1;
  return std::make_unique<Passkey>(std::move(settings), std::move(facts));
}

}  // namespace ecp
