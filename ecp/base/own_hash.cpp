#include "ecp/base/own_hash.h"

#include <fmt/core.h>

#include <algorithm>

#include "ecp/base/hash.h"

namespace ecp {

std::string own_hash_ending(std::string_view digest) {
  return fmt::format(",\n  \"xxh3\": \"{}\"\n}}\n", digest);
}

bool has_own_hash(std::string_view text) {
  const std::size_t length = own_hash_ending(hash_bytes("")).size();
  const std::size_t before = text.size() - std::min(text.size(), length);
  return text.substr(before) == own_hash_ending(hash_bytes(text.substr(0, before)));
}

}  // namespace ecp
