// The header of numpy's .npy files, for files that may be damaged or made by strangers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecp {

struct NpyHeader {
  std::string dtype;  // as numpy spells it: "<u2", "<f4"
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;
  std::size_t data_offset = 0;  // bytes before the first element

  /// Elements of the array. The product was checked to fit.
  [[nodiscard]] std::uint64_t elements() const;
};

/// Reads the header of format versions 1.0 to 3.0 at the beginning of a whole file's bytes. The shape times
/// `item_bytes` (the size of one element, 0: don't check) must be exactly what follows the header. `name`
/// stands for the file in messages.
NpyHeader parse_npy_header(std::span<const std::byte> file, std::string_view name, std::size_t item_bytes);

/// Bytes of the header that `npy_header` makes, whatever the shape.
constexpr std::size_t npy_header_bytes = 128;
/// A version 1.0 header of a one-dimensional array, padded so that the data begins at a multiple of 64.
std::string npy_header(std::string_view dtype, std::uint64_t elements);

}  // namespace ecp
