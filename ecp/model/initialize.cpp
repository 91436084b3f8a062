#include "ecp/model/initialize.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <numbers>
#include <string_view>

#include "ecp/base/random.h"

namespace ecp {
namespace {

/// FNV-1a: a parameter's values depend on its name, not on its place in the table.
std::uint64_t name_key(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

/// Standard normal (Box–Muller) from two of the generator's 32-bit words; u is in (0, 1].
double normal(std::uint32_t a, std::uint32_t b) {
  const double u = (static_cast<double>(a) + 1) * 0x1.0p-32, angle = static_cast<double>(b) * 0x1.0p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * angle);
}

}  // namespace

void initialize_parameter(const at::Tensor& tensor, const Parameter& parameter, std::uint64_t seed) {
  float* data = tensor.mutable_data_ptr<float>();
  const std::uint64_t key = random_bits(seed, name_key(parameter.name));
  at::parallel_for(0, tensor.numel(), 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint64_t bits = random_bits(key, static_cast<std::uint64_t>(i));
      double value = 0;
      switch (parameter.initializer) {
        case Initializer::zeros:
          break;
        case Initializer::ones:
          value = 1;
          break;
        case Initializer::normal:
          value = parameter.scale *
                  normal(static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(bits));
          break;
        case Initializer::uniform:
          value = parameter.scale * (2 * (static_cast<double>(bits >> 11) * 0x1.0p-53) - 1);
          break;
      }
      data[i] = static_cast<float>(value);
    }
  });
}

}  // namespace ecp
