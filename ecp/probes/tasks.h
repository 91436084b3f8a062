// The tasks behind `make_probe`, one file each.
#pragma once

#include "ecp/probes/probe.h"

namespace ecp {

/// Passkey retrieval (Mohtashami and Jaggi 2023): digits stand after a mark, amid noise, and have to be
/// repeated after another mark. `items` digits (5). Training packs several keys into a sequence, one after
/// the other's answer; a question is about the last key.
class Passkey : public Probe {
 public:
  explicit Passkey(const ProbeSettings& settings);
  [[nodiscard]] std::int64_t vocab() const override;
  [[nodiscard]] std::int64_t answers() const override { return items(); }
  [[nodiscard]] std::int64_t rows_asking() const override { return items(); }
  [[nodiscard]] double chance() const override;
  [[nodiscard]] std::string distance_means() const override;
  [[nodiscard]] std::int64_t least_distance() const override;
  [[nodiscard]] std::int64_t most_distance() const override;
  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override;
  [[nodiscard]] ProbeExample at(std::int64_t distance, std::uint64_t seed,
                                std::uint64_t number) const override;
};

/// Multi-query associative recall (Arora et al. 2023, "Zoology"): pairs of a key and a value stand together;
/// later some row holds a key again and has to give its value. `items` pairs (8).
class Recall : public Probe {
 public:
  explicit Recall(const ProbeSettings& settings);
  [[nodiscard]] std::int64_t vocab() const override;
  [[nodiscard]] std::int64_t answers() const override { return items(); }
  [[nodiscard]] std::int64_t rows_asking() const override { return 2 * items() - 1; }
  [[nodiscard]] double chance() const override;
  [[nodiscard]] std::string distance_means() const override;
  [[nodiscard]] std::int64_t least_distance() const override;
  [[nodiscard]] std::int64_t most_distance() const override;
  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override;
  [[nodiscard]] ProbeExample at(std::int64_t distance, std::uint64_t seed,
                                std::uint64_t number) const override;
};

/// ListOps as in the Long Range Arena (Nangia and Bowman 2018, Tay et al. 2020): nested lists of digits under
/// MIN, MAX, MED (median, rounded down) and SM (sum modulo 10), at most ten deep with at most `items`
/// arguments (10), whose value is asked for. A distance is the expression's length in tokens.
class ListOps : public Probe {
 public:
  static constexpr std::int64_t close = 10, minimum = 11, maximum = 12, median = 13, sum = 14, equals = 15,
                                padding = 16;  // tokens above the digits

  explicit ListOps(const ProbeSettings& settings);
  [[nodiscard]] std::int64_t vocab() const override;
  [[nodiscard]] std::int64_t answers() const override { return 1; }
  [[nodiscard]] std::int64_t rows_asking() const override { return 1; }
  [[nodiscard]] double chance() const override;
  [[nodiscard]] std::string distance_means() const override;
  [[nodiscard]] std::int64_t least_distance() const override;
  [[nodiscard]] std::int64_t most_distance() const override;
  [[nodiscard]] ProbeExample training(std::uint64_t seed, std::uint64_t number) const override;
  [[nodiscard]] ProbeExample at(std::int64_t distance, std::uint64_t seed,
                                std::uint64_t number) const override;
};

}  // namespace ecp
