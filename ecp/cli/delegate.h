// Where the second executable is, that which is linked to LibTorch.
#pragma once

#include "ecp/base/files.h"

namespace ecp::cli {

/// `ecp-torch` beside this program; it need not be there.
Path ecp_torch_program();

}  // namespace ecp::cli
