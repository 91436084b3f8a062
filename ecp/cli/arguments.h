// Checks of arguments that several subcommands share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp::cli {

constexpr std::int64_t most_threads = 1024;

/// A whole number from `least` to `most`, for options of integer types.
CLI::Validator whole_number(std::int64_t least, std::int64_t most = INT64_MAX);

/// Before any work: refuses an output file whose name doesn't end with `extension`, that is a folder or one
/// of `inputs`, or whose folder can't be written or made. Changes nothing.
void check_output(const Path& path, std::string_view extension, const std::vector<Path>& inputs = {});

/// Writes a checked output, making its folder if there is none.
void write_output(const Path& path, std::string_view text);

}  // namespace ecp::cli
