// Whether others use this machine's cores. Where a thread of another program, or of another guest, runs on
// the same core, each gets about half of it: a guest sees nothing of that in its load or its clock, but in
// how fast a loop passes.
#pragma once

#include <vector>

namespace ecp {

/// Tells disturbed moments by the fastest loops that it has seen on each processor that this process may use.
class Undisturbed {
 public:
  /// Looks for a second first.
  Undisturbed();
  /// Whether every processor passes at `least_share` of its fastest or more, now, all at the same time. Some
  /// milliseconds.
  bool operator()();

  static constexpr double least_share = 0.75;

 private:
  std::vector<double> fastest_;
};

}  // namespace ecp
