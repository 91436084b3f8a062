// JSON from files that may be damaged or made by strangers: one line on every fault. For sources of this
// room.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ecp::text {

/// Parses an object; refuses duplicate keys and nesting deeper than 16. `name` stands for the file in
/// messages.
nlohmann::json parse_object(std::string_view text, std::string_view name);

/// Members of an object, each required; fail naming file and key on a wrong type, a number out of range, or
/// control characters in a string (messages are one line).
std::string string_member(const nlohmann::json& object, const char* key, std::string_view name);
std::uint64_t count_member(const nlohmann::json& object, const char* key, std::string_view name,
                           std::uint64_t most = UINT64_MAX);
const nlohmann::json& object_member(const nlohmann::json& object, const char* key, std::string_view name);
const nlohmann::json& array_member(const nlohmann::json& object, const char* key, std::string_view name);
/// Fails unless "format" and "version" are these.
void check_format(const nlohmann::json& object, std::string_view format, int version, std::string_view name);

}  // namespace ecp::text
