// Checks of arguments that several subcommands share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp::cli {

/// A whole number from `least` to `most`, for options of integer types.
CLI::Validator whole_number(std::int64_t least, std::int64_t most = INT64_MAX);

/// Bytes from "1000", "500MB", "5 GB" (powers of 1000) or "64MiB" (of 1024), in any case; fails, naming
/// `option`.
std::uint64_t parse_bytes(std::string_view option, const std::string& text);

/// A number of things from "1500000", "20k", "1.5M", "2G" (powers of 1000); fails, naming `option`.
std::int64_t parse_count(std::string_view option, const std::string& text);

/// Before any work: refuses the file of `option` if its name doesn't end with `extension`, if it is a folder
/// or one of `inputs` or would stand directly in one of them, or if its folder can't be written or made.
/// Changes nothing.
void require_output(std::string_view option, const Path& path, std::string_view extension,
                    const std::vector<Path>& inputs = {});

/// `inputs` with the folders and files that reading `checkpoint`, a checkpoint or run folder, may touch.
std::vector<Path> with_checkpoint(const Path& checkpoint, std::vector<Path> inputs);

/// Makes the folder of a checked output if there is none.
void make_output_folder(const Path& path);

/// Writes a checked output, making its folder if there is none.
void write_output(const Path& path, std::string_view text);

}  // namespace ecp::cli
