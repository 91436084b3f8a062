// Where an axis has its labels.
#pragma once

#include <vector>

namespace ecp {

/// Positions that cover [least, most]: multiples of 1, 2 or 5 times a power of ten, at most `count`.
std::vector<double> ticks(double least, double most, int count);
/// The same on a logarithmic axis, least > 0: 1, 2 and 5 times powers of ten, or as many of these as fit.
std::vector<double> log_ticks(double least, double most, int count);

}  // namespace ecp
