// A comparison as a web page, as Markdown and as JSON: the same figures three times.
#pragma once

#include <string>

#include "ecp/experiment/comparison.h"

namespace ecp {

/// A self-contained page: no network, light and dark, readable on a telephone and without scripts.
std::string comparison_html(const Comparison& comparison);
/// For committing beside the code.
std::string comparison_markdown(const Comparison& comparison);
/// docs/formats.md has its fields; figures that aren't there are null.
std::string comparison_json(const Comparison& comparison);

/// Writes comparison.html, comparison.md and comparison.json into the comparison's folder.
void write_comparison(const Comparison& comparison);

}  // namespace ecp
