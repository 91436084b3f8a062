// JSON files that end with a hash of themselves, so that any flipped bit is noticed:
//
//   {
//     ...,
//     "xxh3": "hash of all bytes before the comma"
//   }
#pragma once

#include <string>
#include <string_view>

namespace ecp {

/// How a file ends whose text so far, without the closing brace, has the hash `digest`.
std::string own_hash_ending(std::string_view digest);

/// Whether `text` ends as it should.
bool has_own_hash(std::string_view text);

}  // namespace ecp
