#include "ecp/experiment/report.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/experiment/chart.h"
#include "ecp/experiment/run_log.h"

namespace ecp {
namespace {

constexpr std::size_t largest_file = std::size_t{1} << 30;

constexpr const char* style = R"(
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --quiet: #5b6673; --rule: #d9dee4; --soft: #f4f6f8;
  --s0: #2a6fbb; --s1: #c2540a; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e4e8ec; --quiet: #9aa5b1; --rule: #343b43; --soft: #1d2228; --s0: #6cb0f5;
    --s1: #f2a35e; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .4rem 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.quiet, figcaption, th, dt { color: var(--quiet); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.facts div { background: var(--soft); border-radius: .5rem; padding: .5rem .8rem; }
dl, dd { margin: 0; }
dt { font-size: .85rem; }
dd { font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; min-width: 0; }
figcaption b { color: var(--ink); margin-right: .5rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12.5px system-ui, sans-serif; fill: var(--quiet); }
.x { text-anchor: middle; }
.y { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--quiet); stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line.s0 { stroke: var(--s0); }
.line.s1 { stroke: var(--s1); stroke-width: 2.2; }
circle.s0 { fill: var(--s0); }
circle.s1 { fill: var(--s1); }
.key { margin-right: .6rem; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 1.1em; height: .22em; margin-right: .35em;
  vertical-align: middle; background: currentColor; }
.key.s0 { color: var(--s0); }
.key.s1 { color: var(--s1); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 500; font-size: .9rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
.pairs { width: 100%; table-layout: fixed; }
.pairs td { overflow-wrap: anywhere; font-size: .92rem; }
.pairs td:first-child { color: var(--quiet); width: 42%; }
blockquote { margin: .5rem 0; padding: .8rem 1rem; background: var(--soft); border-left: .25rem solid var(--s0);
  border-radius: 0 .4rem .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 1rem/1.55 Georgia, serif; }
summary { cursor: pointer; padding: .25rem 0; }
)";

double best(const std::vector<EvalPoint>& points, double EvalFigures::*figure) {
  double least = NAN;
  for (const EvalPoint& point : points) {
    if (!(point.figures.*figure >= least)) least = point.figures.*figure;
  }
  return least;
}

std::string duration(double seconds) {
  const auto whole =
      static_cast<long long>(std::isfinite(seconds) && seconds > 0 ? std::min(seconds, 1e12) + 0.5 : 0.0);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

std::string headline(const RunLog& log) {
  std::string html = "<dl class=\"facts\">\n";
  const auto add = [&](const char* name, const std::string& value) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
  };
  if (!log.train.empty()) {
    const TrainPoint& last = log.train.back();
    double memory = 0;
    for (const TrainPoint& point : log.train) memory = std::fmax(memory, point.peak_memory);
    add("steps", grouped(static_cast<double>(last.step)));
    add("tokens trained", grouped(last.tokens));
    add("training time", duration(last.seconds));
    add("tokens per second", last.seconds > 0 ? grouped(last.tokens / last.seconds) : "–");
    add("peak memory", decimal(memory / 1e9, 2) + " GB");
    add("last training loss", decimal(last.loss, 3));
  }
  if (!log.eval.empty()) {
    add("best validation perplexity", decimal(best(log.eval, &EvalFigures::perplexity_token), 2));
    add("best validation bits per byte", decimal(best(log.eval, &EvalFigures::bits_per_byte), 3));
  }
  return html + "</dl>\n";
}

std::string charts(const RunLog& log) {
  const auto train = [&](auto value) {
    Series series{"training", {}};
    for (const TrainPoint& point : log.train)
      series.points.emplace_back(static_cast<double>(point.step), value(point));
    return series;
  };
  const auto eval = [&](double EvalFigures::*figure) {
    Series series{"validation", {}, true};
    for (const EvalPoint& point : log.eval) {
      series.points.emplace_back(static_cast<double>(point.step), point.figures.*figure);
    }
    return series;
  };
  const auto loss = [](const TrainPoint& point) { return point.loss; };
  const auto perplexity = [](const TrainPoint& point) { return std::exp(point.loss); };
  std::string html;
  html += render({.title = "Loss",
                  .x_label = "step",
                  .y_label = "nats per token",
                  .series = {train(loss), eval(&EvalFigures::loss)}});
  html += render({.title = "Perplexity",
                  .x_label = "step",
                  .y_label = "per token, log scale",
                  .log_y = true,
                  .series = {train(perplexity), eval(&EvalFigures::perplexity_token)}});
  html += render({.title = "Bits per byte",
                  .x_label = "step",
                  .y_label = "bits per byte",
                  .series = {{}, eval(&EvalFigures::bits_per_byte)}});
  html += render({.title = "Throughput",
                  .x_label = "step",
                  .y_label = "tokens per second",
                  .from_zero = true,
                  .series = {train([](const TrainPoint& point) { return point.tokens_per_second; })}});
  html += render({.title = "Learning rate",
                  .x_label = "step",
                  .y_label = "learning rate",
                  .from_zero = true,
                  .series = {train([](const TrainPoint& point) { return point.lr; })}});
  return html.empty() ? "" : "<h2>Curves</h2>\n<div class=\"charts\">\n" + html + "</div>\n";
}

std::string evaluation_row(const NamedEvaluation& row) {
  std::string html = fmt::format("<tr><td>{}</td>", escape_html(row.name));
  const auto cell = [&](const std::string& text) { html += "<td class=\"number\">" + text + "</td>"; };
  cell(decimal(row.figures.bits_per_byte, 3));
  cell(decimal(row.figures.perplexity_token, 2));
  cell(decimal(row.figures.perplexity_word, 1));
  cell(decimal(row.figures.loss, 4));
  cell(grouped(row.figures.tokens));
  cell(std::isnan(row.figures.window)
           ? "–"
           : fmt::format("{} / {}", grouped(row.figures.window), grouped(row.figures.context)));
  return html + "</tr>\n";
}

std::string evaluations(const Path& run) {
  std::string rows;
  for (const NamedEvaluation& row : read_evaluations(run)) rows += evaluation_row(row);
  if (rows.empty()) return "";
  return "<h2>Evaluations</h2>\n<div class=\"scroll\"><table>\n<tr><th></th><th class=\"number\">bits per "
         "byte</th>"
         "<th class=\"number\">perplexity per token</th><th class=\"number\">per word</th>"
         "<th class=\"number\">nats per token</th><th class=\"number\">tokens</th>"
         "<th class=\"number\">window / context</th></tr>\n" +
         rows + "</table></div>\n";
}

std::string sample_quote(const Sample& sample) {
  return fmt::format("<blockquote><span class=\"quiet\">{}</span>{}</blockquote>\n",
                     escape_html(sample.prompt), escape_html(sample.text));
}

std::string samples(const Path& run, const RunLog& log) {
  std::string html;
  const Path longer = run / "sample.txt";
  if (std::filesystem::exists(longer)) {
    html += fmt::format("<blockquote>{}</blockquote>\n", escape_html(read_small_file(longer, largest_file)));
  }
  for (std::size_t i = 0; i < log.samples.size(); ++i) {
    const bool open = i + 1 == log.samples.size() && html.empty();
    html += fmt::format("<details{}><summary>after {} steps</summary>\n{}</details>\n", open ? " open" : "",
                        grouped(static_cast<double>(log.samples[i].step)), sample_quote(log.samples[i]));
  }
  return html.empty() ? "" : "<h2>Samples</h2>\n" + html;
}

std::string pairs(const Facts& facts, bool open) {
  std::string html = fmt::format("<details{}><summary>{}</summary>\n<table class=\"pairs\">\n",
                                 open ? " open" : "", escape_html(facts.section));
  for (const auto& [name, value] : facts.rows) {
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(name), escape_html(value));
  }
  return html + "</table></details>\n";
}

std::string configuration(const Path& run) {
  std::string html;
  if (std::filesystem::exists(run / "config.toml")) {
    html += "<h2>Configuration</h2>\n";
    for (const Facts& section : read_resolved_config(run / "config.toml"))
      html += pairs(section, section.section == "model");
  }
  if (std::filesystem::exists(run / "run.json")) {
    html += "<h2>Run</h2>\n" + pairs(read_json_facts(run / "run.json"), true);
  }
  return html;
}

}  // namespace

std::string render_report(const Path& run) {
  require(std::filesystem::is_directory(run), "cannot report on '{}': expected a run folder", run.string());
  const Path metrics = run / "metrics.jsonl";
  const RunLog log = parse_metrics(read_small_file(metrics, largest_file), metrics.string());
  require(!log.train.empty() || !log.eval.empty(), "{}: expected at least one line of kind train or eval",
          metrics.string());
  const Path absolute = std::filesystem::absolute(run).lexically_normal();
  const std::string name =
      escape_html((absolute.has_filename() ? absolute : absolute.parent_path()).filename().string());

  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} – training report</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n"
      "<p class=\"quiet\">Training report</p>\n{}{}{}{}{}</body>\n</html>\n",
      name, style, name, headline(log), charts(log), evaluations(run), samples(run, log), configuration(run));
}

}  // namespace ecp
