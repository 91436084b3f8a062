// The configurations that come with the project: all can be read, those of the paper have its sizes, and
// their modern counterparts as many parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ecp/config/comparison_config.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

constexpr std::int64_t bert_base_cased = 28996;

Path configs() { return Path(ECP_SOURCE_DIR) / "configs"; }

/// TOML files: comparisons, or configurations of one run.
std::vector<Path> files_of(const Path& folder, bool comparisons = false) {
  std::vector<Path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".toml") continue;
    if (is_comparison(read_file(entry.path()), entry.path().string()) == comparisons)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

ModelConfig model_of(const Path& file) {
  ModelConfig model = read_config(file).model;
  if (model.vocab == 0) model.vocab = bert_base_cased;
  return model;
}

TEST(Configs, AllAreReadAndFitTogether) {
  const std::vector<Path> files = files_of(configs());
  EXPECT_GT(files.size(), 60u);
  for (const Path& file : files) {
    SCOPED_TRACE(file.string());
    const Config config = read_config(file);
    config.validate();
    const Path parent = file.parent_path().filename();
    if (parent == "paper" || parent == "modern") {
      EXPECT_EQ(config.model.preset, parent.string());
    }
  }
}

TEST(Configs, OfThePaperHaveTheParametersItPrints) {
  const auto count = [](const std::string& name) {
    return parameter_count(model_of(configs() / "paper" / (name + ".toml")));
  };
  EXPECT_EQ(count("table-3-ecp-6-layers"), 87'087'940);
  for (const std::string data : {"wikitext-103", "pg19"}) {
    EXPECT_EQ(count("table-2-" + data + "-ecp-12-layers"), 129'607'492);
    EXPECT_EQ(count("table-2-" + data + "-ecp-18-layers"), 172'127'044);
    EXPECT_EQ(count("table-2-" + data + "-ecp-24-layers"), 214'646'596);
  }
}

TEST(Configs, ModernCounterpartsHaveAsManyParameters) {
  std::size_t compared = 0;
  for (const Path& file : files_of(configs() / "modern")) {
    const Path counterpart = configs() / "paper" / file.filename();
    const std::string name = file.filename().string();
    const Path paper =
        name.starts_with("peer-") ? configs() / "paper" / "table-3-ecp-6-layers.toml" : counterpart;
    if (!std::filesystem::exists(paper)) continue;
    const ModelConfig ours = model_of(file), theirs = model_of(paper);
    const auto without = [](const ModelConfig& model) {
      return static_cast<double>(parameter_count(model, true));
    };
    EXPECT_NEAR(without(ours) / without(theirs), 1, 0.01) << name;
    EXPECT_EQ(ours.sequence, theirs.sequence) << name;
    EXPECT_EQ(ours.dim, theirs.dim) << name;
    ++compared;
  }
  EXPECT_GT(compared, 30u);
}

TEST(Configs, ComparedModelsAreOfEqualSize) {
  const std::vector<Path> files = files_of(configs(), true);
  EXPECT_GE(files.size(), 1u);
  for (const Path& file : files) {
    const ComparisonConfig comparison = parse_comparison(read_file(file), file.string());
    comparison.validate();
    const auto size_of = [&](const ComparedModel& compared) {
      ModelConfig model = read_config(Path(ECP_SOURCE_DIR) / compared.config, compared.set).model;
      model.vocab = 8192;
      return static_cast<double>(parameter_count(model, true));
    };
    for (const ComparedModel& compared : comparison.models)
      EXPECT_NEAR(size_of(compared) / size_of(comparison.models.front()), 1, 0.01) << compared.name;
  }
}

}  // namespace
}  // namespace ecp
