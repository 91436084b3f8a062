// TOML files as values that know where they stand.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/base/fields.h"

namespace ecp {

/// A table of the first level: [name], or one of several [[name]].
struct TomlTable {
  std::string name;
  std::string where;     // "train.toml:12"
  std::size_t item = 0;  // of [[name]]: 1, 2, ...; 0: [name]
  std::vector<std::pair<std::string, RawValue>> fields;
};

/// All tables, ordered by name. `name` stands for the file in messages. Fails with file:line on syntax, on
/// values outside of a table, and on values that no field can have (tables in tables, dates, mixed lists).
std::vector<TomlTable> parse_toml(std::string_view text, std::string_view name);

}  // namespace ecp
