// What all fuzz targets share. A target is one file: it feeds arbitrary bytes to one reader. The reader may
// use them or throw `Error` with a message of one line; anything else (another exception, a crash, what the
// sanitizers find, a broken promise) is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace ecp::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A promise that was broken: the process ends, and the fuzzer keeps the input.
inline void expect(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// Runs `work`; false if it refused its input.
template <class Work>
bool accepted(Work&& work) {
  try {
    std::forward<Work>(work)();
    return true;
  } catch (const Error& error) {
    expect(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error is one line");
    return false;
  }
}

/// What stands before the first `marker`, and the rest (with the marker, where `keep` is set).
inline std::pair<std::string_view, std::string_view> split(std::string_view input, std::string_view marker,
                                                           bool keep = false) {
  const std::size_t at = input.find(marker);
  if (at == std::string_view::npos) return {input, {}};
  return {input.substr(0, at), input.substr(at + (keep ? 0 : marker.size()))};
}

/// A folder in memory, for readers that take paths.
class Folder {
 public:
  Folder() {
    std::string name = "/dev/shm/ecp-fuzz-XXXXXX";
    expect(::mkdtemp(name.data()) != nullptr, "/dev/shm can be written");
    path_ = name;
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] Path operator/(std::string_view name) const { return path_ / name; }
  /// Writes without syncing or renaming.
  void write(std::string_view name, std::string_view content) const {
    std::FILE* file = std::fopen((path_ / name).c_str(), "wb");
    expect(file != nullptr, "/dev/shm can be written");
    expect(std::fwrite(content.data(), 1, content.size(), file) == content.size(), "/dev/shm has room");
    std::fclose(file);
  }

 private:
  Path path_;
};

}  // namespace ecp::fuzz
