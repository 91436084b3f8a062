#include "ecp/weights/checkpoint.h"

#include <set>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/quantized.h"

namespace ecp {
namespace {

constexpr std::size_t largest_json = 64 << 20;

/// The checkpoint that `path` stands for: itself, or the best or last one of a run folder.
Path resolve(const Path& path) {
  if (std::filesystem::exists(path / manifest_name)) return path;
  for (const char* name : {"best", "last"}) {
    const Path inside = path / "checkpoints" / name;
    if (std::filesystem::exists(inside / manifest_name)) return inside;
  }
  require(std::filesystem::exists(path), "checkpoint '{}': no such folder", path.string());
  fail("checkpoint '{}': expected a folder with {} (a checkpoint, or a run with checkpoints/best or last)",
       path.string(), manifest_name);
}

/// The manifest; fails on the first file that isn't as it says.
Manifest verified_manifest(const Path& folder) {
  Manifest manifest = read_manifest(folder);
  for (const auto& [name, entry] : manifest.files) {
    const std::string fault = find_fault(folder, name, entry);
    require(fault.empty(), "checkpoint '{}': file {} {}", folder.string(), name, fault);
  }
  return manifest;
}

void require_listed(const Path& folder, const Manifest& manifest, const std::string& name) {
  require(manifest.files.contains(name), "checkpoint '{}': {} is not in its manifest", folder.string(), name);
}

/// A listed file that is small.
std::string read_listed(const Path& folder, const Manifest& manifest, const std::string& name) {
  require_listed(folder, manifest, name);
  return read_small_file(folder / name, largest_json);
}

ModelConfig read_model(const Path& folder, const Manifest& manifest) {
  return parse_model_json(read_listed(folder, manifest, "config.json"), (folder / "config.json").string());
}

TensorSet open_weights(const Path& folder, const Manifest& manifest) {
  if (!manifest.files.contains(weights_index_name)) {
    require_listed(folder, manifest, weights_name);
    return SafetensorsFile(folder / weights_name);
  }
  require(!manifest.files.contains(weights_name), "checkpoint '{}': expected {} or {}, got both",
          folder.string(), weights_name, weights_index_name);
  const std::string name = (folder / weights_index_name).string();
  const auto index = parse_weights_index(read_listed(folder, manifest, weights_index_name), name);
  for (const std::string& file : files_of(index)) require_listed(folder, manifest, file);
  return {folder, index, name};
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

}  // namespace

void check_weights(const TensorSet& weights, const ModelConfig& config) {
  std::set<std::string> known;
  const auto check = [&](const std::string& name,
                         const std::vector<std::int64_t>& shape) -> const TensorView& {
    const TensorView& view = weights.at(name);
    require(view.shape == shape, "{}: tensor '{}': expected shape {}, got {}", weights.name(), name,
            shape_text(shape), shape_text(view.shape));
    known.insert(name);
    return view;
  };
  for (const Parameter& parameter : parameters(config)) {
    const TensorView& view = check(parameter.name, parameter.shape);
    if (view.dtype == DType::i8 && parameter.shape.size() == 2) {
      const std::string name = scale_name(parameter.name);
      const TensorView& scales = check(name, scale_shape(parameter.shape));
      require(scales.dtype == DType::f32, "{}: tensor '{}': expected F32, got {}", weights.name(), name,
              name_of(scales.dtype));
    } else {
      require(is_floating(view.dtype), "{}: tensor '{}': expected a floating-point dtype{}, got {}",
              weights.name(), parameter.name, parameter.shape.size() == 2 ? " or I8" : "",
              name_of(view.dtype));
    }
  }
  for (const auto& [name, view] : weights.tensors()) {
    require(known.contains(name), "{}: tensor '{}' is not a parameter of this {} model", weights.name(), name,
            config.architecture);
  }
}

Checkpoint::Checkpoint(const Path& path)
    : folder_(resolve(path)), manifest_(verified_manifest(folder_)), model_(read_model(folder_, manifest_)) {
  if (!has(weights_index_name)) require_listed(folder_, manifest_, weights_name);
}

std::shared_ptr<const Tokenizer> Checkpoint::tokenizer() const {
  return has("tokenizer/tokenizer.json") ? load_tokenizer(folder_ / "tokenizer") : nullptr;
}

TensorSet Checkpoint::weights() const {
  TensorSet weights = open_weights(folder_, manifest_);
  check_weights(weights, model_);
  return weights;
}

CheckpointState inspect_checkpoint(const Path& folder) {
  CheckpointState state{folder, {}, ""};
  try {
    const Manifest manifest = read_manifest(folder);
    for (const auto& [name, entry] : manifest.files) {
      state.files.push_back({name, entry.bytes, find_fault(folder, name, entry)});
      const std::string& fault = state.files.back().fault;
      if (state.fault.empty() && !fault.empty()) state.fault = fmt::format("file {} {}", name, fault);
    }
    if (state.fault.empty()) check_weights(open_weights(folder, manifest), read_model(folder, manifest));
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    state.fault = error.what();
  }
  return state;
}

}  // namespace ecp
