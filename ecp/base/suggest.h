// "did you mean": the nearest of the known names, for messages about unknown ones.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ecp {

/// Returns " (did you mean 'name'?)" for the nearest candidate by edit distance, or "" if none is near.
std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);
/// Returns "a, b or c".
std::string alternatives(std::span<const std::string> names);

}  // namespace ecp
