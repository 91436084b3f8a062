#include "ecp/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ecp {
namespace {

std::string reason() { return std::strerror(errno); }

bool is_full(int code) { return code == ENOSPC || code == EDQUOT; }

/// A failed change of `path`, by an errno value.
[[noreturn]] void fail_change(std::string_view action, const Path& path, int code) {
  const std::string message = fmt::format("cannot {} '{}': {}", action, path.string(), std::strerror(code));
  if (is_full(code)) throw NoSpace(message);
  throw Error(message);
}

void check_change(std::string_view action, const Path& path, const std::error_code& error) {
  if (error) fail_change(action, path, error.value());
}

/// Owns a file descriptor until `release`.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  [[nodiscard]] int get() const { return value_; }

 private:
  int value_;
};

int open_for_reading(const Path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot read '{}': {}", path.string(), reason());
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || S_ISDIR(status.st_mode)) {
    const bool folder = S_ISDIR(status.st_mode);
    ::close(descriptor);
    fail("cannot read '{}': {}", path.string(), folder ? "it is a folder" : reason());
  }
  return descriptor;
}

void write_all(int descriptor, const char* bytes, std::size_t count, const Path& path) {
  while (count > 0) {
    const ssize_t written = ::write(descriptor, bytes, count);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_change("write", path, errno);
    }
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
}

constexpr std::string_view temporary_mark = ".tmp-";

Path temporary_name(const Path& path) {
  return path.parent_path() / fmt::format(".{}{}{}", path.filename().string(), temporary_mark, ::getpid());
}

}  // namespace

std::string read_small_file(const Path& path, std::size_t limit) {
  const Descriptor file(open_for_reading(path));
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) continue;
      fail("cannot read '{}': {}", path.string(), reason());
    }
    if (got == 0) return content;
    if (content.size() + static_cast<std::size_t>(got) > limit) {
      fail("cannot read '{}': expected at most {} bytes", path.string(), limit);
    }
    content.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string read_file(const Path& path) { return read_small_file(path, SIZE_MAX / 2); }

void write_file(const Path& path, std::string_view content) {
  FileWriter file(path);
  file.write(content);
  file.commit();
}

void append_lines(const Path& path, std::string_view lines) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.get() < 0) fail_change("append to", path, errno);
  const off_t before = ::lseek(file.get(), 0, SEEK_END);
  try {
    write_all(file.get(), lines.data(), lines.size(), path);
  } catch (const Error&) {
    const bool cut = before >= 0 && ::ftruncate(file.get(), before) == 0;
    static_cast<void>(cut);  // fails for what isn't a file
    throw;
  }
}

void sync_file(const Path& path) {
  const Descriptor file(open_for_reading(path));
  if (::fsync(file.get()) != 0) fail_change("sync", path, errno);
}

void make_folders(const Path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check_change("make folder", folder, error);
}

void write_link(const Path& path, const Path& target) {
  const Path temporary = temporary_name(path);
  std::error_code error;
  std::filesystem::remove(temporary, error);
  std::filesystem::create_symlink(target, temporary, error);
  if (!error) std::filesystem::rename(temporary, path, error);
  check_change("make link", path, error);
  sync_folder(path.parent_path());
}

bool is_temporary(const Path& path) {
  const std::string name = path.filename().string();
  const std::size_t mark = name.rfind(temporary_mark);
  if (!name.starts_with('.') || mark == std::string::npos) return false;
  const std::string process = name.substr(mark + temporary_mark.size());
  return !process.empty() && process.find_first_not_of("0123456789") == std::string::npos;
}

void sync_folder(const Path& folder) {
  const Path named = folder.empty() ? Path(".") : folder;
  const Descriptor file(::open(named.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0) fail("cannot open folder '{}': {}", named.string(), reason());
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to do on those.
  if (::fsync(file.get()) != 0 && errno != EINVAL) {
    fail_change("sync folder", named, errno);
  }
}

std::uint64_t free_space(const Path& path) {
  Path at = std::filesystem::absolute(path);
  while (!std::filesystem::exists(at) && at.has_relative_path()) at = at.parent_path();
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(at, error);
  return error ? UINT64_MAX : space.available;
}

FileWriter::FileWriter(Path path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_change("write", path_, errno);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      buffer_(std::move(other.buffer_)) {}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void FileWriter::write(const void* bytes, std::size_t count) {
  constexpr std::size_t flush_at = 1 << 20;
  size_ += count;
  if (count >= flush_at) {
    flush();
    write_all(descriptor_, static_cast<const char*>(bytes), count, path_);
    return;
  }
  buffer_.append(static_cast<const char*>(bytes), count);
  if (buffer_.size() >= flush_at) flush();
}

void FileWriter::write_at(std::uint64_t offset, std::string_view bytes) {
  require(offset <= size_ && bytes.size() <= size_ - offset,
          "cannot write '{}': {} bytes at {} are beyond its {} bytes", path_.string(), bytes.size(), offset,
          size_);
  flush();
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_change("write", path_, errno);
    }
    offset += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void FileWriter::flush() {
  write_all(descriptor_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void FileWriter::truncate(std::uint64_t size) {
  require(size <= size_, "cannot write '{}': {} bytes cannot be cut to {}", path_.string(), size_, size);
  const std::uint64_t written = size_ - buffer_.size();
  buffer_.resize(size > written ? size - written : 0);
  size_ = size;
  if (size >= written) return;
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0 || ::lseek(descriptor_, 0, SEEK_END) < 0)
    fail_change("write", path_, errno);
}

void FileWriter::sync() {
  flush();
  if (::fsync(descriptor_) != 0) fail_change("sync", path_, errno);
}

void FileWriter::commit() {
  sync();
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const int code = errno;
    ::unlink(temporary_.c_str());
    fail_change("close", path_, code);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary_.c_str());
    fail_change("rename to", path_, code);
  }
  sync_folder(path_.parent_path());
}

FolderWriter::FolderWriter(Path final_path)
    : final_(final_path.has_filename() ? std::move(final_path)
                                       : final_path.parent_path()),  // "runs/a/" is runs/a
      temporary_(temporary_name(final_)) {
  std::error_code error;
  std::filesystem::remove_all(temporary_, error);  // left by a process of the same number that was killed
  if (!final_.parent_path().empty()) make_folders(final_.parent_path());
  const bool made = std::filesystem::create_directory(temporary_, error);
  check_change("make folder", final_, error);
  require(made, "cannot make folder '{}': it exists", final_.string());
}

FolderWriter::~FolderWriter() {
  if (committed_) return;
  std::error_code error;
  std::filesystem::remove_all(temporary_, error);
}

void FolderWriter::commit() {
  sync_folder(temporary_);
  if (std::filesystem::exists(final_)) fail("cannot write folder '{}': it exists", final_.string());
  if (::rename(temporary_.c_str(), final_.c_str()) != 0) {
    fail_change("rename to", final_, errno);
  }
  committed_ = true;
  sync_folder(final_.parent_path());
}

bool FolderWriter::try_replace() {
  sync_folder(temporary_);
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) != 0) return false;
  sync_folder(final_.parent_path());
  return true;  // what stood there has the temporary name now and goes with this writer
}

MappedFile::MappedFile(const Path& path) {
  const Descriptor file(open_for_reading(path));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail("cannot read '{}': {}", path.string(), reason());
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) fail("cannot map '{}': {}", path.string(), reason());
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace ecp
