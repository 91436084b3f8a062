// The tensors of a PyTorch checkpoint: a state_dict, alone or among other things, as torch.save wrote it. No
// LibTorch is needed and nothing in the file is executed (weights/torch_archive.h).
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

/// The saved object is a dict of tensors, or a dict that has one under model_state_dict, state_dict, model,
/// net, network or module; what else it holds (an optimizer's state, numbers) is left alone. Prefixes that
/// wrappers put before all names (module., model., net., _orig_mod.) are taken off.
class TorchFile {
 public:
  explicit TorchFile(const Path& path);
  /// Over bytes that the caller keeps alive; `name` stands for the file in messages.
  TorchFile(std::span<const std::byte> bytes, std::string name);

  /// In C order: those that aren't in the file (transposed ones) are copies.
  [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  void read(std::span<const std::byte> bytes);

  MappedFile file_;
  std::string name_;
  std::deque<std::vector<std::byte>> copies_;
  std::map<std::string, TensorView> tensors_;
};

}  // namespace ecp
