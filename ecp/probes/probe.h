// Generated tasks that show how far back a model can look: what a question asks for stands at a known
// distance before it, and nothing else in the sequence helps. No files; every example is a function of seed
// and number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ecp {

/// Zero where a task's own value holds.
struct ProbeSettings {
  std::string task;           // "passkey", "recall" or "listops"
  std::int64_t sequence = 0;  // rows of an example
  std::int64_t nearest = 0, farthest = 0;
  std::int64_t items = 0;
};

/// One sequence for a causal language model.
struct ProbeExample {
  std::vector<std::int64_t> tokens;   // [n]
  std::vector<std::int64_t> targets;  // [n]: what the row's next token has to be; −1: nothing is asked
};

/// What follows from a task and its settings.
struct ProbeFacts {
  std::int64_t vocab = 0;
  std::int64_t answers = 0;      // of `Probe::at`; the last rows ask for all of them,
  std::int64_t rows_asking = 0;  // of which so many suffice
  double chance = 0;             // share of the answers that guessing gets right
  std::string distance_means;    // "tokens from the row that asks for a digit back to it"
  std::int64_t least_distance = 0, most_distance = 0;  // that fit into the sequence
};

class Probe {
 public:
  /// Fails unless the distances of `settings`, whose `items` aren't 0, fit; those that are 0 become the
  /// least and the greatest that do.
  Probe(ProbeSettings settings, ProbeFacts facts);
  virtual ~Probe() = default;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// Without zeros: training draws distances from `nearest` to `farthest`.
  [[nodiscard]] const ProbeSettings& settings() const { return settings_; }
  [[nodiscard]] const ProbeFacts& facts() const { return facts_; }
  /// The settings in one line: two probes with the same are the same.
  [[nodiscard]] std::string description() const;

  /// An example to train on. The last row is always asked.
  [[nodiscard]] virtual ProbeExample training(std::uint64_t seed, std::uint64_t number) const = 0;
  /// An example to measure with: all its questions stand in the last rows, each at `distance`. Fails if that
  /// doesn't fit.
  [[nodiscard]] ProbeExample at(std::int64_t distance, std::uint64_t seed, std::uint64_t number) const;

 protected:
  [[nodiscard]] virtual ProbeExample asking(std::int64_t distance, std::uint64_t seed,
                                            std::uint64_t number) const = 0;

 private:
  ProbeSettings settings_;
  ProbeFacts facts_;
};

/// Fails if there is no such task, or if it doesn't fit into the sequence.
std::unique_ptr<Probe> make_probe(const ProbeSettings& settings);

/// At most `count` distances that a probe can be asked at, evenly from `first` to `last`, both of them
/// included.
std::vector<std::int64_t> even_distances(std::int64_t first, std::int64_t last, std::int64_t count);

}  // namespace ecp
