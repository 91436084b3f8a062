#include "ecp/experiment/axis.h"

#include <cmath>

namespace ecp {
namespace {

bool within(double value, double least, double most) {
  return value >= least * (1 - 1e-9) && value <= most * (1 + 1e-9);
}

}  // namespace

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
  const double first = std::ceil(least / step - 1e-9);
  for (int i = 0; i <= count + 1; ++i) {  // counted: for large numbers close together first + 1 may be first
    const double value = (first + i) * step;
    if (value > most + step * 1e-9) break;
    if (all.empty() || value > all.back()) all.push_back(value == 0 ? 0 : value);  // no -0
  }
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
        if (within(value, least, most)) all.push_back(value);
      }
    }
    if (static_cast<int>(all.size()) <= count) break;
  }
  if (static_cast<int>(all.size()) > count) {  // many powers of ten: each so many-th of them
    const int each = (last - first) / count + 1;
    all.clear();
    for (int power = first; power <= last; power += each) {
      if (within(std::pow(10, power), least, most)) all.push_back(std::pow(10, power));
    }
  }
  return all.size() < 2 ? ticks(least, most, count) : all;
}

}  // namespace ecp
