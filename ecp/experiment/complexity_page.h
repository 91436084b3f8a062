// What models cost, as one self-contained web page: figures, cost against length, pictures of attention and
// of how far it carries. No network; light and dark; readable on a telephone, and without scripts.
#pragma once

#include <string>

#include "ecp/experiment/complexity_report.h"

namespace ecp {

/// The page for a report with at least one model.
std::string render_complexity(const ComplexityReport& report);

/// Lengths around n at which costs are drawn: n/8 to 64 n by factors of two, as far as they can be counted.
std::vector<std::int64_t> drawn_lengths(std::int64_t n);

}  // namespace ecp
