#include "ecp/experiment/chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ecp {
namespace {

// The drawing's coordinates; the page scales it. Small, so that labels stay readable on a telephone.
constexpr double width = 440, height = 270;
constexpr double left = 62, right = 416, top = 12, bottom = 222;
constexpr std::size_t most_points = 600;

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  [[nodiscard]] bool empty() const { return least > most; }
};

/// Long series become means over equal runs of points, so that a page stays small.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points) {
  if (points.size() <= most_points) return points;
  std::vector<std::pair<double, double>> result;
  for (std::size_t i = 0; i < most_points; ++i) {
    const std::size_t begin = i * points.size() / most_points, end = (i + 1) * points.size() / most_points;
    double x = 0, y = 0;
    for (std::size_t j = begin; j < end; ++j) {
      x += points[j].first;
      y += points[j].second;
    }
    const auto count = static_cast<double>(end - begin);
    result.emplace_back(x / count, y / count);
  }
  return result;
}

/// Data to coordinates.
class Scale {
 public:
  Scale(Range x, Range y, bool log_y) : x_(x), y_(y), log_y_(log_y) {}
  [[nodiscard]] double x(double value) const {
    return x_.most > x_.least ? left + (value - x_.least) / (x_.most - x_.least) * (right - left)
                              : (left + right) / 2;
  }
  [[nodiscard]] double y(double value) const {
    const double share = log_y_ ? std::log(value / y_.least) / std::log(y_.most / y_.least)
                                : (value - y_.least) / (y_.most - y_.least);
    return bottom - share * (bottom - top);
  }

 private:
  Range x_, y_;
  bool log_y_;
};

std::string short_number(double value) {
  const double size = std::fabs(value);
  if (size >= 1e9) return fmt::format("{:g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:.6g}", value);
}

std::string path_of(const std::vector<std::pair<double, double>>& points, const Scale& scale, bool log_y) {
  std::string path;
  bool pen_down = false;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y) || (log_y && y <= 0)) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", scale.x(x), scale.y(y));
    pen_down = true;
  }
  return path;
}

std::string axes(const Chart& chart, const Scale& scale, Range x, Range y) {
  std::string svg;
  for (const double value : chart.log_y ? log_ticks(y.least, y.most, 6) : ticks(y.least, y.most, 6)) {
    const double at = scale.y(value);
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" class=\"y\">{}</text>\n", left,
        at, right, left - 6, at + 4, short_number(value));
  }
  for (const double value : ticks(x.least, x.most, 5)) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" class=\"x\">{}</text>\n", scale.x(value), bottom + 17,
                       short_number(value));
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n", left, bottom, right);
  svg += fmt::format("<text x=\"{}\" y=\"{}\" class=\"x\">{}</text>\n", (left + right) / 2, bottom + 36,
                     escape_html(chart.x_label));
  svg += fmt::format("<text transform=\"translate(13 {}) rotate(-90)\" class=\"x\">{}</text>\n",
                     (top + bottom) / 2, escape_html(chart.y_label));
  return svg;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        const bool forbidden = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
        result += forbidden ? ' ' : c;
      }
    }
  }
  return result;
}

std::string decimal(double value, int digits) {
  if (std::isnan(value)) return "–";
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (!std::isfinite(value)) return text;
  const auto point = std::min(text.find('.'), text.size());
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = point; at > first + 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string grouped(double value) { return decimal(value, 0); }

std::vector<double> ticks(double least, double most, int count) {
  if (!(most > least)) return {least};
  const double raw = (most - least) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = power * 10;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (power * factor >= raw) {
      step = power * factor;
      break;
    }
  }
  std::vector<double> all;
  for (double i = std::ceil(least / step - 1e-9); i * step <= most + step * 1e-9; ++i)
    all.push_back(i == 0 ? 0 : i * step);  // no -0
  return all;
}

std::vector<double> log_ticks(double least, double most, int count) {
  const auto first = static_cast<int>(std::floor(std::log10(least)));
  const auto last = static_cast<int>(std::ceil(std::log10(most)));
  const std::vector<std::vector<double>> choices{
      {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 5}, {1, 2, 5}, {1, 3}, {1}};
  std::vector<double> all;
  for (const auto& factors : choices) {
    all.clear();
    for (int power = first; power <= last; ++power) {
      for (const double factor : factors) {
        const double value = factor * std::pow(10, power);
        if (value >= least * (1 - 1e-9) && value <= most * (1 + 1e-9)) all.push_back(value);
      }
    }
    if (static_cast<int>(all.size()) <= count) break;
  }
  return all.size() < 2 ? ticks(least, most, count) : all;
}

std::string render(const Chart& chart) {
  Range x, y;
  for (const Series& series : chart.series) {
    for (const auto& [at, value] : series.points) {
      if (!std::isfinite(value) || (chart.log_y && value <= 0)) continue;
      x.add(at);
      y.add(value);
    }
  }
  if (x.empty()) return "";
  x.add(0);  // charts of one run share their x axis
  if (chart.from_zero) y.add(0);
  if (chart.log_y) {
    y = {y.least / 1.05, y.most * 1.05};
  } else {
    const double margin =
        y.most > y.least ? (y.most - y.least) * 0.04 : std::max(std::fabs(y.most) * 0.05, 1e-9);
    y = {chart.from_zero ? y.least : y.least - margin, y.most + margin};
  }
  const Scale scale(x, y, chart.log_y);

  std::string svg = axes(chart, scale, x, y);
  std::string legend;  // only where there is something to tell apart
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const auto points = thinned(series.points);
    svg += fmt::format("<path class=\"line s{}\" d=\"{}\"/>\n", i, path_of(points, scale, chart.log_y));
    for (const auto& [at, value] : points) {
      if (!series.markers || !std::isfinite(value) || (chart.log_y && value <= 0)) continue;
      svg += fmt::format(
          "<circle class=\"s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{} {}: {:.5g}</title></circle>\n",
          i, scale.x(at), scale.y(value), escape_html(chart.x_label), grouped(at), value);
    }
    if (!series.name.empty())
      legend += fmt::format("<span class=\"key s{}\">{}</span> ", i, escape_html(series.name));
  }
  return fmt::format(
      "<figure>\n<figcaption><b>{}</b> {}</figcaption>\n"
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}: {} over {}\">\n{}</svg>\n</figure>\n",
      escape_html(chart.title), chart.series.size() > 1 ? legend : "", width, height,
      escape_html(chart.title), escape_html(chart.y_label), escape_html(chart.x_label), svg);
}

}  // namespace ecp
