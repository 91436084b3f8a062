// A run as one self-contained web page: curves, evaluations, samples, configuration. No network, no scripts;
// light and dark; readable on a telephone.
#pragma once

#include <string>

#include "ecp/base/files.h"

namespace ecp {

/// The page for a run folder (docs/formats.md): needs its metrics.jsonl; config.toml, run.json,
/// evaluations/*.json, evaluations/baselines.json and sample.txt are shown where they exist.
std::string render_report(const Path& run);

}  // namespace ecp
