#include "ecp/weights/import.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

/// (theirs, ours) for what follows "layers.i." and for the rest.
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> layer_names = {{
    {"0.norm.", "attention.norm."},
    {"0.fn.norm.", "attention.kv_norm."},
    {"0.fn.to_q.", "attention.q."},
    {"0.fn.to_kv.", "attention.kv."},
    {"0.fn.to_out.", "attention.out."},
    {"0.fn.to_out_0.", "attention.out_0."},
    {"0.fn.w_out.", "attention.out."},
    {"0.fn.projection_hist.", "attention.compress."},
    {"1.norm.", "ffn.norm."},
    {"1.fn.net.0.", "ffn.up."},
    {"1.fn.net.3.", "ffn.down."},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> other_names = {{
    {"token_emb.", "embedding."},
    {"to_logits.0.", "norm."},
    {"to_logits.1.", "classifier."},
}};

template <class Names>
std::string replace_prefix(std::string_view name, const Names& names) {
  for (const auto& [theirs, ours] : names) {
    if (name.starts_with(theirs)) return std::string(ours) + std::string(name.substr(theirs.size()));
  }
  return "";
}

/// Our name for the authors' `name` (without "model." or "grad."), or "" if there is none.
std::string our_name(std::string_view name) {
  if (!name.starts_with("layers.")) return replace_prefix(name, other_names);
  const auto point = name.find('.', 7);
  if (point == std::string_view::npos) return "";
  const std::string rest = replace_prefix(name.substr(point + 1), layer_names);
  return rest.empty() ? "" : std::string(name.substr(0, point + 1)) + rest;
}

/// The tensors under `prefix` by our names.
std::map<std::string, TensorView> renamed(const SafetensorsFile& file, std::string_view prefix) {
  std::map<std::string, TensorView> result;
  for (const auto& [name, view] : file.tensors()) {
    if (!name.starts_with(prefix) || name.ends_with(".pos_emb.freqs")) continue;
    const std::string ours = our_name(std::string_view(name).substr(prefix.size()));
    require(!ours.empty(), "{}: tensor '{}' is not known in the authors' models", file.name(), name);
    // Every layer of theirs has this projection; only the first uses it.
    const bool unused =
        ours.find(".attention.compress.") != std::string::npos && !ours.starts_with("layers.0.");
    if (!unused) result[ours] = view;
  }
  return result;
}

std::string metadata_text(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  require(found != file.metadata().end(), "{}: expected '{}' in the file's metadata", file.name(), key);
  return found->second;
}

ModelConfig authors_config(const SafetensorsFile& file) {
  ModelConfig config;
  config.preset = "paper";
  const std::vector<Field> fields = FieldList(config).fields;
  const auto set = [&](const char* key, RawValue raw) {
    assign(find_field(fields, "model", key, ""), "model", raw);
  };
  set("architecture", {metadata_text(file, "architecture"), file.name()});
  apply_preset(config);
  const auto number = [&](const std::string& key) {
    const std::string text = metadata_text(file, key);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    require(error == std::errc() && end == text.data() + text.size(),
            "{}: metadata '{}': expected a whole number, got '{}'", file.name(), key, text);
    return value;
  };
  const auto set_number = [&](const char* key, std::int64_t value) { set(key, {value, file.name()}); };
  for (const char* key : {"vocab", "dim", "layers", "heads", "sequence"}) set_number(key, number(key));
  if (config.architecture == "ecp") set_number("block", number("block"));
  if (config.is_latent()) set_number("latents", number("latent"));
  if (config.architecture == "compressed") {
    set_number("compressed_history", number("compressed"));
    config.compressed_residual = "authors";
  }
  if (config.architecture == "split") {
    const std::int64_t history = config.sequence - config.latent_rows(),
                       segments = number("history_segments");
    require(segments >= 1 && history % segments == 0,
            "{}: metadata 'history_segments': expected a divisor of the history of {} rows, got {}",
            file.name(), history, segments);
    set_number("history_segment", history / segments);
  }
  config.validate();
  return config;
}

}  // namespace

ImportedModel import_authors(const SafetensorsFile& file) {
  for (const auto& [name, view] : file.tensors()) {
    const bool expected = name.starts_with("model.") || name.starts_with("grad.") || name == "input_ids" ||
                          name == "logits" || name == "loss";
    require(expected, "{}: tensor '{}' is not known in the authors' models", file.name(), name);
  }
  ImportedModel model{authors_config(file), {}};
  std::map<std::string, TensorView> found = renamed(file, "model.");
  for (const Parameter& parameter : parameters(model.config)) {
    const auto at = found.find(parameter.name);
    require(at != found.end(), "{}: no tensor for the parameter '{}'", file.name(), parameter.name);
    require(at->second.shape == parameter.shape,
            "{}: the tensor for '{}' has another shape than the metadata says", file.name(), parameter.name);
    model.tensors.push_back({parameter.name, at->second});
    found.erase(at);
  }
  require(found.empty(), "{}: tensor for '{}' has no place in a {} model", file.name(),
          found.empty() ? "" : found.begin()->first, model.config.architecture);
  return model;
}

std::vector<NamedTensor> authors_gradients(const SafetensorsFile& file) {
  std::vector<NamedTensor> gradients;
  for (const auto& [name, view] : renamed(file, "grad.")) gradients.push_back({name, view});
  return gradients;
}

void import_checkpoint(const Path& path, const Path& output) {
  require(!std::filesystem::exists(output), "output '{}': expected a new folder, it exists", output.string());
  const SafetensorsFile file(path);
  const ImportedModel model = import_authors(file);
  FolderWriter folder(output);
  write_file(folder.path() / "config.json", to_json(model.config));
  write_safetensors(folder.path() / "model.safetensors", model.tensors);
  write_manifest(folder.path());
  folder.commit();
}

}  // namespace ecp
