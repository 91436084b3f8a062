#include "ecp/experiment/complexity_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ecp/config/variants.h"
#include "ecp/runtime/stream.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ComplexityReport paper_report() {
  const ModelConfig config = paper_setting();
  ComplexityReport report = count_architectures("Table 8", config, architecture_names(), config.sequence);
  report.paper = true;
  return report;
}

ModelConfig small() {
  ModelConfig config;
  config.dim = 16;
  config.sequence = 64;
  config.block = 8;
  apply_preset(config);
  return config;
}

TEST(ComplexityReport, ThreeOfThePapersFiguresAreOurs) {
  const ComplexityReport report = paper_report();
  EXPECT_EQ(report.models.size(), 8u);
  int derived = 0, others = 0;
  for (const CountedModel& model : report.models) {
    const PrintedEntries* printed = printed_entries(model.architecture);
    if (printed == nullptr) continue;
    const bool same = millions(model.cost.entries.dense) == printed->millions;
    EXPECT_EQ(same, printed->note.empty()) << model.architecture;
    ++(same ? derived : others);
  }
  EXPECT_EQ(derived, 3);
  EXPECT_EQ(others, 3);
}

TEST(ComplexityReport, WhatItsNotesSayIsSo) {
  const std::int64_t heads = 48 * 24, n = 4096, l = 2048;
  EXPECT_EQ(millions(heads * (n * l + 128 * 128)), printed_entries("compressed")->millions);
  EXPECT_GT(printed_entries("split")->millions, printed_entries("double")->millions);
  for (const std::int64_t b : {128, 256})
    EXPECT_LT(millions(heads * (b * b + (n / b - 1) * 2 * b * b)), printed_entries("ecp")->millions);
}

TEST(ComplexityReport, WhatCannotBeIsLeftOutWithAReason) {
  ModelConfig config = small();
  config.history_segment = 5;
  const ComplexityReport report = count_architectures("x", config, {"ecp", "split", "full"}, 64);
  EXPECT_EQ(report.models.size(), 2u);
  ASSERT_EQ(report.left_out.size(), 1u);
  EXPECT_THAT(report.left_out[0], HasSubstr("split: model.history_segment: expected a divisor"));
  EXPECT_THAT(error_of([&] { count_architectures("x", with_architecture(config, "split"), {"split"}, 64); }),
              HasSubstr("expected a divisor"));
  EXPECT_THAT(error_of([&] { count_architectures("x", config, {"fulll"}, 64); }),
              HasSubstr("got 'fulll' (did you mean 'full'?)"));
}

TEST(ComplexityReport, CachesAreAsLongAsTheRuntimes) {
  for (const CountedModel& model : count_architectures("x", small(), architecture_names(), 64).models) {
    if (model.cost.cache.kind == CacheCost::Kind::none) {
      EXPECT_THAT(error_of([&] { runtime::StreamLayout layout(model.config); }), HasSubstr("has no cache"));
      continue;
    }
    const runtime::StreamLayout layout(model.config);
    const bool bounded = model.cost.cache.kind == CacheCost::Kind::bounded;
    EXPECT_EQ(layout.frame(), bounded ? model.cost.cache.rows : 0) << model.architecture;
  }
}

/// Elements close in the order in which they were opened.
void expect_well_formed(const std::string& html) {
  const std::vector<std::string> empty{"!DOCTYPE", "meta", "wbr"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, html.find_first_of(" >", at) - at - 1);
    if (tag.starts_with("/")) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(open.back(), tag.substr(1)) << html.substr(at, 80);
      open.pop_back();
    } else if (html[end - 1] != '/' && std::find(empty.begin(), empty.end(), tag) == empty.end()) {
      open.push_back(tag);
    }
    if (tag == "script" || tag == "style") at = html.find("</" + tag, at) - 1;
  }
  EXPECT_TRUE(open.empty());
}

TEST(ComplexityPage, HasAllItsParts) {
  const std::string page = render_complexity(paper_report());
  expect_well_formed(page);
  for (const char* part :
       {"<h2>Beside the paper's Table 8</h2>", "<h2>Costs</h2>", "<h2>Cost against length</h2>",
        "<h2>Which keys each row sees</h2>", "<h2>How far back the last row reaches</h2>",
        "<h2>Layer by layer</h2>", "<b>14,495</b>", "data-log-x=\"1\""})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, Not(HasSubstr("http:")));
  EXPECT_THAT(page, Not(HasSubstr("https:")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, Not(HasSubstr(">inf")));
}

TEST(ComplexityPage, NamesCannotBreakIt) {
  ModelConfig config = small();
  config.history_segment = 5;
  const std::string page =
      render_complexity(count_architectures("<script>alert(1)</script>", config, architecture_names(), 64));
  expect_well_formed(page);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, HasSubstr("Left out: split"));
  EXPECT_THAT(page, Not(HasSubstr("Table 8")));
}

TEST(ComplexityPage, LengthsAreThoseThatCanBeCounted) {
  EXPECT_THAT(drawn_lengths(1), ElementsAre(1, 2, 4, 8, 16, 32, 64));
  EXPECT_THAT(drawn_lengths(12), ElementsAre(3, 6, 12, 24, 48, 96, 192, 384, 768));
  EXPECT_THAT(drawn_lengths(most_counted),
              ElementsAre(most_counted / 8, most_counted / 4, most_counted / 2, most_counted));
}

}  // namespace
}  // namespace ecp
