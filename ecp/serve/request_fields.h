// The JSON of requests: a body parsed with bounds, its fields asked for one by one, what isn't known refused.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "ecp/base/error.h"

namespace ecp::serve {

/// A request that can't be served as it is: an HTTP status from 400 on, what is wrong, and in which field.
class BadRequest : public Error {
 public:
  BadRequest(int status, std::string code, std::string field, std::string message)
      : Error(std::move(message)), status_(status), code_(std::move(code)), field_(std::move(field)) {}
  [[nodiscard]] int status() const { return status_; }
  /// "invalid_value", "context_length_exceeded", ...
  [[nodiscard]] const std::string& code() const { return code_; }
  /// "temperature"; empty if no field is to blame.
  [[nodiscard]] const std::string& field() const { return field_; }

 private:
  int status_;
  std::string code_, field_;
};

template <typename... Args>
[[noreturn]] void refuse(const std::string& field, fmt::format_string<Args...> format, Args&&... args) {
  throw BadRequest(400, "invalid_value", field,
                   field + ": " + fmt::format(format, std::forward<Args>(args)...));
}

/// The beginning of `value` for a message.
std::string kind_of(const nlohmann::json& value);

/// The object that a body is. Throws BadRequest on what is no JSON, no object, or nested deeper than 16
/// levels.
nlohmann::json parse_body(std::string_view body);

/// A JSON object's fields, each asked for by name; null counts as absent. The object must outlive it.
class Fields {
 public:
  explicit Fields(const nlohmann::json& object) : object_(object) {}

  const nlohmann::json* find(const std::string& name);
  double number(const std::string& name, double absent, double least, double most);
  std::int64_t whole(const std::string& name, std::int64_t absent, std::int64_t least, std::int64_t most);
  bool truth(const std::string& name, bool absent);
  std::string text(const std::string& name);
  /// Fields that change nothing here.
  void pass_over(std::initializer_list<const char*> names);
  void require_known() const;

 private:
  const nlohmann::json& object_;
  std::set<std::string> known_;
};

}  // namespace ecp::serve
