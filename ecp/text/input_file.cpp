#include "ecp/text/input_file.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/text/utf8.h"

namespace ecp {
namespace {

constexpr std::size_t block_bytes = std::size_t{1} << 16;

int open_file(const Path& path, const std::string& name) {
  if (is_standard_input(path)) return STDIN_FILENO;
  for (;;) {  // a named pipe makes this wait for somebody who writes
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) return descriptor;
    if (errno != EINTR) fail("cannot read '{}': {}", name, std::strerror(errno));
    check_interrupt();
  }
}

/// First `head`, then what `rest` reads.
ByteReader concatenated(std::string head, ByteReader rest) {
  return [head = std::move(head), given = std::size_t{0}, rest = std::move(rest)](
             char* out, std::size_t count) mutable -> std::size_t {
    if (given == head.size()) return rest(out, count);
    const std::size_t part = head.copy(out, count, given);
    given += part;
    return part;
  };
}

}  // namespace

bool is_stream(const Path& path) {
  std::error_code error;
  return is_standard_input(path) || std::filesystem::is_fifo(path, error);
}

InputFile::InputFile(const Path& path, InputOptions options)
    : name_(is_standard_input(path) ? "standard input" : path.string()),
      check_utf8_(options.check_utf8),
      stream_(is_stream(path)),
      descriptor_(open_file(path, name_)),
      read_(open(path, options.by_name)) {}

InputFile::~InputFile() {
  if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

ByteReader InputFile::open(const Path& path, bool by_name) {
  const ByteReader stored = [this](char* out, std::size_t count) { return read_stored(out, count); };
  const Compression named = compression_by_name(path);
  if (by_name && named == Compression::none) return stored;
  std::string head(magic_bytes, '\0');
  std::size_t got = 0;
  for (std::size_t more = 1; more > 0 && got < head.size(); got += more)
    more = stored(head.data() + got, head.size() - got);
  head.resize(got);
  const Compression found = compression_of(head);
  require(named == Compression::none || named == found || head.empty(),
          "'{}': expected {} data, as its name says; it begins otherwise", name_, name_of(named));
  return decompressed(found, concatenated(std::move(head), stored), name_);
}

std::size_t InputFile::read_stored(char* out, std::size_t count) {
  for (;;) {
    check_interrupt();
    if (stream_) {  // a signal that comes just before a read would be noticed after it only
      constexpr int wait_milliseconds = 200;
      pollfd waiting{descriptor_, POLLIN, 0};
      const int ready = ::poll(&waiting, 1, wait_milliseconds);
      if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    }
    const ssize_t got = ::read(descriptor_, out, count);
    if (got < 0) {
      if (errno == EINTR) continue;
      fail("cannot read '{}': {}", name_, std::strerror(errno));
    }
    stored_bytes_ += static_cast<std::uint64_t>(got);
    return static_cast<std::size_t>(got);
  }
}

bool InputFile::read_block(std::string& buffer) {
  block_.resize(left_ + block_bytes);
  std::size_t got = 0;
  for (std::size_t more = 1; more > 0 && got < block_bytes; got += more)
    more = read_(block_.data() + left_ + got, block_bytes - got);
  block_.resize(left_ + got);
  hasher_.update(std::string_view(block_).substr(left_));
  const std::uint64_t begin = bytes_ - left_;
  bytes_ += got;
  require(bytes_ > 0, "'{}': {}", name_, stream_ ? "no text came" : "the file is empty");
  std::size_t whole = block_.size();
  if (check_utf8_) {
    const Utf8Prefix prefix = utf8_prefix(block_);
    whole = prefix.length;
    require(whole == block_.size() || (prefix.incomplete && got > 0),
            "'{}': not UTF-8 at byte {} (iconv converts other encodings; --format bytes takes anything)",
            name_, begin + whole);
  }
  buffer.append(block_, 0, whole);
  block_.erase(0, whole);
  left_ = block_.size();
  return got > 0;
}

}  // namespace ecp
