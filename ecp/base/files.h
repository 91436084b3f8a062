// Files that are written whole or not at all, and files that are read without copying.
//
// Writing goes to a temporary name in the same folder, is synced, and is renamed last, so that a reader sees
// either the old file or the new one. Every failure throws `Error` naming the path and the system's reason;
// where the file system or a quota is full, that is `NoSpace`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ecp/base/error.h"
#include "ecp/base/path.h"

namespace ecp {

/// Bytes that this process may still write where `path` is (the nearest folder that exists); UINT64_MAX where
/// the system doesn't say. Quotas are not counted.
std::uint64_t free_space(const Path& path);

std::string read_file(const Path& path);
/// Reads at most `limit` bytes; fails if the file is longer (for configuration-like files from strangers).
std::string read_small_file(const Path& path, std::size_t limit);
/// Writes `content` under a temporary name, syncs and renames it over `path`.
void write_file(const Path& path, std::string_view content);
/// Appends whole lines, all or none: what was written of them before a failure is cut off again. For logs
/// such as metrics.jsonl.
void append_lines(const Path& path, std::string_view lines);
/// Makes what was appended to a file durable.
void sync_file(const Path& path);
/// Makes a folder and those above it that are missing.
void make_folders(const Path& folder);
/// A symbolic link `path` → `target`, replacing an older one in one rename.
void write_link(const Path& path, const Path& target);
/// Whether a name is one of the temporary names below, which a killed process leaves behind.
bool is_temporary(const Path& path);
/// Makes renames and new names within `folder` durable.
void sync_folder(const Path& folder);

/// A file being written in pieces; appears under its name only on `commit`, is deleted otherwise.
class FileWriter {
 public:
  explicit FileWriter(Path path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  FileWriter(FileWriter&& other) noexcept;
  ~FileWriter();

  void write(const void* bytes, std::size_t count);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  /// Overwrites bytes already written (a header whose counts are known only at the end).
  void write_at(std::uint64_t offset, std::string_view bytes);
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Takes back what was written after the first `size` bytes.
  void truncate(std::uint64_t size);
  /// Brings what was written to the disk, so that little can go wrong in `commit`.
  void sync();
  void commit();

 private:
  void flush();

  Path path_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::string buffer_;
};

/// A folder being written; `path()` is a temporary name beside the final one until `commit` renames it.
/// An existing folder under the final name is refused by `commit`.
class FolderWriter {
 public:
  explicit FolderWriter(Path final_path);
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;
  ~FolderWriter();

  [[nodiscard]] const Path& path() const { return temporary_; }
  void commit();
  /// Puts the folder in the place of an existing one, in one step; false, with nothing changed, where the
  /// file system can't.
  bool try_replace();

 private:
  Path final_, temporary_;
  bool committed_ = false;
};

/// A read-only memory map. Empty files map to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const Path& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ecp
