// Random numbers of one example, drawn one after another.
#pragma once

#include <cstdint>

#include "ecp/base/random.h"

namespace ecp {

class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t number) : seed_(seed), number_(number) {}

  /// Uniform in [least, most].
  std::int64_t between(std::int64_t least, std::int64_t most) { return least + below(most - least + 1); }
  /// Uniform in [0, bound).
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(
        random_below(static_cast<std::uint64_t>(bound), seed_, number_, drawn_++));
  }

 private:
  std::uint64_t seed_, number_, drawn_ = 0;
};

}  // namespace ecp
