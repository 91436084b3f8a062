// One process at a time.
#pragma once

#include <string>

#include "ecp/base/files.h"

namespace ecp {

/// Holds an exclusive lock on a small file until it is destroyed or the process ends, however it ends. The
/// file stays; its text is the number of the process that locked it last. (flock: between machines it holds
/// as far as the network file system passes locks on.)
class FileLock {
 public:
  /// Makes the file if need be. Fails, naming `what` and the process, if another one holds it.
  FileLock(const Path& path, const std::string& what);
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  FileLock(FileLock&& other) noexcept;
  ~FileLock();

 private:
  int descriptor_ = -1;
};

}  // namespace ecp
