#include "ecp/base/fields.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"

namespace ecp {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;  // clang 14 needs it spelled out

std::string prefix(const std::string& where) { return where.empty() ? "" : where + ": "; }

std::string describe(const RawValue& raw) {
  return std::visit(
      Overloaded{[](bool v) -> std::string { return v ? "true" : "false"; },
                 [](std::int64_t v) { return std::to_string(v); },
                 [](double v) { return fmt::format("{}", v); },
                 [](const std::string& v) { return "'" + v + "'"; },
                 [](const std::vector<std::string>&) -> std::string { return "a list of strings"; },
                 [](const std::vector<double>&) -> std::string { return "a list of numbers"; }},
      raw.value);
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\r':
        result += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          result += c;
        }
    }
  }
  return result + '"';
}

std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  // TOML tells floats from integers by the point or the exponent.
  if (text.find_first_of(".eni") == std::string::npos) text += ".0";
  return text;
}

template <class Items, class Text>
std::string list(const Items& items, Text text) {
  std::string result = "[";
  for (const auto& item : items) {
    if (result.size() > 1) result += ", ";
    result += text(item);
  }
  return result + "]";
}

template <class Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// Without the quotation marks that somebody gave to a string.
std::string_view unquoted(std::string_view text) {
  const bool is_quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

std::vector<std::string_view> split_commas(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    parts.push_back(unquoted(part));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return parts;
}

}  // namespace

void assign(const Field& field, std::string_view section, const RawValue& raw) {
  const auto wrong = [&](std::string_view expected) {
    fail("{}{}.{}: expected {}, got {}", prefix(raw.where), section, field.name, expected, describe(raw));
  };
  const auto in_range = [&](double value) {
    if (!(value >= field.least && value <= field.most)) {
      fail("{}{}.{}: expected {} to {}, got {}", prefix(raw.where), section, field.name, field.least,
           field.most, value);
    }
  };
  std::visit(Overloaded{[&](bool* target) {
                          const auto* value = std::get_if<bool>(&raw.value);
                          if (value == nullptr) wrong("true or false");
                          *target = *value;
                        },
                        [&](std::int64_t* target) {
                          const auto* value = std::get_if<std::int64_t>(&raw.value);
                          if (value == nullptr) wrong("a whole number");
                          in_range(static_cast<double>(*value));
                          *target = *value;
                        },
                        [&](double* target) {
                          double value = 0;
                          if (const auto* whole = std::get_if<std::int64_t>(&raw.value)) {
                            value = static_cast<double>(*whole);
                          } else if (const auto* number = std::get_if<double>(&raw.value)) {
                            value = *number;
                          } else {
                            wrong("a number");
                          }
                          in_range(value);
                          *target = value;
                        },
                        [&](std::string* target) {
                          const auto* value = std::get_if<std::string>(&raw.value);
                          if (value == nullptr) wrong("a string");
                          bool known = field.choices.empty();
                          for (const std::string& choice : field.choices) known = known || choice == *value;
                          if (!known) {
                            fail("{}{}.{}: expected {}, got '{}'{}", prefix(raw.where), section, field.name,
                                 alternatives(field.choices), *value, did_you_mean(*value, field.choices));
                          }
                          *target = *value;
                        },
                        [&](std::vector<std::string>* target) {
                          if (const auto* one = std::get_if<std::string>(&raw.value)) {
                            *target = {*one};
                          } else if (const auto* values = std::get_if<std::vector<std::string>>(&raw.value)) {
                            *target = *values;
                          } else if (const auto* none = std::get_if<std::vector<double>>(&raw.value);
                                     none && none->empty()) {
                            target->clear();
                          } else {
                            wrong("a list of strings");
                          }
                        },
                        [&](std::vector<double>* target) {
                          const auto* values = std::get_if<std::vector<double>>(&raw.value);
                          if (values == nullptr) wrong("a list of numbers");
                          for (const double value : *values) in_range(value);
                          *target = *values;
                        }},
             field.value);
}

const Field& find_field(const std::vector<Field>& fields, std::string_view section, std::string_view name,
                        std::string_view where) {
  std::vector<std::string> names;
  for (const Field& field : fields) {
    if (field.name == name) return field;
    names.push_back(field.name);
  }
  const std::string hint = did_you_mean(name, names);
  fail("{}unknown key '{}.{}'{}", prefix(std::string(where)), section, name,
       hint.empty() ? fmt::format(" (keys: {})", fmt::join(names, ", ")) : hint);
}

std::string to_toml(const Field& field) {
  return std::visit(Overloaded{[](const bool* v) -> std::string { return *v ? "true" : "false"; },
                               [](const std::int64_t* v) { return std::to_string(*v); },
                               [](const double* v) { return number_text(*v); },
                               [](const std::string* v) { return quoted(*v); },
                               [](const std::vector<std::string>* v) {
                                 return list(*v, [](const std::string& s) { return quoted(s); });
                               },
                               [](const std::vector<double>* v) { return list(*v, number_text); }},
                    field.value);
}

RawValue parse_override(const Field& field, std::string_view section, std::string_view text) {
  const std::string where = "--set";
  const auto wrong = [&](std::string_view expected) {
    fail("{}: {}.{}: expected {}, got '{}'", where, section, field.name, expected, text);
  };
  return std::visit(Overloaded{[&](const bool*) -> RawValue {
                                 if (text != "true" && text != "false") wrong("true or false");
                                 return {text == "true", where};
                               },
                               [&](const std::int64_t*) -> RawValue {
                                 std::int64_t value = 0;
                                 if (!parse_number(text, value)) wrong("a whole number");
                                 return {value, where};
                               },
                               [&](const double*) -> RawValue {
                                 double value = 0;
                                 if (!parse_number(text, value)) wrong("a number");
                                 return {value, where};
                               },
                               [&](const std::string*) -> RawValue {
                                 return {std::string(unquoted(text)), where};
                               },
                               [&](const std::vector<std::string>*) -> RawValue {
                                 std::vector<std::string> values;
                                 for (const auto part : split_commas(text)) values.emplace_back(part);
                                 return {values, where};
                               },
                               [&](const std::vector<double>*) -> RawValue {
                                 std::vector<double> values;
                                 for (const auto part : split_commas(text)) {
                                   if (!parse_number(part, values.emplace_back())) wrong("a list of numbers");
                                 }
                                 return {values, where};
                               }},
                    field.value);
}

}  // namespace ecp
