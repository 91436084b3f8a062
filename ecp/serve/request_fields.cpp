#include "ecp/serve/request_fields.h"

#include <vector>

#include "ecp/base/suggest.h"

namespace ecp::serve {
namespace {

using nlohmann::json;

constexpr int deepest = 16;          // levels; what walks through a value does so by recursion
constexpr std::size_t longest = 40;  // characters of a value, or of a field's name, in a message

std::string cut(std::string text) {
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

/// Without the library's own numbering.
std::string reason_of(const json::exception& error) {
  const std::string text = error.what();
  const auto end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace

std::string kind_of(const json& value) {
  if (value.is_string()) {  // no more of a long one than is shown
    return cut(json(value.get_ref<const std::string&>().substr(0, longest + 1))
                   .dump(-1, ' ', true, json::error_handler_t::replace));
  }
  return cut(value.dump(-1, ' ', true, json::error_handler_t::replace));
}

json parse_body(std::string_view body) {
  json object;
  try {
    object = json::parse(body, [](int depth, json::parse_event_t, const json&) {
      if (depth > deepest) {
        throw BadRequest(400, "invalid_json", "",
                         fmt::format("the body: nested deeper than {} levels", deepest));
      }
      return true;
    });
  } catch (const json::exception& error) {
    throw BadRequest(400, "invalid_json", "", fmt::format("the body: expected JSON: {}", reason_of(error)));
  }
  if (!object.is_object()) {
    throw BadRequest(400, "invalid_json", "",
                     fmt::format("the body: expected an object, got {}", kind_of(object)));
  }
  return object;
}

const json* Fields::find(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

double Fields::number(const std::string& name, double absent, double least, double most) {
  const json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_number()) refuse(name, "expected a number, got {}", kind_of(*value));
  const auto got = value->get<double>();
  if (!(got >= least && got <= most)) refuse(name, "expected {} to {}, got {}", least, most, got);
  return got;
}

std::int64_t Fields::whole(const std::string& name, std::int64_t absent, std::int64_t least,
                           std::int64_t most) {
  const json* value = find(name);
  if (value == nullptr) return absent;
  const bool large = value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX;
  if (!value->is_number_integer()) refuse(name, "expected a whole number, got {}", kind_of(*value));
  const auto got = large ? INT64_MAX : value->get<std::int64_t>();
  if (got < least || got > most || large) {
    refuse(name, "expected {} to {}, got {}", least, most, kind_of(*value));
  }
  return got;
}

bool Fields::truth(const std::string& name, bool absent) {
  const json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) refuse(name, "expected true or false, got {}", kind_of(*value));
  return value->get<bool>();
}

std::string Fields::text(const std::string& name) {
  const json* value = find(name);
  if (value == nullptr) return "";
  if (!value->is_string()) refuse(name, "expected a string, got {}", kind_of(*value));
  return value->get<std::string>();
}

void Fields::pass_over(std::initializer_list<const char*> names) {
  for (const char* name : names) known_.insert(name);
}

void Fields::require_known() const {
  const std::vector<std::string> names(known_.begin(), known_.end());
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name) || value.is_null()) continue;
    throw BadRequest(400, "unknown_parameter", cut(name),
                     fmt::format("unknown field '{}'{}", cut(name), did_you_mean(cut(name), names)));
  }
}

}  // namespace ecp::serve
