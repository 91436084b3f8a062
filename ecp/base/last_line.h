// How a log ends.
#pragma once

#include <string>

#include "ecp/base/files.h"

namespace ecp {

/// The last line of a text file that isn't empty, of its last 4096 bytes; "" if there is none, or no file.
std::string last_line(const Path& path);

}  // namespace ecp
