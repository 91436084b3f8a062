// The safetensors format: 8 bytes header length, a JSON header, raw little-endian data. Read without copying
// (memory mapped), written whole or not at all.
//
// Files may come from strangers: header length, JSON, dtypes, shapes and offsets are checked before anything
// is multiplied, allocated or touched; tensors must tile the data without overlap or gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, i16, i8, u8, boolean };

std::size_t size_of(DType dtype);
std::string_view name_of(DType dtype);  // "F32"
bool is_floating(DType dtype);

/// A tensor inside a mapped file. `bytes` may not be aligned to its type: copy, don't cast.
struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  [[nodiscard]] std::int64_t elements() const {
    return static_cast<std::int64_t>(bytes.size() / size_of(dtype));
  }
  /// Values as float32, from f32, bf16, f16 or f64; fails for other types.
  [[nodiscard]] std::vector<float> to_float() const;
};

/// The tensor of that name; fails, naming `file` and the nearest known names, if absent.
const TensorView& find_tensor(const std::map<std::string, TensorView>& tensors, const std::string& tensor,
                              const std::string& file);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const Path& path);
  /// Over bytes that the caller keeps alive; `name` stands for the file in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string name);

  /// Fails, naming the file and the nearest known names, if absent.
  [[nodiscard]] const TensorView& at(const std::string& tensor) const;
  [[nodiscard]] bool contains(const std::string& tensor) const { return tensors_.contains(tensor); }
  [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile file_;
  std::string name_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct NamedTensor {
  std::string name;
  TensorView view;
};

/// A file being written tensor by tensor, data starting at a multiple of 64 bytes, under a temporary name
/// until `commit` syncs and renames it.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;

    /// Fails if it overflows.
    [[nodiscard]] std::uint64_t bytes() const;
  };
  /// Fails if two tensors have one name.
  SafetensorsWriter(const Path& path, std::span<const Entry> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// The next tensor's bytes, in the order of `tensors`; may come in pieces.
  void write(std::span<const std::byte> bytes) { file_.write(bytes.data(), bytes.size()); }
  /// Fails if there were more or fewer bytes than the header says.
  void commit();

 private:
  std::string name_;
  FileWriter file_;
  std::uint64_t expected_ = 0;  // bytes of the whole file
};

/// Writes all tensors in the given order.
void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace ecp
