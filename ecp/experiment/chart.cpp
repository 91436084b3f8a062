#include "ecp/experiment/chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ecp/experiment/axis.h"
#include "ecp/experiment/html.h"

namespace ecp {
namespace {

// The drawing's coordinates; the page scales it. Small, so that labels stay readable on a telephone.
constexpr double width = 440, height = 270;
constexpr double left = 68, right = 416, top = 12, bottom = 222;
constexpr std::size_t most_buckets = 240;
constexpr std::size_t most_marks = 40;

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  [[nodiscard]] bool empty() const { return least > most; }
};

/// Sizes beyond any that are meant would overflow in the axis.
bool drawable(double y, bool log_y) { return std::fabs(y) < 1e200 && (!log_y || y > 1e-200); }

/// Data to coordinates.
class Scale {
 public:
  Scale(Range x, Range y, const Chart& chart) : x_(x), y_(y), log_x_(chart.log_x), log_y_(chart.log_y) {}
  [[nodiscard]] double x(double value) const {
    return x_.most > x_.least ? left + share(value, x_, log_x_) * (right - left) : (left + right) / 2;
  }
  [[nodiscard]] double y(double value) const { return bottom - share(value, y_, log_y_) * (bottom - top); }

 private:
  static double share(double value, Range range, bool log) {
    return log ? std::log(value / range.least) / std::log(range.most / range.least)
               : (value - range.least) / (range.most - range.least);
  }

  Range x_, y_;
  bool log_x_, log_y_;
};

/// One line; a point between two gaps is a short stroke, or it could not be seen.
std::string path_of(const Points& points, const Scale& scale, bool log_y) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto& [x, y] = points[i];
    if (!drawable(y, log_y)) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", scale.x(x), scale.y(y));
    const bool alone = !pen_down && (i + 1 == points.size() || !drawable(points[i + 1].second, log_y));
    if (alone) path += "h.01";
    pen_down = true;
  }
  return path;
}

/// The values for the page's script.
std::string data_of(const Points& points, bool log_y) {
  std::string x, y;
  for (const auto& [at, value] : points) {
    x += fmt::format("{}{:.10g}", x.empty() ? "" : ",", at);
    y += drawable(value, log_y) ? fmt::format("{}{:.5g}", y.empty() ? "" : ",", value)
                                : fmt::format("{}nan", y.empty() ? "" : ",");
  }
  return fmt::format("data-x=\"{}\" data-y=\"{}\"", x, y);
}

std::string axes(const Chart& chart, const Scale& scale, Range x, Range y) {
  std::string svg;
  for (const double value : chart.log_y ? log_ticks(y.least, y.most, 6) : ticks(y.least, y.most, 6)) {
    const double at = scale.y(value);
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" class=\"y\">{}</text>\n", left,
        at, right, left - 6, at + 4, short_number(value));
  }
  for (const double value : chart.log_x ? log_ticks(x.least, x.most, 5) : ticks(x.least, x.most, 5)) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" class=\"x\">{}</text>\n", scale.x(value), bottom + 17,
                       short_number(value));
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n", left, bottom, right);
  svg += fmt::format("<text x=\"{}\" y=\"{}\" class=\"x\">{}</text>\n", (left + right) / 2, bottom + 36,
                     escape_html(chart.x_label));
  svg += fmt::format("<text transform=\"translate(11 {}) rotate(-90)\" class=\"x\">{}</text>\n",
                     (top + bottom) / 2, escape_html(chart.y_label));
  return svg;
}

std::string marks_of(const Chart& chart, const Scale& scale, Range x) {
  std::string svg;
  for (std::size_t i = 0; i < std::min(chart.marks.size(), most_marks); ++i) {
    const Mark& mark = chart.marks[i];
    if (!(mark.x >= x.least && mark.x <= x.most)) continue;
    svg += fmt::format("<path class=\"mark\" d=\"M{:.1f} {}V{}\"><title>{}</title></path>\n", scale.x(mark.x),
                       top, bottom, escape_html(mark.label));
  }
  return svg;
}

std::string lines(const Chart& chart, const Scale& scale) {
  std::string svg;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const Points points = thinned(series.points, most_buckets);
    const std::string path = path_of(points, scale, chart.log_y);
    if (path.empty()) continue;
    const std::string name = escape_html(series.name), classes = series_class(i);
    svg += fmt::format("<path class=\"line {}\" data-name=\"{}\" {} d=\"{}\"><title>{}</title></path>\n",
                       classes, name, data_of(points, chart.log_y), path, name);
    for (const auto& [at, value] : points) {
      if (!series.markers || !drawable(value, chart.log_y)) continue;
      svg += fmt::format(
          "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{} {}: {:.5g}</title></circle>\n",
          classes, scale.x(at), scale.y(value), escape_html(chart.x_label), grouped(at), value);
    }
  }
  return svg;
}

/// Only where there is something to tell apart.
std::string legend(const Chart& chart) {
  std::string html;
  std::size_t shown = 0;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    if (series.points.empty()) continue;
    ++shown;
    html += fmt::format("<span class=\"key {}\">{}</span> ", series_class(i), escape_html(series.name));
  }
  return chart.legend && shown > 1 ? html : "";
}

}  // namespace

Points thinned(const Points& points, std::size_t buckets) {
  if (points.size() <= 2 * buckets) return points;
  Points result;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::size_t begin = bucket * points.size() / buckets;
    const std::size_t end = (bucket + 1) * points.size() / buckets;
    constexpr std::size_t none = SIZE_MAX;
    std::size_t least = none, most = none, gap = none;
    for (std::size_t i = begin; i < end; ++i) {
      const double y = points[i].second;
      if (!std::isfinite(y)) {
        gap = std::min(gap, i);
        continue;
      }
      if (least == none || y < points[least].second) least = i;
      if (most == none || y > points[most].second) most = i;
    }
    std::vector<std::size_t> kept{least, most, gap};
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    for (const std::size_t i : kept) {
      if (i != none) result.push_back(points[i]);
    }
  }
  if (result.back().first != points.back().first) result.push_back(points.back());  // where a run stands now
  return result;
}

std::string series_class(std::size_t index) {
  return fmt::format("s{}{}", index % series_colors, index >= series_colors ? " again" : "");
}

std::string render(const Chart& chart) {
  Range x, y;
  for (const Series& series : chart.series) {
    for (const auto& [at, value] : series.points) {
      if (!drawable(value, chart.log_y)) continue;
      x.add(at);
      y.add(value);
    }
  }
  if (x.empty()) return "";
  if (!chart.log_x) x.add(0);  // charts of one page share their x axis
  if (chart.from_zero) y.add(0);
  if (chart.log_y) {
    y = {y.least / 1.05, y.most * 1.05};
  } else {
    const double margin =
        y.most > y.least ? (y.most - y.least) * 0.04 : std::max(std::fabs(y.most) * 0.05, 1e-9);
    y = {chart.from_zero ? y.least : y.least - margin, y.most + margin};
  }
  const Scale scale(x, y, chart);
  const std::string title = escape_html(chart.title), over = escape_html(chart.x_label);
  const std::string drawing = axes(chart, scale, x, y) + marks_of(chart, scale, x) + lines(chart, scale) +
                              fmt::format("<path class=\"cursor\" d=\"M0 {}V{}\"/>\n", top, bottom);
  return fmt::format(
      "<figure>\n<figcaption><b>{}</b> {}</figcaption>\n"
      "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" tabindex=\"0\" aria-label=\"{}: {} over {}\" "
      "data-x-label=\"{}\"{} data-range=\"{:.10g},{:.10g},{},{}\">\n{}</svg>\n</figure>\n",
      title, legend(chart), width, height, title, escape_html(chart.y_label), over, over,
      chart.log_x ? " data-log-x=\"1\"" : "", x.least, x.most, left, right, drawing);
}

}  // namespace ecp
