// Configuration as plain structs with one visitor. A struct lists its fields once:
//
//   struct Optimizer {
//     double lr = 2e-4;
//     std::string schedule = "constant";
//     template <class Visitor> void visit(Visitor& v) {
//       v.number("lr", lr, {0.0, 10.0}, "peak learning rate");
//       v.choice("schedule", schedule, {"constant", "cosine"}, "how the rate changes over steps");
//     }
//   };
//
// and from that list come reading (TOML and JSON, with file:line, unknown keys and "did you mean"), printing,
// range checks and documentation. Ranges are inclusive.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecp {

/// One field of a configuration as the visitors see it: a pointer to its value and what may stand there.
struct Field {
  using Value = std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::string>*,
                             std::vector<double>*>;
  std::string name;
  Value value;
  double least = 0, most = 0;        // numbers
  std::vector<std::string> choices;  // strings with a fixed set of values; empty: any
  std::string help;
};

/// Collects a struct's fields: `FieldList(config).fields`.
class FieldList {
 public:
  template <class Struct>
  explicit FieldList(Struct& config) {
    config.visit(*this);
  }

  void flag(std::string_view name, bool& value, std::string_view help) { add(name, &value, 0, 1, {}, help); }
  void integer(std::string_view name, std::int64_t& value, std::pair<std::int64_t, std::int64_t> range,
               std::string_view help) {
    add(name, &value, static_cast<double>(range.first), static_cast<double>(range.second), {}, help);
  }
  void number(std::string_view name, double& value, std::pair<double, double> range, std::string_view help) {
    add(name, &value, range.first, range.second, {}, help);
  }
  void choice(std::string_view name, std::string& value, std::initializer_list<const char*> choices,
              std::string_view help) {
    add(name, &value, 0, 0, {choices.begin(), choices.end()}, help);
  }
  void text(std::string_view name, std::string& value, std::string_view help) {
    add(name, &value, 0, 0, {}, help);
  }
  void texts(std::string_view name, std::vector<std::string>& value, std::string_view help) {
    add(name, &value, 0, 0, {}, help);
  }
  void numbers(std::string_view name, std::vector<double>& value, std::pair<double, double> range,
               std::string_view help) {
    add(name, &value, range.first, range.second, {}, help);
  }

  std::vector<Field> fields;

 private:
  void add(std::string_view name, Field::Value value, double least, double most,
           std::vector<std::string> choices, std::string_view help) {
    fields.push_back({std::string(name), value, least, most, std::move(choices), std::string(help)});
  }
};

/// A value read from some file, before it meets a field; `where` ("train.toml:12") goes into messages.
struct RawValue {
  std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>, std::vector<double>> value;
  std::string where;
};

/// Stores `raw` in the field, converting integers to numbers. Fails, naming `section.field`, on a wrong type,
/// a value out of range, not finite, or not among the choices.
void assign(const Field& field, std::string_view section, const RawValue& raw);
/// The field of that name; fails with "unknown key ... did you mean" otherwise.
const Field& find_field(const std::vector<Field>& fields, std::string_view section, std::string_view name,
                        std::string_view where);
/// The field's value as TOML (which JSON shares for all but strings' escapes): 0.1, "text", ["a", "b"], true.
std::string to_toml(const Field& field);
/// Turns the text of a command-line override into a raw value of the field's type.
RawValue parse_override(const Field& field, std::string_view section, std::string_view text);

}  // namespace ecp
