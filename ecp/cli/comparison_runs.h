// Training and scoring the runs of a comparison, each in a process of its own.
#pragma once

#include <functional>
#include <string>

#include "ecp/experiment/comparison_plan.h"

namespace ecp::cli {

struct RunOptions {
  int jobs = 1;     // runs at a time
  int threads = 0;  // of each; 0: those of its configuration
};

/// Does what is still to be done: trains runs that aren't at their end, from where they are, and scores those
/// that aren't scored. A run that fails is told, the others go on. Shows its progress on standard error.
/// `renew` is called whenever a run has come to its end or failed. Returns false if it was asked to stop (a
/// StopRequests must live): then what trained has a checkpoint to go on from.
bool make_runs(const ComparisonPlan& plan, const RunOptions& options, const std::function<void()>& renew);

}  // namespace ecp::cli
