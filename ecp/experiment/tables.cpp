#include "ecp/experiment/tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/experiment/chart.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/settings.h"

namespace ecp {
namespace {

constexpr std::size_t most_events = 200;  // shown of each run

double best(const std::vector<EvalPoint>& points, double EvalFigures::*figure) {
  double least = NAN;
  for (const EvalPoint& point : points) least = std::fmin(least, point.figures.*figure);
  return least;
}

/// "45.21 %"; "–" if not known.
std::string percent(double share) { return std::isnan(share) ? "–" : decimal(100 * share, 2) + " %"; }

double highest_accuracy(const std::vector<EvalPoint>& points) {
  double most = NAN;
  for (const EvalPoint& point : points) most = std::fmax(most, point.figures.accuracy);
  return most;
}

/// A figure of the summary.
struct Figure {
  const char* name;
  std::string text;
  double rank = NAN;  // what is lowest among several runs, the best, is marked
};

std::string steps_done(const Run& run) {
  const double done =
      static_cast<double>(run.log.train.empty() ? run.log.eval.back().step : run.log.train.back().step);
  const std::string planned = run.setting("train", "steps");
  const bool by_clock = run.setting("train", "minutes").find_first_of("123456789") != std::string::npos;
  if (by_clock || planned.empty() || planned.size() > 15 ||
      planned.find_first_not_of("0123456789") != std::string::npos)
    return grouped(done);
  return grouped(done) + " of " + grouped(std::stod(planned));
}

std::vector<Figure> figures_of(const Run& run) {
  std::vector<Figure> all;
  const bool trained = !run.log.train.empty();
  const TrainPoint last = trained ? run.log.train.back() : TrainPoint{0, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
  double memory = NAN, least = NAN;
  for (const TrainPoint& point : run.log.train) {
    memory = std::fmax(memory, point.peak_memory);
    least = std::fmin(least, point.loss);
  }
  const auto ranked = [&](const char* name, double value, int digits) {
    all.push_back({name, decimal(value, digits), value});
  };
  all.push_back({"steps", steps_done(run), NAN});
  all.push_back({"tokens trained", grouped(last.tokens), NAN});
  all.push_back({"training time", duration(last.seconds), NAN});
  all.push_back({"tokens per second", last.seconds > 0 ? grouped(last.tokens / last.seconds) : "–", NAN});
  all.push_back({"peak memory", std::isnan(memory) ? "–" : decimal(memory / 1e9, 2) + " GB", NAN});
  all.push_back({"parameters", short_number(run.parameters), NAN});
  ranked("last training loss", last.loss, 3);
  ranked("lowest training loss", least, 3);
  ranked("last validation loss", run.log.eval.empty() ? NAN : run.log.eval.back().figures.loss, 4);
  ranked("best validation loss", best(run.log.eval, &EvalFigures::loss), 4);
  const double accuracy = highest_accuracy(run.log.eval);
  all.push_back({"best accuracy", percent(accuracy), -accuracy});
  ranked("best bits per byte", best(run.log.eval, &EvalFigures::bits_per_byte), 3);
  ranked("best perplexity per token", best(run.log.eval, &EvalFigures::perplexity_token), 2);
  ranked("best perplexity per word", best(run.log.eval, &EvalFigures::perplexity_word), 1);
  return all;
}

std::string cards(const Run& run) {
  std::string html = "<dl class=\"facts\">\n";
  for (const Figure& figure : figures_of(run)) {
    if (figure.text != "–")
      html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", figure.name, figure.text);
  }
  return html + "</dl>\n";
}

/// "train.sample_prompt" with places where a narrow column may break it.
std::string setting_name(const std::string& name) {
  std::string html;
  for (const char c : escape_html(name)) {
    html += c;
    if (c == '_') html += "<wbr>";
  }
  return html;
}

std::string run_head(std::size_t index, const Run& run) {
  return fmt::format("<th scope=\"row\"><span class=\"key {}\">{}</span></th>", series_class(index),
                     escape_html(run.name));
}

std::string comparison(const std::vector<Run>& runs) {
  std::vector<std::vector<Figure>> all;
  for (const Run& run : runs) all.push_back(figures_of(run));
  // What no run has isn't shown.
  const auto known = [&](std::size_t j) {
    return std::any_of(all.begin(), all.end(), [&](const auto& figures) { return figures[j].text != "–"; });
  };
  std::string rows = "<tr><th scope=\"col\">run</th>";
  for (std::size_t j = 0; j < all[0].size(); ++j) {
    const Figure& figure = all[0][j];
    if (!known(j)) continue;
    rows += fmt::format("<th scope=\"col\" class=\"number\">{}</th>", figure.name);
  }
  rows += "</tr>\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    rows += "<tr>" + run_head(i, runs[i]);
    for (std::size_t j = 0; j < all[i].size(); ++j) {
      if (!known(j)) continue;
      double least = NAN;
      for (const auto& figures : all) least = std::fmin(least, figures[j].rank);
      const bool mark = all[i][j].rank == least;
      rows += fmt::format("<td class=\"number\">{}{}{}</td>", mark ? "<b>" : "", all[i][j].text,
                          mark ? "</b>" : "");
    }
    rows += "</tr>\n";
  }
  return "<h2>Summary</h2>\n<p class=\"quiet\">Bold: the best of each column of losses and "
         "accuracies.</p>\n" +
         scrolling_table("Summary", rows);
}

/// A column of evaluations.
struct Column {
  const char* name;
  std::string (*text)(const EvalFigures&);
};

constexpr Column evaluation_columns[] = {
    {"accuracy", [](const EvalFigures& f) { return percent(f.accuracy); }},
    {"bits per byte", [](const EvalFigures& f) { return decimal(f.bits_per_byte, 3); }},
    {"perplexity per token", [](const EvalFigures& f) { return decimal(f.perplexity_token, 2); }},
    {"per word", [](const EvalFigures& f) { return decimal(f.perplexity_word, 1); }},
    {"loss, nats", [](const EvalFigures& f) { return decimal(f.loss, 4); }},
    {"images", [](const EvalFigures& f) { return grouped(f.images); }},
    {"tokens", [](const EvalFigures& f) { return grouped(f.tokens); }},
    {"window / context",
     [](const EvalFigures& f) {
       return std::isnan(f.window) ? std::string("–")
                                   : fmt::format("{} / {}", grouped(f.window), grouped(f.context));
     }},
};

/// Those of `columns` in which one of `all` has something.
std::vector<Column> known(std::span<const Column> columns, const std::vector<EvalFigures>& all) {
  std::vector<Column> result;
  std::copy_if(columns.begin(), columns.end(), std::back_inserter(result), [&](const Column& column) {
    return std::any_of(all.begin(), all.end(),
                       [&](const EvalFigures& figures) { return column.text(figures) != "–"; });
  });
  return result;
}

std::string heads(const std::vector<Column>& columns) {
  std::string html;
  for (const Column& column : columns)
    html += fmt::format("<th scope=\"col\" class=\"number\">{}</th>", column.name);
  return html;
}

std::string cells(const std::vector<Column>& columns, const EvalFigures& figures) {
  std::string html;
  for (const Column& column : columns)
    html += fmt::format("<td class=\"number\">{}</td>", column.text(figures));
  return html;
}

/// Validation while training as figures: what the curves show, for who can't see them or wants the numbers.
std::string validation_table(const Run& run) {
  constexpr std::size_t most_rows = 400, most_columns = 5;  // what doesn't change from row to row is left out
  const auto& points = run.log.eval;
  if (points.empty()) return "";
  std::vector<EvalFigures> all;
  for (const EvalPoint& point : points) all.push_back(point.figures);
  const auto columns = known(std::span(evaluation_columns).first(most_columns), all);
  std::string rows = fmt::format("<tr><th scope=\"col\" class=\"number\">step</th>{}</tr>\n", heads(columns));
  const std::size_t each = points.size() / most_rows + 1;
  for (std::size_t i = (points.size() - 1) % each; i < points.size(); i += each) {
    rows += fmt::format("<tr><td class=\"number\">{}</td>{}</tr>\n",
                        grouped(static_cast<double>(points[i].step)), cells(columns, all[i]));
  }
  return fmt::format("<details><summary>Validation while training, {} points{}</summary>\n{}</details>\n",
                     points.size(), each > 1 ? fmt::format(", each {}. shown", each) : "",
                     scrolling_table("Validation while training", rows));
}

std::string changed(const Run& run) {
  std::vector<SettingRow> rows;
  try {
    rows = changed_settings(run);
  } catch (const Error&) {
    return "";  // of a program with other presets; the whole configuration stands below
  }
  if (rows.empty()) return "";
  std::string html =
      "<tr><th scope=\"col\">setting</th><th scope=\"col\">this run</th><th "
      "scope=\"col\">default</th></tr>\n";
  for (const SettingRow& row : rows) {
    html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"quiet\">{}</td></tr>\n",
                        setting_name(row.name), escape_html(row.values[0]),
                        row.values[1].empty() ? "–" : escape_html(row.values[1]));
  }
  return "<h2>Settings other than the defaults</h2>\n" +
         scrolling_table("Settings other than the defaults", html);
}

std::string differing(const std::vector<Run>& runs) {
  const std::vector<SettingRow> rows = differing_settings(runs);
  const bool known =
      std::none_of(runs.begin(), runs.end(), [](const Run& run) { return run.config.empty(); });
  if (rows.empty()) {
    return fmt::format("<h2>Settings</h2>\n<p>{}</p>\n",
                       known ? "All settings of these runs are the same."
                             : "Not compared: a run has no configuration that could be read.");
  }
  std::string html = "<tr><th scope=\"col\">setting</th>";
  for (std::size_t i = 0; i < runs.size(); ++i)
    html += fmt::format("<th scope=\"col\"><span class=\"key {}\">{}</span></th>", series_class(i),
                        escape_html(runs[i].name));
  html += "</tr>\n";
  for (const SettingRow& row : rows) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", setting_name(row.name));
    for (const std::string& value : row.values)
      html += fmt::format("<td>{}</td>", value.empty() ? "–" : escape_html(value));
    html += "</tr>\n";
  }
  return "<h2>Settings that differ</h2>\n" + scrolling_table("Settings that differ", html);
}

std::string events_of_run(const Run& run) {
  std::vector<std::pair<std::int64_t, std::string>> events;
  for (std::size_t i = 0; i < run.starts.size(); ++i) {
    const RunStart& start = run.starts[i];
    const char* what = i == 0 && start.step == 0 ? "started" : "went on";
    events.emplace_back(start.step, fmt::format("{} {} by ecp {}", what, start.time, start.program));
  }
  for (const SkippedStep& skipped : run.log.skipped)
    events.emplace_back(skipped.step, "step skipped" + (skipped.reason.empty() ? "" : ": " + skipped.reason));
  for (const TrainPoint& point : run.log.train) {
    if (!std::isfinite(point.loss)) events.emplace_back(point.step, "training loss is not finite");
  }
  for (const EvalPoint& point : run.log.eval) {
    if (!std::isfinite(point.figures.loss)) events.emplace_back(point.step, "validation loss is not finite");
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string rows;
  for (std::size_t i = 0; i < std::min(events.size(), most_events); ++i) {
    rows += fmt::format("<tr><td class=\"number\">{}</td><td>{}</td></tr>\n",
                        grouped(static_cast<double>(events[i].first)), escape_html(events[i].second));
  }
  if (rows.empty()) return "";
  if (events.size() > most_events)
    rows += fmt::format("<tr><td></td><td>and {} more</td></tr>\n",
                        grouped(static_cast<double>(events.size() - most_events)));
  return scrolling_table(
      "Events", "<tr><th scope=\"col\" class=\"number\">step</th><th scope=\"col\">event</th></tr>\n" + rows);
}

}  // namespace

std::string summary_section(const std::vector<Run>& runs) {
  return runs.size() == 1 ? cards(runs[0]) : comparison(runs);
}

std::string evaluations_section(const std::vector<Run>& runs) {
  const bool several = runs.size() > 1;
  std::vector<EvalFigures> all;
  for (const Run& run : runs) {
    for (const NamedEvaluation& row : run.evaluations) all.push_back(row.figures);
  }
  const std::string validation = several ? "" : validation_table(runs[0]);
  if (all.empty()) return validation;
  const auto columns = known(evaluation_columns, all);
  std::string rows = fmt::format("<tr>{}<th scope=\"col\">evaluation</th>{}</tr>\n",
                                 several ? "<th scope=\"col\">run</th>" : "", heads(columns));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const NamedEvaluation& row : runs[i].evaluations) {
      rows += fmt::format("<tr>{}<th scope=\"row\">{}</th>{}</tr>\n", several ? run_head(i, runs[i]) : "",
                          escape_html(row.name), cells(columns, row.figures));
    }
  }
  return "<h2>Evaluations</h2>\n" + scrolling_table("Evaluations", rows) + validation;
}

std::string settings_section(const std::vector<Run>& runs) {
  if (runs.size() > 1) return differing(runs);
  return runs[0].config.empty() ? "" : changed(runs[0]);
}

std::string events_section(const std::vector<Run>& runs) {
  std::string html;
  for (const Run& run : runs) {
    const std::string events = events_of_run(run);
    if (events.empty()) continue;
    html += runs.size() == 1 ? events : fmt::format("<h3>{}</h3>\n{}", escape_html(run.name), events);
  }
  return html.empty() ? "" : "<h2>Events</h2>\n" + html;
}

}  // namespace ecp
