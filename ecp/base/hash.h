// Hashes for integrity: XXH3, 128 bits, written as 32 hexadecimal digits. They detect damage, not malice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ecp/base/files.h"

namespace ecp {

/// A hash as a number.
struct Hash128 {
  std::uint64_t high = 0, low = 0;
  bool operator==(const Hash128&) const = default;
};

/// A hash over pieces. A copy goes on from where the original stands.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher& other);
  Hasher& operator=(const Hasher& other);
  void update(const void* bytes, std::size_t count);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  [[nodiscard]] std::string digest() const;
  [[nodiscard]] Hash128 value() const;
  /// Forgets all pieces.
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_bytes(std::string_view bytes);
std::string hash_file(const Path& path);

}  // namespace ecp
