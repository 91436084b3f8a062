#include "ecp/weights/tensor_set.h"

#include <set>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/text/json.h"

namespace ecp {

TensorSet::TensorSet(SafetensorsFile file) : name_(file.name()) {
  files_.push_back(std::move(file));
  tensors_ = files_.front().tensors();
}

TensorSet::TensorSet(const Path& folder, const std::map<std::string, std::string>& index, std::string name)
    : name_(std::move(name)) {
  for (const std::string& file : files_of(index)) {
    const SafetensorsFile& opened = files_.emplace_back(folder / file);
    for (const auto& [tensor, view] : opened.tensors()) {
      const auto listed = index.find(tensor);
      require(listed != index.end() && listed->second == file, "{}: tensor '{}' of {} is not listed there",
              name_, tensor, file);
      tensors_[tensor] = view;
    }
  }
  for (const auto& [tensor, file] : index) {
    require(tensors_.contains(tensor), "{}: tensor '{}' is missing from {}", name_, tensor, file);
  }
}

const TensorView& TensorSet::at(const std::string& tensor) const {
  return find_tensor(tensors_, tensor, name_);
}

std::map<std::string, std::string> parse_weights_index(std::string_view text, std::string_view name) {
  const nlohmann::json json = text::parse_object(text, name);
  std::map<std::string, std::string> index;
  for (const auto& [tensor, file] : text::object_member(json, "weight_map", name).items()) {
    require(file.is_string(), "'{}': weight_map: expected a file name for '{}'", name, tensor);
    const auto& file_name = file.get_ref<const std::string&>();
    require(file_name.ends_with(".safetensors") && !file_name.starts_with('.') &&
                file_name.find('/') == std::string::npos && file_name.find('\0') == std::string::npos,
            "'{}': weight_map: expected the name of a .safetensors file beside it for '{}', got '{}'", name,
            tensor, file_name);
    index[tensor] = file_name;
  }
  require(!index.empty(), "'{}': weight_map: no tensors", name);
  return index;
}

std::vector<std::string> files_of(const std::map<std::string, std::string>& index) {
  std::set<std::string> files;
  for (const auto& [tensor, file] : index) files.insert(file);
  return {files.begin(), files.end()};
}

std::string shard_name(std::size_t index, std::size_t count) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

}  // namespace ecp
