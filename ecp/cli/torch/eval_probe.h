// ecp eval --probe: accuracy by the distance of what is asked for.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ecp/eval/probe_evaluation.h"

namespace ecp::cli {

/// From "64", "1:512" (32 distances evenly) or "8:512:8" (from, to, step), those that fit `probe`; fails on
/// others. None at all: 32 distances over all that fit.
std::vector<std::int64_t> parse_distances(const std::vector<std::string>& texts, const Probe& probe);

/// As people read it in a terminal.
std::string probe_table(const ProbeCurve& curve);

}  // namespace ecp::cli
