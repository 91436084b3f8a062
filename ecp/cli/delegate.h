// Where the second executable is, that which is linked to LibTorch.
#pragma once

#include <string>

#include "ecp/base/files.h"

namespace ecp::cli {

/// `ecp-torch` beside this program; it need not be there.
Path ecp_torch_program();
/// The same; fails, saying what to do, unless it is there.
Path require_ecp_torch(const std::string& command);

}  // namespace ecp::cli
