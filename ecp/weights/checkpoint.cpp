#include "ecp/weights/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

constexpr std::size_t largest_json = 64 << 20;
constexpr const char* manifest_name = "manifest.json";

/// A name in a manifest must stay inside the folder.
bool stays_inside(const Path& name) {
  return !name.empty() && name.is_relative() &&
         std::none_of(name.begin(), name.end(), [](const Path& part) { return part == ".." || part == "."; });
}

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

/// Verifies every listed file; returns their names.
std::vector<std::string> verify(const Path& folder) {
  const Path path = folder / manifest_name;
  const auto json = nlohmann::json::parse(read_small_file(path, largest_json), nullptr, false);
  require(!json.is_discarded() && json.is_object() &&
              json.value("format", nlohmann::json()) == "ecp-checkpoint" &&
              json.value("version", nlohmann::json()) == 1 && json.contains("files") &&
              json["files"].is_object(),
          "{}: expected the manifest of an ecp checkpoint, version 1", path.string());
  std::vector<std::string> names;
  for (const auto& [name, entry] : json["files"].items()) {
    require(stays_inside(name) && entry.is_object() && entry.contains("bytes") &&
                entry["bytes"].is_number_unsigned() && entry.contains("xxh3") && entry["xxh3"].is_string(),
            "{}: the entry of '{}' is not valid", path.string(), name);
    const Path file = folder / name;
    require(std::filesystem::is_regular_file(file), "checkpoint '{}': file {} is missing", folder.string(),
            name);
    const auto expected = entry["bytes"].get<std::uint64_t>();
    const auto got = std::filesystem::file_size(file);
    require(got == expected, "checkpoint '{}': file {}: expected {} bytes, got {}", folder.string(), name,
            expected, got);
    require(hash_file(file) == entry["xxh3"].get_ref<const std::string&>(),
            "checkpoint '{}': file {} is damaged (its hash differs from the manifest's)", folder.string(),
            name);
    names.push_back(name);
  }
  return names;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

}  // namespace

void write_manifest(const Path& folder) {
  nlohmann::ordered_json files;
  std::vector<Path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path() != folder / manifest_name) paths.push_back(entry.path());
    if (entry.is_directory()) sync_folder(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const Path& path : paths) {
    files[path.lexically_relative(folder).generic_string()] = {{"bytes", std::filesystem::file_size(path)},
                                                               {"xxh3", hash_file(path)}};
  }
  const nlohmann::ordered_json manifest = {{"format", "ecp-checkpoint"}, {"version", 1}, {"files", files}};
  write_file(folder / manifest_name, manifest.dump(2) + "\n");
}

void check_weights(const SafetensorsFile& file, const ModelConfig& config) {
  const std::vector<Parameter> table = parameters(config);
  for (const Parameter& parameter : table) {
    const TensorView& view = file.at(parameter.name);
    require(view.shape == parameter.shape, "{}: tensor '{}': expected shape {}, got {}", file.name(),
            parameter.name, shape_text(parameter.shape), shape_text(view.shape));
    require(view.dtype == DType::f32 || view.dtype == DType::bf16 || view.dtype == DType::f16 ||
                view.dtype == DType::f64,
            "{}: tensor '{}': expected a floating-point dtype, got {}", file.name(), parameter.name,
            name_of(view.dtype));
  }
  if (file.tensors().size() == table.size()) return;
  for (const auto& [name, view] : file.tensors()) {
    const bool known = std::any_of(table.begin(), table.end(),
                                   [&](const Parameter& parameter) { return parameter.name == name; });
    require(known, "{}: tensor '{}' is not a parameter of this {} model", file.name(), name,
            config.architecture);
  }
}

Checkpoint::Checkpoint(const Path& path) : folder_(resolve(path)), files_(verify(folder_)) {
  for (const char* needed : {"config.json", "model.safetensors"}) {
    require(has(needed), "checkpoint '{}': {} is not in its manifest", folder_.string(), needed);
  }
  const Path config = folder_ / "config.json";
  model_ = parse_model_json(read_small_file(config, largest_json), config.string());
}

SafetensorsFile Checkpoint::weights() const {
  SafetensorsFile file(folder_ / "model.safetensors");
  check_weights(file, model_);
  return file;
}

bool Checkpoint::has(const std::string& file) const {
  return std::find(files_.begin(), files_.end(), file) != files_.end();
}

}  // namespace ecp
