// Which program this is; runs record it.
#pragma once

#include <string_view>

namespace ecp {

/// "0.1.0"
std::string_view version();
/// The commit it was configured at (`git describe --always --dirty`), or "unknown".
std::string_view commit();

}  // namespace ecp
