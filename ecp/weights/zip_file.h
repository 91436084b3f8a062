// A zip archive, of which entries can be read that are stored as they are, not compressed: what torch.save
// writes. Read without copying.
//
// Archives may come from strangers: every offset and size is checked before it is used; entries must lie
// before the directory without overlapping, and the names in the directory and before the data must agree, so
// that every byte means one thing to all readers. Zip64 (sizes and offsets of 64 bits) is read, several disks
// and encryption are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace ecp {

class ZipFile {
 public:
  /// Over bytes that the caller keeps alive; `name` stands for the file in messages. Fails, naming what is
  /// wrong, unless the directory and the place of every entry are sound.
  ZipFile(std::span<const std::byte> bytes, std::string name);

  /// Whether the bytes begin as such archives do.
  static bool begins_like_one(std::span<const std::byte> bytes);

  [[nodiscard]] bool contains(const std::string& entry) const { return entries_.contains(entry); }
  /// The entry's bytes, whose checksum is compared (0 stands for none: torch can be told not to compute it).
  /// Fails if absent or damaged.
  [[nodiscard]] std::span<const std::byte> read(const std::string& entry) const;

  struct Entry {
    std::span<const std::byte> bytes;  // as they lie in the file
    std::uint32_t crc = 0;
    std::uint16_t method = 0;  // of compression; only 0, none, can be read
  };
  [[nodiscard]] const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::string name_;
  std::map<std::string, Entry> entries_;
};

}  // namespace ecp
