// Names of files and folders.
#pragma once

#include <filesystem>

namespace ecp {

/// The name of a file or folder.
using Path = std::filesystem::path;

}  // namespace ecp
