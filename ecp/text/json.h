// JSON from files that may be damaged or made by strangers: one line on every fault. For sources of this
// room.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ecp::text {

/// Parses an object; refuses duplicate keys and nesting deeper than 16. `name` stands for the file in
/// messages.
nlohmann::json parse_object(std::string_view text, std::string_view name);

/// A list of whole numbers that may be too long to be kept as JSON.
struct LongList {
  std::string key;                    // of the outermost object
  std::vector<std::uint64_t> values;  // what was read
};
/// The same, with the values of `list` kept there; in the object it is empty. Fails if it holds anything
/// else.
nlohmann::json parse_object(std::string_view text, std::string_view name, LongList& list);

/// Text for a message: in quotes, on one line, cut off where it is long.
std::string in_quotes(std::string_view text);

/// Members of an object, each required; fail naming file and key on a wrong type, a number out of range, or
/// control characters in a string (messages are one line).
std::string string_member(const nlohmann::json& object, const char* key, std::string_view name);
std::uint64_t count_member(const nlohmann::json& object, const char* key, std::string_view name,
                           std::uint64_t most = UINT64_MAX);
bool flag_member(const nlohmann::json& object, const char* key, std::string_view name);
const nlohmann::json& object_member(const nlohmann::json& object, const char* key, std::string_view name);
const nlohmann::json& array_member(const nlohmann::json& object, const char* key, std::string_view name);
/// Fails unless "format" and "version" are these.
void check_format(const nlohmann::json& object, std::string_view format, int version, std::string_view name);

}  // namespace ecp::text
