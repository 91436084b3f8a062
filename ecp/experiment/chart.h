// Line charts as inline SVG. Colours, fonts and light or dark come from the page's style sheet by class:
// series 0, 1, ... are `s0`, `s1`, ... The page's script reads values from the lines' data attributes; the
// chart says everything without it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ecp {

using Points = std::vector<std::pair<double, double>>;  // x ascending; y not finite: a gap

/// Long series as at most about 3 · `buckets` points: of each bucket the least, the greatest and the first
/// gap, so that no spike gets lost.
Points thinned(const Points& points, std::size_t buckets);

/// How many colours the style sheet has; a series beyond takes them again, with another stroke.
constexpr std::size_t series_colors = 8;
/// "s3", or "s3 again" for series 11.
std::string series_class(std::size_t index);

struct Series {
  std::string name;
  Points points;
  bool markers = false;  // few points: each is marked
};

/// Something that happened at one x: a vertical line.
struct Mark {
  double x = 0;
  std::string label;
};

struct Chart {
  std::string title;
  std::string x_label, y_label;
  bool log_x = false;      // all x are positive
  bool log_y = false;      // only positive values are drawn
  bool from_zero = false;  // the y axis starts at 0
  bool legend = true;      // where there are several series
  std::vector<Series> series = {};
  std::vector<Mark> marks = {};
};

/// A <figure> with an <svg>, or "" if no series has a point that can be drawn.
std::string render(const Chart& chart);

}  // namespace ecp
