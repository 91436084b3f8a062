// A model's tensors by name, whether they lie in one safetensors file or in several.
//
// Several are as Hugging Face writes them: model-00001-of-0000N.safetensors, and the file
// model.safetensors.index.json {"metadata": {"total_size": bytes}, "weight_map": {"tensor": "file"}}.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/weights/safetensors.h"

namespace ecp {

constexpr const char* weights_name = "model.safetensors";
constexpr const char* weights_index_name = "model.safetensors.index.json";

class TensorSet {
 public:
  /// One file is a set.
  TensorSet(SafetensorsFile file);  // NOLINT(google-explicit-constructor)
  /// The files that `index` names, in `folder`. Fails unless they hold exactly the tensors of the index, each
  /// in its file.
  TensorSet(const Path& folder, const std::map<std::string, std::string>& index, std::string name);

  /// Fails, naming the nearest known names, if absent. Views stay valid as long as the set, also when it is
  /// moved.
  [[nodiscard]] const TensorView& at(const std::string& tensor) const;
  [[nodiscard]] bool contains(const std::string& tensor) const { return tensors_.contains(tensor); }
  [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  /// Of the file, or of the index: for messages.
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorView> tensors_;
};

/// The file of each tensor, from an index that may be damaged or made by strangers: names of files in the
/// same folder.
std::map<std::string, std::string> parse_weights_index(std::string_view text, std::string_view name);
/// The files that an index names, each once, sorted.
std::vector<std::string> files_of(const std::map<std::string, std::string>& index);

/// "model-00002-of-00005.safetensors" for index 1 of 5.
std::string shard_name(std::size_t index, std::size_t count);

}  // namespace ecp
