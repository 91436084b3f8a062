#include "ecp/experiment/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string metrics =
    R"({"kind":"train","step":10,"loss":6,"lr":0.001,"grad_norm":1,"tokens":20480,"tokens_per_second":9000,"seconds":2.3,"peak_memory":400000000}
{"kind":"train","step":20,"loss":5,"lr":0.001,"grad_norm":1,"tokens":40960,"tokens_per_second":9100,"seconds":4.6,"peak_memory":410000000}
{"kind":"eval","step":20,"seconds":4.6,"loss":5.1,"perplexity_token":164,"perplexity_word":900,"bits_per_byte":2.1,"tokens":1000,"words":700,"bytes":4000,"window":256,"context":128}
{"kind":"sample","step":20,"prompt":"It is <b>","text":" a truth & so"}
)";

TEST(Report, ShowsAllThatARunFolderHolds) {
  const TemporaryFolder run;
  std::filesystem::create_directory(run / "evaluations");
  write_file(run / "metrics.jsonl", metrics);
  write_file(run / "config.toml", "[model]\ndim = 256\n");
  write_file(run / "run.json", R"({"commit": "abc", "parameters": 3000000})");
  write_file(
      run / "evaluations/northanger-abbey.json",
      R"({"loss": 4.9, "perplexity_token": 134.2, "bits_per_byte": 1.812, "tokens": 2000, "window": 256, "context": 128})");
  write_file(run / "evaluations/baselines.json",
             R"({"baselines": [{"name": "xz -9", "bits_per_byte": 2.534}]})");
  write_file(run / "sample.txt", "Catherine </blockquote><script>alert(1)</script>");
  const std::string page = render_report(run.path());

  for (const char* expected : {"<h1>ecp-test-", ">Loss<", ">Perplexity<", ">Throughput<", "northanger-abbey",
                               "1.812", "134.20", "256 / 128", "xz -9", "2.534", "It is &lt;b&gt;",
                               " a truth &amp; so", "after 20 steps", "<td>dim</td><td>256</td>",
                               "<td>commit</td><td>abc</td>", "Catherine &lt;/blockquote&gt;&lt;script&gt;",
                               "prefers-color-scheme: dark", "width=device-width", "40,960"}) {
    EXPECT_THAT(page, HasSubstr(expected));
  }
  for (const char* forbidden : {"<script", "http://", "https://", "src=", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(forbidden))) << "the page stands alone";
  }
}

TEST(Report, NeedsMetricsOnly) {
  const TemporaryFolder run;
  write_file(run / "metrics.jsonl", metrics);
  const std::string page = render_report(run.path());
  EXPECT_THAT(page, Not(HasSubstr("<h2>Evaluations")));
  EXPECT_THAT(page, Not(HasSubstr("<h2>Configuration")));
  EXPECT_THAT(page, HasSubstr("</html>"));
}

TEST(Report, SaysWhatIsWrong) {
  const TemporaryFolder run;
  EXPECT_EQ(error_of([&] { render_report(run / "missing"); }),
            "cannot report on '" + (run / "missing").string() + "': expected a run folder");
  EXPECT_THAT(error_of([&] { render_report(run.path()); }), HasSubstr("metrics.jsonl': No such file"));
  write_file(run / "metrics.jsonl", "");
  EXPECT_THAT(error_of([&] { render_report(run.path()); }), HasSubstr("expected at least one line"));
  write_file(run / "metrics.jsonl", metrics + "garbage\n");
  EXPECT_THAT(error_of([&] { render_report(run.path()); }),
              HasSubstr("metrics.jsonl:5: expected a JSON object"));
}

}  // namespace
}  // namespace ecp
