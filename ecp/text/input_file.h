// A file or standard input as plain bytes: decompressed, hashed on the way, checked to be UTF-8.
#pragma once

#include <cstdint>
#include <string>

#include "ecp/base/hash.h"
#include "ecp/text/compression.h"
#include "ecp/text/token_file.h"

namespace ecp {

/// The name that stands for standard input.
inline bool is_standard_input(const Path& path) { return path == "-"; }
/// Standard input or a named pipe: its length isn't known, and it can be read once only.
bool is_stream(const Path& path);

struct InputOptions {
  bool check_utf8 = true;
  /// Decompress only what is named .gz, .xz or .zst. Otherwise the first bytes decide.
  bool by_name = false;
};

/// Read block by block. Waiting for a stream ends with `Interrupted` where a stop was requested.
class InputFile {
 public:
  explicit InputFile(const Path& path, InputOptions options = {});
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Appends the next block, whole characters only if they are checked; false at the end of the file. Fails
  /// if the file is empty, cannot be read or decompressed, or isn't UTF-8.
  bool read_block(std::string& buffer);

  /// For messages: the path, or "standard input".
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Read so far, as they are stored.
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  /// Name, bytes and hash of what was read so far, decompressed.
  [[nodiscard]] SourceFile source() const { return {name_, bytes_, hasher_.digest()}; }

 private:
  std::size_t read_stored(char* out, std::size_t count);
  ByteReader open(const Path& path, bool by_name);

  std::string name_;
  bool check_utf8_;
  bool stream_;
  int descriptor_ = -1;
  std::uint64_t stored_bytes_ = 0;
  ByteReader read_;
  std::string block_;  // begins with what the last block left of a character
  std::size_t left_ = 0;
  std::uint64_t bytes_ = 0;
  Hasher hasher_;
};

}  // namespace ecp
