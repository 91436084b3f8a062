// What torch.save writes: a pickle, and the storages that its tensors are views of. Two forms:
//
//   zip     NAME/data.pkl, NAME/data/KEY for each storage, NAME/byteorder ("little", if there)
//   legacy  (before torch 1.6, or asked for) five pickles: a magic number, the version 1001, the writing
//   system,
//           the object, the list of keys; then for each key the number of elements (64 bits) and the storage
//
// Nothing in them is executed (weights/pickle.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ecp/weights/pickle.h"
#include "ecp/weights/safetensors.h"
#include "ecp/weights/zip_file.h"

namespace ecp {

constexpr std::string_view torch_rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view torch_rebuild_parameter = "torch._utils._rebuild_parameter";

class TorchArchive {
 public:
  struct Storage {
    DType dtype = DType::f32;
    std::span<const std::byte> bytes;
  };

  /// Over bytes that the caller keeps alive; `name` stands for the file in messages.
  TorchArchive(std::span<const std::byte> bytes, std::string name);

  /// The saved object.
  [[nodiscard]] const Pickle& pickle() const { return *pickle_; }
  /// The storage that a persistent id of the pickle names, with a checksum that was compared where there is
  /// one. Fails unless there is one of just that size.
  Storage storage(const Pickle::Value& persistent);

 private:
  void open_zip(std::span<const std::byte> bytes);
  void open_legacy(std::span<const std::byte> bytes);

  /// What a persistent id says.
  struct StorageId {
    DType dtype = DType::f32;
    std::string key;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] StorageId parse_id(const Pickle& pickle, const Pickle::Value& persistent) const;

  std::string name_;
  std::optional<Pickle> pickle_;
  std::optional<ZipFile> zip_;
  std::string folder_;                                          // zip: "NAME/"
  std::map<std::string, std::span<const std::byte>> storages_;  // by key: read so far, or all (legacy)
};

}  // namespace ecp
