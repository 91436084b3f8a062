#include "ecp/text/json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/text/utf8.h"

namespace ecp::text {
namespace {

constexpr int deepest = 16;

const nlohmann::json& member(const nlohmann::json& object, const char* key, std::string_view name) {
  const auto found = object.find(key);
  require(found != object.end(), "'{}': expected a member \"{}\"", name, key);
  return *found;
}

}  // namespace

nlohmann::json parse_object(std::string_view text, std::string_view name) {
  LongList none;
  return parse_object(text, name, none);
}

nlohmann::json parse_object(std::string_view text, std::string_view name, LongList& list) {
  using Json = nlohmann::json;
  std::vector<std::set<std::string>> keys;
  bool listed = false;  // the outermost key is that of the list
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    require(depth <= deepest, "'{}': nested deeper than {} levels", name, deepest);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require(keys.back().insert(key).second, "'{}': the key {} occurs twice", name, in_quotes(key));
      if (keys.size() == 1) listed = key == list.key && !list.key.empty();
    }
    if (!listed || event == Json::parse_event_t::key || depth < 2) return true;
    require(event == Json::parse_event_t::value && parsed.is_number_unsigned(),
            "'{}': damaged: {}[{}] is not a whole number", name, list.key, list.values.size());
    list.values.push_back(parsed.get<std::uint64_t>());
    return false;  // not kept in the object
  };
  try {
    Json json = Json::parse(text, check);
    require(json.is_object(), "'{}': expected a JSON object", name);
    return json;
  } catch (const Json::parse_error& error) {
    fail("'{}': not JSON at byte {}", name, error.byte);
  } catch (const Json::exception&) {
    fail("'{}': not JSON that can be read", name);
  }
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t most = 64;
  std::string shown(text.substr(0, utf8_floor(text, most)));
  if (shown.size() < text.size()) shown += "...";
  return nlohmann::json(shown).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string string_member(const nlohmann::json& object, const char* key, std::string_view name) {
  const nlohmann::json& value = member(object, key, name);
  require(value.is_string(), "'{}': expected a string \"{}\"", name, key);
  const auto& text = value.get_ref<const std::string&>();
  const bool clean =
      std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  require(clean, "'{}': control characters in \"{}\"", name, key);
  return text;
}

std::uint64_t count_member(const nlohmann::json& object, const char* key, std::string_view name,
                           std::uint64_t most) {
  const nlohmann::json& value = member(object, key, name);
  require(value.is_number_unsigned(), "'{}': expected a whole number \"{}\"", name, key);
  const auto count = value.get<std::uint64_t>();
  require(count <= most, "'{}': expected \"{}\" of at most {}, got {}", name, key, most, count);
  return count;
}

bool flag_member(const nlohmann::json& object, const char* key, std::string_view name) {
  const nlohmann::json& value = member(object, key, name);
  require(value.is_boolean(), "'{}': expected true or false as \"{}\"", name, key);
  return value.get<bool>();
}

const nlohmann::json& object_member(const nlohmann::json& object, const char* key, std::string_view name) {
  const nlohmann::json& value = member(object, key, name);
  require(value.is_object(), "'{}': expected an object \"{}\"", name, key);
  return value;
}

const nlohmann::json& array_member(const nlohmann::json& object, const char* key, std::string_view name) {
  const nlohmann::json& value = member(object, key, name);
  require(value.is_array(), "'{}': expected a list \"{}\"", name, key);
  return value;
}

void check_format(const nlohmann::json& object, std::string_view format, int version, std::string_view name) {
  const std::string found = string_member(object, "format", name);
  require(found == format, "'{}': expected the format \"{}\", got \"{}\"", name, format, found);
  const std::uint64_t number = count_member(object, "version", name);
  require(number == static_cast<std::uint64_t>(version), "'{}': expected version {} of the format, got {}",
          name, version, number);
}

}  // namespace ecp::text
