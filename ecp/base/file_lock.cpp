#include "ecp/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ecp {

FileLock::FileLock(const Path& path, const std::string& what)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail("cannot lock {}: '{}': {}", what, path.string(), std::strerror(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    char owner[24] = "";
    const ssize_t length = ::read(descriptor_, owner, sizeof owner - 1);
    ::close(std::exchange(descriptor_, -1));
    if (code != EWOULDBLOCK) fail("cannot lock {}: '{}': {}", what, path.string(), std::strerror(code));
    std::string process(owner, length > 0 ? static_cast<std::size_t>(length) : 0);
    if (process.empty() || process.find_first_not_of("0123456789") != std::string::npos) process = "unknown";
    fail("{} is in use by another process (number {})", what, process);
  }
  // The number is for messages only, so a full disk does no harm here.
  const std::string number = std::to_string(::getpid());
  const bool written =
      ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, number.data(), number.size(), 0) >= 0;
  static_cast<void>(written);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace ecp
