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

class Probe {
 public:
  virtual ~Probe() = default;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  [[nodiscard]] std::int64_t sequence() const { return settings_.sequence; }
  /// Distances that training draws from.
  [[nodiscard]] std::int64_t nearest() const { return settings_.nearest; }
  [[nodiscard]] std::int64_t farthest() const { return settings_.farthest; }
  [[nodiscard]] std::int64_t items() const { return settings_.items; }
  /// All of the above and the task, in one line: two probes with the same are the same.
  [[nodiscard]] std::string description() const;

  [[nodiscard]] virtual std::int64_t vocab() const = 0;
  /// Answers of `at`; all are asked for by the last rows, of which `rows_asking` suffice.
  [[nodiscard]] virtual std::int64_t answers() const = 0;
  [[nodiscard]] virtual std::int64_t rows_asking() const = 0;
  /// The share of answers that guessing gets right.
  [[nodiscard]] virtual double chance() const = 0;
  /// What distance means: "tokens from an answer back to what it repeats".
  [[nodiscard]] virtual std::string distance_means() const = 0;
  /// The least distance and the greatest that fit a sequence.
  [[nodiscard]] virtual std::int64_t least_distance() const = 0;
  [[nodiscard]] virtual std::int64_t most_distance() const = 0;

  /// An example to train on, of distances between `nearest` and `farthest`. The last row is always asked.
  [[nodiscard]] virtual ProbeExample training(std::uint64_t seed, std::uint64_t number) const = 0;
  /// An example to measure with: `answers()` questions in the last rows, each at `distance`.
  [[nodiscard]] virtual ProbeExample at(std::int64_t distance, std::uint64_t seed,
                                        std::uint64_t number) const = 0;

 protected:
  /// Zeros of `settings` become `items` here and, by `check`, the distances that fit.
  Probe(ProbeSettings settings, std::int64_t items);
  /// Fails unless the distances fit; to be called by every task's constructor.
  void check();
  /// Fails unless `distance` fits.
  void require_distance(std::int64_t distance) const;

 private:
  ProbeSettings settings_;
};

/// Fails if there is no such task, or if it doesn't fit into the sequence.
std::unique_ptr<Probe> make_probe(const ProbeSettings& settings);

/// At most `count` distances that a probe can be asked at, evenly from `first` to `last`, both of them
/// included.
std::vector<std::int64_t> even_distances(std::int64_t first, std::int64_t last, std::int64_t count);

}  // namespace ecp
