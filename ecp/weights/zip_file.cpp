#include "ecp/weights/zip_file.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "ecp/base/error.h"

namespace ecp {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in memory");

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t local_signature = 0x04034b50, entry_signature = 0x02014b50,
                        end_signature = 0x06054b50, end64_signature = 0x06064b50,
                        locator_signature = 0x07064b50;
constexpr std::size_t local_size = 30, entry_size = 46, end_size = 22, end64_size = 56, locator_size = 20;
constexpr std::uint16_t extra_of_zip64 = 1;
constexpr std::uint16_t flag_encrypted = 1;
constexpr std::uint16_t most_16 = 0xffff;
constexpr std::uint32_t most_32 = 0xffffffff;

/// A number at a place that the caller has checked.
template <class Number>
Number number(Bytes bytes, std::size_t at) {
  Number value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string_view text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

struct Directory {
  Bytes bytes;
  std::uint64_t begin = 0;  // where the entries end
  std::uint64_t count = 0;
};

class Reader {
 public:
  Reader(Bytes file, const std::string& name) : file_(file), name_(name) {}

  std::map<std::string, ZipFile::Entry> entries() {
    const Directory directory = find_directory();
    std::size_t at = 0;
    for (std::uint64_t i = 0; i < directory.count; ++i) read_entry(directory, at);
    require(at == directory.bytes.size(), "{}: its zip directory has {} bytes more than its {} entries",
            name_, directory.bytes.size() - at, directory.count);
    check_places();
    return std::move(entries_);
  }

 private:
  struct Place {
    std::uint64_t begin, end;
    std::string_view name;
  };

  /// The directory's end stands at the end of the file, before a comment whose length it says.
  std::size_t find_end() const {
    for (std::size_t comment = 0; comment <= most_16 && comment + end_size <= file_.size(); ++comment) {
      const std::size_t at = file_.size() - end_size - comment;
      if (number<std::uint32_t>(file_, at) == end_signature &&
          number<std::uint16_t>(file_, at + 20) == comment) {
        return at;
      }
    }
    fail("{}: expected a zip archive as torch.save writes it, found no directory at its end (truncated?)",
         name_);
  }

  Directory find_directory() const {
    const std::size_t end = find_end();
    Directory directory{{}, number<std::uint32_t>(file_, end + 16), number<std::uint16_t>(file_, end + 10)};
    std::uint64_t size = number<std::uint32_t>(file_, end + 12);
    std::uint64_t behind = end;  // the directory ends here
    bool one_disk = number<std::uint16_t>(file_, end + 4) == 0 &&
                    number<std::uint16_t>(file_, end + 6) == 0 &&
                    number<std::uint16_t>(file_, end + 8) == directory.count;
    if (end >= locator_size && number<std::uint32_t>(file_, end - locator_size) == locator_signature) {
      const std::size_t locator = end - locator_size;
      behind = number<std::uint64_t>(file_, locator + 8);
      require(locator >= end64_size && behind <= locator - end64_size &&
                  number<std::uint32_t>(file_, behind) == end64_signature,
              "{}: its zip64 directory's end is not where byte {} says", name_, locator + 8);
      one_disk = number<std::uint32_t>(file_, behind + 16) == 0 &&
                 number<std::uint32_t>(file_, behind + 20) == 0 &&
                 number<std::uint64_t>(file_, behind + 24) == number<std::uint64_t>(file_, behind + 32);
      directory.count = number<std::uint64_t>(file_, behind + 32);
      size = number<std::uint64_t>(file_, behind + 40);
      directory.begin = number<std::uint64_t>(file_, behind + 48);
    }
    require(one_disk, "{}: a zip archive over several disks is not supported", name_);
    require(directory.begin <= behind && size == behind - directory.begin,
            "{}: its zip directory claims {} bytes from byte {} on, it should end at byte {}", name_, size,
            directory.begin, behind);
    require(directory.count <= size / entry_size, "{}: its zip directory of {} bytes claims {} entries",
            name_, size, directory.count);
    directory.bytes = file_.subspan(directory.begin, size);
    return directory;
  }

  /// Reads the entry at `at` and moves on.
  void read_entry(const Directory& directory, std::size_t& at) {
    const Bytes bytes = directory.bytes.subspan(at);
    require(bytes.size() >= entry_size && number<std::uint32_t>(bytes, 0) == entry_signature,
            "{}: its zip directory is damaged at byte {}", name_, directory.begin + at);
    const std::size_t name_size = number<std::uint16_t>(bytes, 28),
                      extra_size = number<std::uint16_t>(bytes, 30),
                      comment_size = number<std::uint16_t>(bytes, 32);
    require(bytes.size() - entry_size >= name_size + extra_size + comment_size,
            "{}: its zip directory is damaged at byte {}", name_, directory.begin + at);
    at += entry_size + name_size + extra_size + comment_size;

    const std::string_view name = text(bytes.subspan(entry_size, name_size));
    const auto flags = number<std::uint16_t>(bytes, 8), method = number<std::uint16_t>(bytes, 10);
    require((flags & flag_encrypted) == 0, "{}: entry '{}' is encrypted", name_, name);
    std::uint64_t size = number<std::uint32_t>(bytes, 24), stored = number<std::uint32_t>(bytes, 20),
                  offset = number<std::uint32_t>(bytes, 42);
    read_zip64(name, bytes.subspan(entry_size + name_size, extra_size), size, stored, offset);
    require(method != 0 || size == stored, "{}: entry '{}' has {} bytes stored as {}", name_, name, size,
            stored);
    const Bytes data = locate(directory, name, offset, stored, method);
    const bool added =
        entries_.emplace(name, ZipFile::Entry{data, number<std::uint32_t>(bytes, 16), method}).second;
    require(added, "{}: two entries named '{}'", name_, name);
  }

  /// Replaces the sizes and the offset that don't fit 32 bits by those of the extra field.
  void read_zip64(std::string_view name, Bytes extra, std::uint64_t& size, std::uint64_t& stored,
                  std::uint64_t& offset) const {
    while (extra.size() >= 4) {
      const std::size_t field_size = number<std::uint16_t>(extra, 2);
      if (field_size > extra.size() - 4) break;
      if (number<std::uint16_t>(extra, 0) == extra_of_zip64) {
        Bytes field = extra.subspan(4, field_size);
        for (std::uint64_t* value : {&size, &stored, &offset}) {
          if (*value != most_32) continue;
          require(field.size() >= 8, "{}: entry '{}' lacks a size or offset of 64 bits", name_, name);
          *value = number<std::uint64_t>(field, 0);
          field = field.subspan(8);
        }
        return;
      }
      extra = extra.subspan(4 + field_size);
    }
  }

  /// The data of the entry whose own header stands at `offset`.
  Bytes locate(const Directory& directory, std::string_view name, std::uint64_t offset, std::uint64_t size,
               std::uint16_t method) {
    const auto outside = [&] {
      fail("{}: entry '{}' ({} bytes at byte {}) reaches beyond the {} bytes of data", name_, name, size,
           offset, directory.begin);
    };
    if (directory.begin < local_size || offset > directory.begin - local_size) outside();
    const Bytes local = file_.subspan(offset, directory.begin - offset);
    require(number<std::uint32_t>(local, 0) == local_signature, "{}: entry '{}' does not begin at byte {}",
            name_, name, offset);
    const std::size_t name_size = number<std::uint16_t>(local, 26);
    const std::size_t header = local_size + name_size + number<std::uint16_t>(local, 28);
    if (local.size() < header || local.size() - header < size) outside();
    require(text(local.subspan(local_size, name_size)) == name && number<std::uint16_t>(local, 8) == method,
            "{}: entry '{}' is another one by its own header", name_, name);
    places_.push_back({offset, offset + header + size, name});
    return local.subspan(header, size);
  }

  void check_places() {
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < places_.size(); ++i) {
      require(places_[i - 1].end <= places_[i].begin, "{}: entries '{}' and '{}' overlap", name_,
              places_[i - 1].name, places_[i].name);
    }
  }

  Bytes file_;
  const std::string& name_;
  std::map<std::string, ZipFile::Entry> entries_;
  std::vector<Place> places_;
};

std::uint32_t checksum(Bytes bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

ZipFile::ZipFile(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) {
  entries_ = Reader(bytes, name_).entries();
}

bool ZipFile::begins_like_one(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && number<std::uint32_t>(bytes, 0) == local_signature;
}

std::span<const std::byte> ZipFile::read(const std::string& entry) const {
  const auto found = entries_.find(entry);
  require(found != entries_.end(), "{}: no entry '{}' in the archive", name_, entry);
  const auto& [bytes, crc, method] = found->second;
  require(method == 0, "{}: entry '{}' is compressed (method {}); expected it stored, as torch.save does",
          name_, entry, method);
  require(crc == 0 || checksum(bytes) == crc, "{}: entry '{}' is damaged: its checksum differs", name_,
          entry);
  return bytes;
}

}  // namespace ecp
