#include "ecp/config/comparison_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/config/toml.h"

namespace ecp {
namespace {

constexpr std::int64_t most_tokens = std::int64_t{1} << 50;
constexpr double largest_seed = 9e15;  // whole numbers are exact up to here

/// [compare] as fields.
struct CompareSection {
  ComparisonConfig& config;
  std::vector<double> seeds{};

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("tokens", config.tokens, {0, most_tokens}, "tokens that each run processes");
    v.numbers("seeds", seeds, {0, largest_seed}, "a run of each model with each");
    v.texts("test", config.test, "token files that are scored at the end; none: the validation file");
    v.texts("set", config.set, "overrides for all models");
  }
};

/// [[model]] as fields.
struct ModelSection {
  ComparedModel& model;

  template <class Visitor>
  void visit(Visitor& v) {
    v.text("name", model.name, "what it is called in the report");
    v.text("config", model.config, "its training configuration");
    v.texts("set", model.set, "overrides");
    v.text("source", model.source, "where a stored configuration came from");
  }
};

template <class Section>
void read_section(Section section, const TomlTable& table) {
  const std::vector<Field> fields = FieldList(section).fields;
  for (const auto& [key, raw] : table.fields)
    assign(find_field(fields, table.name, key, raw.where), table.name, raw);
}

void read_compare(ComparisonConfig& config, const TomlTable& table) {
  CompareSection section{config};
  for (const std::int64_t seed : config.seeds) section.seeds.push_back(static_cast<double>(seed));
  read_section<CompareSection&>(section, table);
  config.seeds.clear();
  for (const double seed : section.seeds) {
    require(seed == std::floor(seed), "{}: compare.seeds: expected whole numbers, got {}", table.where, seed);
    config.seeds.push_back(static_cast<std::int64_t>(seed));
  }
}

std::string name_of_file(const std::string& config) { return Path(config).stem().string(); }

bool is_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.size() <= 100 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return (c < 0x80 && std::isalnum(c) != 0) || c == '-' || c == '_' || c == '.' || c == '+';
         });
}

/// One field as a line of TOML.
template <class Section>
std::string lines_of(Section section) {
  std::string text;
  for (const Field& field : FieldList(section).fields)
    text += fmt::format("{} = {}\n", field.name, to_toml(field));
  return text;
}

}  // namespace

void ComparisonConfig::validate() const {
  require(!models.empty(), "a comparison: expected at least one model");
  require(!seeds.empty(), "compare.seeds: expected at least one seed");
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    require(std::count(seeds.begin(), seeds.end(), seeds[i]) == 1, "compare.seeds: {} stands there twice",
            seeds[i]);
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ComparedModel& model = models[i];
    require(!model.config.empty(), "model '{}': expected the name of a configuration, config = \"...\"",
            model.name);
    require(is_name(model.name),
            "model '{}': expected a name of letters, digits, '-', '_', '+' and '.', not first", model.name);
    for (std::size_t j = 0; j < i; ++j) {
      require(models[j].name != model.name,
              "two models are called '{}': '{}' and '{}'; names must tell them apart", model.name,
              models[j].config, model.config);
    }
  }
}

bool is_comparison(std::string_view text, std::string_view name) {
  const std::vector<TomlTable> tables = parse_toml(text, name);
  return std::any_of(tables.begin(), tables.end(), [](const TomlTable& table) {
    return table.name == "compare" || (table.name == "model" && table.item > 0);
  });
}

ComparisonConfig parse_comparison(std::string_view text, std::string_view name) {
  const std::vector<std::string> known = {"compare", "model"};
  ComparisonConfig config;
  for (const TomlTable& table : parse_toml(text, name)) {
    if (table.name == "compare" && table.item == 0) {
      read_compare(config, table);
    } else if (table.name == "model" && table.item > 0) {
      ComparedModel& model = config.models.emplace_back();
      read_section(ModelSection{model}, table);
      if (model.name.empty()) model.name = name_of_file(model.config);
    } else {
      require(table.name != "compare" && table.name != "model",
              "{}: expected one section [compare] and a list of [[model]]", table.where);
      fail("{}: unknown section [{}] in a comparison{}", table.where, table.name,
           did_you_mean(table.name, known));
    }
  }
  try {
    config.validate();
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
  return config;
}

std::string to_toml(const ComparisonConfig& config) {
  ComparisonConfig copy = config;  // the visitor takes pointers to mutable fields
  CompareSection section{copy};
  std::string text = "[compare]\n";
  for (const Field& field : FieldList(section).fields) {
    // Seeds are whole numbers; lists of numbers are written with a point.
    text += field.name != "seeds" ? fmt::format("{} = {}\n", field.name, to_toml(field))
                                  : fmt::format("seeds = [{}]\n", fmt::join(config.seeds, ", "));
  }
  for (ComparedModel& model : copy.models) text += "\n[[model]]\n" + lines_of(ModelSection{model});
  return text;
}

ComparisonConfig comparison_of(const std::vector<std::string>& configs) {
  ComparisonConfig result;
  for (const std::string& config : configs) result.models.push_back({name_of_file(config), config, {}});
  return result;
}

}  // namespace ecp
