#include "ecp/cli/command_tree.h"

#include <gtest/gtest.h>

#include "ecp/base/error.h"

namespace ecp::cli {
namespace {

struct Values {
  std::string output, format = "auto", input;
  std::vector<std::string> sets;
  int count = 3;
  bool json = false;
};

/// ecp data stats, and ecp train, which is handed over.
void define(CLI::App& app, Values& values) {
  app.name("ecp");
  CLI::App* stats = app.add_subcommand("data", "Look at data")->add_subcommand("stats", "Count");
  stats->add_option("INPUT", values.input, "A text")->required();
  stats->add_option("-o,--output", values.output, "A file")->type_name("NAME.npy");
  stats->add_option("--format", values.format, "A kind")
      ->check(CLI::IsMember({"auto", "text"}))
      ->type_name("auto|text")
      ->capture_default_str();
  stats->add_option("--count", values.count, "A number")->capture_default_str()->envname("COUNT");
  stats->add_option("--set", values.sets, "Fields")->allow_extra_args(false);
  stats->add_flag("--json", values.json, "JSON");
  stats->footer("More.");
  app.add_subcommand("secret", "Hidden")->group("");
  app.add_subcommand("train", "Train")->prefix_command();
}

class Tree : public testing::Test {
 protected:
  Tree() { define(app_, values_); }

  const OptionInfo& option(const CommandInfo& root, const std::string& name) {
    for (const OptionInfo& one : find_command(root, "data stats")->options) {
      if (one.is_argument() ? one.value == name : one.names.back() == name) return one;
    }
    throw Error("no option " + name);
  }

  CLI::App app_;
  Values values_;
};

TEST_F(Tree, HasWhatHelpShows) {
  const CommandInfo root = describe(app_);
  ASSERT_EQ(root.commands.size(), 2U);  // not the hidden one
  const CommandInfo* stats = find_command(root, "data stats");
  ASSERT_NE(stats, nullptr);
  EXPECT_EQ(stats->summary, "Count");
  EXPECT_EQ(stats->footer, "More.");
  EXPECT_EQ(find_command(root, "data other"), nullptr);
  EXPECT_EQ(option(root, "--output").names, (std::vector<std::string>{"-o", "--output"}));
  EXPECT_EQ(option(root, "--output").value, "NAME.npy");
  EXPECT_EQ(option(root, "--format").choices, (std::vector<std::string>{"auto", "text"}));
  EXPECT_EQ(option(root, "--format").standard, "auto");
  EXPECT_EQ(option(root, "--count").value, "N");
  EXPECT_EQ(option(root, "--count").standard, "3");
  EXPECT_EQ(option(root, "--count").environment, "COUNT");
  EXPECT_TRUE(option(root, "--set").repeats);
  EXPECT_FALSE(option(root, "--set").many);
  EXPECT_TRUE(option(root, "--json").value.empty());
  EXPECT_TRUE(option(root, "INPUT").required);
}

TEST_F(Tree, KnowsWhatCompletesAValue) {
  const CommandInfo root = describe(app_);
  EXPECT_EQ(kinds_of(option(root, "--output")).extension, ".npy");
  EXPECT_TRUE(kinds_of(option(root, "INPUT")).files);
  EXPECT_EQ(kinds_of(option(root, "--format")).words.size(), 2U);
  EXPECT_TRUE(kinds_of(option(root, "--count")).words.empty());
  OptionInfo path;
  path.value = "bytes|PATH";
  EXPECT_EQ(kinds_of(path).words, std::vector<std::string>{"bytes"});
  EXPECT_TRUE(kinds_of(path).files);
  path.value = "FILE.npy|TEXT";
  EXPECT_EQ(kinds_of(path).extension, "");
  path.value = "CHECKPOINT";
  EXPECT_TRUE(kinds_of(path).folders);
  path.value = "SECTION.KEY=VALUE";
  EXPECT_FALSE(kinds_of(path).files);
}

TEST_F(Tree, AnotherProgramTellsOfWhatItIsHanded) {
  EXPECT_FALSE(find_command(describe(app_), "train")->known);
  CLI::App other;
  other.add_subcommand("train", "Train")->add_flag("--resume", values_.json, "Go on")->required();
  const CommandInfo torch = command_from_json(to_json(describe(other)));
  std::string asked;
  const CommandInfo root = describe(app_, [&](const std::string& path) -> std::optional<CommandInfo> {
    asked = path;
    return *find_command(torch, path);
  });
  EXPECT_EQ(asked, "train");
  const CommandInfo* train = find_command(root, "train");
  EXPECT_TRUE(train->known);
  ASSERT_EQ(train->options.size(), 2U);  // with --help
  EXPECT_EQ(train->options[1].names, std::vector<std::string>{"--resume"});
  EXPECT_TRUE(train->options[1].required);
}

TEST_F(Tree, JsonKeepsEverything) {
  const CommandInfo root = describe(app_);
  EXPECT_EQ(to_json(command_from_json(to_json(root))), to_json(root));
  EXPECT_THROW(command_from_json("{\"name\": 1}"), Error);
  EXPECT_THROW(command_from_json("ecp-torch: error"), Error);
}

}  // namespace
}  // namespace ecp::cli
