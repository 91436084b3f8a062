// Manual pages, from the definition of the command line.
#pragma once

#include <string>
#include <string_view>

#include "ecp/cli/command_tree.h"

namespace ecp::cli {

/// The page of `root`, the program itself, where `name` is empty; otherwise of that command and all that
/// stands under it. For man(1), in man(7)'s macros. `version`: "0.1.0".
std::string manual_page(const CommandInfo& root, std::string_view name, std::string_view version);

/// "ecp.1" or "ecp-train.1".
std::string manual_file(const CommandInfo& root, std::string_view name);

}  // namespace ecp::cli
