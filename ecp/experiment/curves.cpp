#include "ecp/experiment/curves.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "ecp/experiment/chart.h"
#include "ecp/experiment/html.h"

namespace ecp {
namespace {

/// Tokens that a step of the run takes, from what it recorded or what it trained; 0: not known.
double tokens_per_step(const Run& run) {
  if (run.tokens_per_step > 0) return run.tokens_per_step;
  if (run.log.train.empty() || run.log.train.back().step == 0) return 0;
  const double tokens = run.log.train.back().tokens / static_cast<double>(run.log.train.back().step);
  return tokens > 0 ? tokens : 0;
}

/// What the x axis counts.
struct Axis {
  std::string label = "step";
  std::vector<double> per_step;  // of each run
};

Axis axis_of(const std::vector<Run>& runs) {
  Axis axis;
  for (const Run& run : runs) axis.per_step.push_back(tokens_per_step(run));
  const auto [least, most] = std::minmax_element(axis.per_step.begin(), axis.per_step.end());
  if (*least > 0 && *least != *most) {
    axis.label = "tokens trained";
  } else {
    axis.per_step.assign(runs.size(), 1);
  }
  return axis;
}

using TrainFigure = std::function<double(const TrainPoint&)>;
using EvalFigure = std::function<double(const EvalFigures&)>;

double percent(const EvalFigures& figures) { return 100 * figures.accuracy; }

/// Whether runs classify: then losses are per image, and perplexity says nothing.
bool classify(const std::vector<Run>& runs) {
  return std::all_of(runs.begin(), runs.end(), [](const Run& run) {
    return !run.log.eval.empty() && !std::isnan(run.log.eval.back().figures.accuracy);
  });
}

class Curves {
 public:
  explicit Curves(const std::vector<Run>& runs) : runs_(runs), axis_(axis_of(runs)) {}

  [[nodiscard]] std::string all() const {
    std::string html;
    const bool classes = classify(runs_);
    const std::string nats = classes ? "nats per image" : "nats per token";
    if (runs_.size() == 1) {
      html += draw("Loss", nats, {train(0, &TrainPoint::loss), eval(0, &EvalFigures::loss)});
      html += draw("Accuracy", "validation, percent", {{}, eval(0, percent)});
      if (!classes) {
        html += draw("Perplexity", "per token, log scale",
                     {train(0, [](const TrainPoint& point) { return std::exp(point.loss); }),
                      eval(0, &EvalFigures::perplexity_token)},
                     {.log_y = true});
      }
      html += draw("Bits per byte", "validation", {{}, eval(0, &EvalFigures::bits_per_byte)});
    } else {
      html += draw("Training loss", nats, each_train(&TrainPoint::loss));
      html += draw("Validation loss", nats, each_eval(&EvalFigures::loss));
      html += draw("Accuracy", "validation, percent", each_eval(percent));
      html += draw("Bits per byte", "validation", each_eval(&EvalFigures::bits_per_byte));
      html += draw("Perplexity", "validation, per token, log scale",
                   each_eval(&EvalFigures::perplexity_token), {.log_y = true});
    }
    html += draw("Throughput", "tokens per second", each_train(&TrainPoint::tokens_per_second),
                 {.from_zero = true});
    html += draw("Gradient norm", "before clipping", each_train(&TrainPoint::grad_norm));
    html += draw("Memory", "peak, GB",
                 each_train([](const TrainPoint& point) { return point.peak_memory / 1e9; }),
                 {.from_zero = true});
    html += draw("Learning rate", "learning rate", each_train(&TrainPoint::lr), {.from_zero = true});
    return html;
  }

  [[nodiscard]] std::string legend() const {
    if (runs_.size() == 1) return "";
    std::string html = "<p class=\"legend\">\n";
    for (std::size_t i = 0; i < runs_.size(); ++i)
      html += fmt::format("<span class=\"key {}\">{}</span>\n", series_class(i), escape_html(runs_[i].name));
    return html + "</p>\n";
  }

 private:
  [[nodiscard]] double x(std::size_t run, std::int64_t step) const {
    return static_cast<double>(step) * axis_.per_step[run];
  }

  [[nodiscard]] Series train(std::size_t run, const TrainFigure& figure) const {
    Series series{runs_.size() == 1 ? "training" : runs_[run].name, {}};
    for (const TrainPoint& point : runs_[run].log.train)
      series.points.emplace_back(x(run, point.step), figure(point));
    return series;
  }

  [[nodiscard]] Series eval(std::size_t run, const EvalFigure& figure) const {
    Series series{runs_.size() == 1 ? "validation" : runs_[run].name, {}};
    const auto& points = runs_[run].log.eval;
    for (const EvalPoint& point : points)
      series.points.emplace_back(x(run, point.step), figure(point.figures));
    series.markers = points.size() <= 60;
    return series;
  }

  [[nodiscard]] std::vector<Series> each_train(const TrainFigure& figure) const {
    std::vector<Series> all;
    for (std::size_t i = 0; i < runs_.size(); ++i) all.push_back(train(i, figure));
    return all;
  }

  [[nodiscard]] std::vector<Series> each_eval(const EvalFigure& figure) const {
    std::vector<Series> all;
    for (std::size_t i = 0; i < runs_.size(); ++i) all.push_back(eval(i, figure));
    return all;
  }

  /// Where the one run went on or left a step out.
  [[nodiscard]] std::vector<Mark> marks() const {
    std::vector<Mark> all;
    if (runs_.size() > 1) return all;
    for (const RunStart& start : runs_[0].starts) {
      if (start.step > 0) all.push_back({x(0, start.step), fmt::format("resumed from step {}", start.step)});
    }
    for (const SkippedStep& skipped : runs_[0].log.skipped) {
      all.push_back({x(0, skipped.step), fmt::format("step {} skipped: {}", skipped.step, skipped.reason)});
    }
    return all;
  }

  /// Curves that span orders of magnitude, as those of a run that diverges, need a logarithmic scale.
  static bool spans_much(const std::vector<Series>& series) {
    double least = INFINITY, most = 0;
    for (const Series& one : series) {
      for (const auto& [at, value] : one.points) {
        if (!std::isfinite(value)) continue;
        least = std::min(least, value);
        most = std::max(most, value);
      }
    }
    return least > 0 && most > 50 * least;
  }

  struct Style {
    bool log_y = false, from_zero = false;
  };

  [[nodiscard]] std::string draw(const std::string& title, const std::string& y_label,
                                 std::vector<Series> series, Style style) const {
    const bool widened = !style.from_zero && !style.log_y && spans_much(series);
    return render({.title = title,
                   .x_label = axis_.label,
                   .y_label = widened ? y_label + ", log scale" : y_label,
                   .log_y = style.log_y || widened,
                   .from_zero = style.from_zero,
                   .legend = runs_.size() == 1,
                   .series = std::move(series),
                   .marks = marks()});
  }
  [[nodiscard]] std::string draw(const std::string& title, const std::string& y_label,
                                 std::vector<Series> series) const {
    return draw(title, y_label, std::move(series), {});
  }

  const std::vector<Run>& runs_;
  Axis axis_;
};

}  // namespace

std::string curves_section(const std::vector<Run>& runs) {
  const Curves curves(runs);
  const std::string charts = curves.all();
  if (charts.empty()) return "";
  return "<h2>Curves</h2>\n" + curves.legend() + "<div class=\"charts\">\n" + charts + "</div>\n";
}

}  // namespace ecp
