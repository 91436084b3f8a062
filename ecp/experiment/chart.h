// Line charts as inline SVG. Colours, fonts and light or dark come from the page's style sheet by class:
// series 0, 1,
// ... are `s0`, `s1`, ...
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecp {

/// `&`, `<`, `>` and quotes made harmless, for element contents and attribute values; control characters that
/// HTML does not allow become spaces.
std::string escape_html(std::string_view text);

/// "1,234,567"; NaN is "–".
std::string grouped(double value);
/// `digits` decimals with thousands grouped; NaN is "–".
std::string decimal(double value, int digits);

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending; y NaN: a gap
  bool markers = false;                           // few points: each is marked
};

struct Chart {
  std::string title;
  std::string x_label, y_label;
  bool log_y = false;      // only positive values are drawn
  bool from_zero = false;  // the y axis starts at 0
  std::vector<Series> series;
};

/// A <figure> with an <svg>, or "" if no series has a point that can be drawn.
std::string render(const Chart& chart);

/// Positions of axis labels that cover [least, most]: multiples of 1, 2 or 5 times a power of ten, at most
/// `count`.
std::vector<double> ticks(double least, double most, int count);
/// The same on a logarithmic axis, least > 0: 1, 2 and 5 times powers of ten (or as many of these as fit).
std::vector<double> log_ticks(double least, double most, int count);

}  // namespace ecp
