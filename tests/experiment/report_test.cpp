#include "ecp/experiment/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/config/config_file.h"
#include "ecp/experiment/settings.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string metrics =
    R"({"kind":"train","step":10,"loss":6,"lr":0.001,"grad_norm":1,"tokens":20480,"tokens_per_second":9000,"seconds":2.3,"peak_memory":400000000}
{"kind":"train","step":20,"loss":5,"lr":0.001,"grad_norm":1,"tokens":40960,"tokens_per_second":9100,"seconds":4.6,"peak_memory":410000000}
{"kind":"eval","step":20,"seconds":4.6,"loss":5.1,"perplexity_token":164,"perplexity_word":900,"bits_per_byte":2.1,"tokens":1000,"words":700,"bytes":4000,"window":256,"context":128}
{"kind":"sample","step":20,"prompt":"It is <b>","text":" a truth & so"}
)";

std::string page_of(const std::vector<Path>& folders) { return render_report(read_runs(folders)); }

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
  const std::string page = page_of({run.path()});

  for (const char* expected : {"<h1>ecp-test-",
                               ">Loss<",
                               ">Perplexity<",
                               ">Throughput<",
                               "northanger-abbey",
                               "1.812",
                               "134.20",
                               "256 / 128",
                               "xz -9",
                               "2.534",
                               "It is &lt;b&gt;",
                               " a truth &amp; so",
                               "after 20 steps",
                               "<td>dim</td><td>256</td>",
                               "<td>commit</td><td>abc</td>",
                               "Catherine &lt;/blockquote&gt;&lt;script&gt;",
                               ">Gradient norm<",
                               ">Memory<",
                               "default-src 'none'",
                               "prefers-color-scheme: dark",
                               "width=device-width",
                               "40,960"}) {
    EXPECT_THAT(page, HasSubstr(expected));
  }
  for (const char* forbidden : {"<script>alert", "http://", "https://", "src=", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(forbidden))) << "the page stands alone";
  }
}

TEST(Report, NeedsMetricsOnly) {
  const TemporaryFolder run;
  write_file(run / "metrics.jsonl", metrics);
  const std::string page = page_of({run.path()});
  EXPECT_THAT(page, Not(HasSubstr("<h2>Evaluations")));
  EXPECT_THAT(page, Not(HasSubstr("<h2>Configuration and")));
  EXPECT_THAT(page, HasSubstr("</html>"));
}

TEST(Report, SaysWhatIsWrong) {
  const TemporaryFolder run;
  EXPECT_EQ(error_of([&] { read_run(run / "missing"); }),
            "cannot report on '" + (run / "missing").string() + "': expected a run folder");
  EXPECT_THAT(error_of([&] { read_run(run.path()); }),
              HasSubstr("expected a run folder, with metrics.jsonl in it"));
  write_file(run / "metrics.jsonl", "");
  EXPECT_THAT(error_of([&] { read_run(run.path()); }), HasSubstr("expected at least one line"));
  write_file(run / "metrics.jsonl", "garbage\n");
  EXPECT_THAT(error_of([&] { read_run(run.path()); }), HasSubstr("metrics.jsonl:1: expected a JSON object)"));
  write_file(run / "metrics.jsonl", metrics);
  EXPECT_THAT(error_of([&] { read_runs({run.path(), run / "."}); }), HasSubstr("twice"));
}

TEST(Report, DamageIsSaidAndTheRestShown) {
  const TemporaryFolder run;
  std::filesystem::create_directory(run / "evaluations");
  write_file(run / "metrics.jsonl", "\x01 garbage <b>\n" + metrics + "{\"kind\":\"train\",\"st");
  write_file(run / "config.toml", "[model");
  write_file(run / "run.json", "{");
  write_file(run / "evaluations/a.json", "");
  write_file(run / "evaluations/b.json", R"({"bits_per_byte": 1.25})");
  const std::string page = page_of({run.path()});
  for (const char* expected :
       {"1 line of metrics.jsonl left out", "config.toml:1: expected [section]",
        "run.json: expected a JSON object", "a.json: expected a JSON object", "1.250", ">Loss<"}) {
    EXPECT_THAT(page, HasSubstr(expected));
  }
}

TEST(Report, NothingHostileGetsThrough) {
  const std::string attack = "</title></script><script>alert(1)</script><img onerror='x' \"";
  const TemporaryFolder parent;
  const Path run = parent / "a<b>&'\"";
  std::filesystem::create_directories(run / "evaluations");
  const nlohmann::json sample = {{"kind", "sample"}, {"step", 20}, {"prompt", attack}, {"text", attack}};
  const nlohmann::json skip = {{"kind", "skip"}, {"step", 15}, {"reason", attack}};
  write_file(run / "metrics.jsonl", metrics + skip.dump() + "\n" + sample.dump() + "\n");
  write_file(run / "config.toml", "[" + attack + "]\n" + attack + " = " + attack + "\n");
  write_file(run / "run.json",
             nlohmann::json{{attack, attack}, {"starts", {{{"time", attack}, {"cpu", attack}}}}}.dump());
  write_file(run / "evaluations/<script>.json", R"({"bits_per_byte": 1.25})");
  write_file(run / "sample.txt", attack);
  for (const auto& folders : std::vector<std::vector<Path>>{{run}, {run, parent / "b"}}) {
    std::filesystem::copy(
        run, parent / "b",
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
    const std::string page = page_of(folders);
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
    EXPECT_THAT(page, Not(HasSubstr("a<b>")));
    EXPECT_EQ(page.find("<script"), page.rfind("<script")) << "one script, the page's own";
  }
}

/// A line of training; `more` stands at its end.
std::string train_line(int step, double loss, int tokens_per_step = 100) {
  return nlohmann::json{{"kind", "train"},
                        {"step", step},
                        {"loss", loss},
                        {"lr", 1e-3},
                        {"grad_norm", 1},
                        {"tokens", step * tokens_per_step},
                        {"tokens_per_second", 50},
                        {"seconds", 2},
                        {"peak_memory", 5e8}}
             .dump() +
         "\n";
}

TEST(Report, SeveralRunsAreDrawnOverEachOther) {
  const TemporaryFolder parent;
  for (const char* name : {"one", "two", "deep/one"}) {
    std::filesystem::create_directories(parent / name);
    const bool first = std::string(name) == "one";
    write_file(parent / name / "metrics.jsonl",
               train_line(10, first ? 2.5 : 2.75) + train_line(20, first ? 2 : 2.25));
    write_file(parent / name / "config.toml",
               fmt::format("[model]\ndim = 256\n[train]\nlr = {}\nsteps = 40\n", first ? 0.1 : 0.2));
  }
  const std::string page = page_of({parent / "one", parent / "two", parent / "deep/one"});
  EXPECT_THAT(page, HasSubstr("<h1>3 runs</h1>"));
  EXPECT_THAT(page, HasSubstr("deep/one")) << "names that are the same get longer";
  EXPECT_THAT(page, HasSubstr("20 of 40"));
  EXPECT_THAT(page, HasSubstr("<b>2.000</b>")) << "the lowest loss is marked";
  EXPECT_THAT(page, HasSubstr("class=\"line s2\""));
  EXPECT_THAT(page, HasSubstr(">Training loss<"));
  EXPECT_THAT(page, Not(HasSubstr(">Validation loss<"))) << "there is none";
  const auto differing = page.substr(page.find("Settings that differ"));
  EXPECT_THAT(differing.substr(0, differing.find("</table>")), HasSubstr("train.lr</th><td>0.1</td><td>0.2"));
  EXPECT_THAT(differing.substr(0, differing.find("</table>")), Not(HasSubstr("dim")));
}

TEST(Report, RunsOfDifferentStepsAreDrawnOverTokens) {
  const TemporaryFolder parent;
  std::filesystem::create_directory(parent / "a");
  std::filesystem::create_directory(parent / "b");
  write_file(parent / "a/metrics.jsonl", train_line(10, 2, 100));
  write_file(parent / "b/metrics.jsonl", train_line(10, 2, 300));
  const std::string page = page_of({parent / "a", parent / "b"});
  EXPECT_THAT(page, HasSubstr("over tokens trained"));
  EXPECT_THAT(page, HasSubstr("data-x=\"1000\""));
  EXPECT_THAT(page, HasSubstr("data-x=\"3000\""));
  EXPECT_THAT(page_of({parent / "a"}), HasSubstr("over step"));
}

TEST(Report, SettingsOtherThanTheDefaultsOfThePreset) {
  const TemporaryFolder run;
  write_file(run / "metrics.jsonl", metrics);
  Config config =
      parse_config("[model]\npreset = \"modern\"\n[data]\ntrain = [\"a.npy\"]\n[train]\nlr = 0.5\n", "c");
  write_file(run / "config.toml", to_toml(config));
  std::vector<std::string> names;
  for (const SettingRow& row : changed_settings(read_run(run.path()))) names.push_back(row.name);
  EXPECT_THAT(names, ElementsAre("data.train", "train.lr"));
  EXPECT_THAT(page_of({run.path()}), HasSubstr("train.lr</th><td>0.5</td><td class=\"quiet\">0.001"));
  write_file(run / "config.toml", "[model]\npreset = \"later\"\n");
  EXPECT_THAT(page_of({run.path()}), Not(HasSubstr("Settings other")));
}

TEST(Report, EventsOfARun) {
  const TemporaryFolder run;
  write_file(run / "metrics.jsonl", metrics + "{\"kind\":\"skip\",\"step\":15,\"reason\":\"loss is nan\"}\n" +
                                        R"({"kind":"train","step":30,"loss":null})" + "\n");
  write_file(
      run / "run.json",
      R"({"starts":[{"step":0,"time":"2026-01-31T12:00:00Z","version":"1.0","commit":"abc","threads":4},
                           {"step":20,"time":"2026-02-01T12:00:00Z"}, "what"]})");
  const std::string page = page_of({run.path()});
  for (const char* expected : {"started 2026-01-31T12:00:00Z by ecp 1.0 (abc), 4 threads",
                               "went on 2026-02-01T12:00:00Z by ecp ? (?)", "step skipped: loss is nan",
                               "training loss is not finite", "<title>resumed from step 20</title>",
                               "<title>step 15 skipped: loss is nan</title>"}) {
    EXPECT_THAT(page, HasSubstr(expected));
  }
}

TEST(Report, ManyLinesAndManySamples) {
  const TemporaryFolder run;
  std::string lines;
  for (int i = 1; i <= 50000; ++i) lines += train_line(i, i == 33333 ? 77 : 2 + 1.0 / i);
  for (int i = 1; i <= 500; ++i) {
    lines +=
        nlohmann::json{{"kind", "sample"}, {"step", i * 100}, {"prompt", ""}, {"text", "t"}}.dump() + "\n";
  }
  write_file(run / "metrics.jsonl", lines);
  const std::string page = page_of({run.path()});
  EXPECT_LT(page.size(), 300000u);
  EXPECT_THAT(page, HasSubstr(",77,")) << "a spike stays visible";
  EXPECT_THAT(page, HasSubstr("after 50,000 steps"));
  EXPECT_THAT(page, HasSubstr("500 samples, each 13. shown"));
}

}  // namespace
}  // namespace ecp
