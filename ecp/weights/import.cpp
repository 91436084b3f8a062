#include "ecp/weights/import.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/authors_config.h"
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

/// The tensors under `prefix`, without it.
std::map<std::string, TensorView> part(const SafetensorsFile& file, std::string_view prefix) {
  std::map<std::string, TensorView> result;
  for (const auto& [name, view] : file.tensors()) {
    if (name.starts_with(prefix)) result[name.substr(prefix.size())] = view;
  }
  return result;
}

/// The tensors by our names; `prefix` is for messages.
std::map<std::string, TensorView> renamed(const std::map<std::string, TensorView>& tensors,
                                          const std::string& file, std::string_view prefix) {
  std::map<std::string, TensorView> result;
  for (const auto& [name, view] : tensors) {
    if (name.ends_with(".pos_emb.freqs")) continue;
    const std::string ours = our_name(name);
    require(!ours.empty(), "{}: tensor '{}{}' is not known in the authors' models", file, prefix, name);
    // Every layer of theirs has this projection; only the first uses it.
    const bool unused =
        ours.find(".attention.compress.") != std::string::npos && !ours.starts_with("layers.0.");
    require(unused || result.emplace(ours, view).second, "{}: two tensors for '{}', one is '{}{}'", file,
            ours, prefix, name);
  }
  return result;
}

ImportedModel import_model(const AuthorsWeights& weights, const std::vector<std::string>& overrides) {
  const std::string& file = weights.file;
  ImportedModel model{authors_config(weights, overrides), {}};
  std::map<std::string, TensorView> found = renamed(weights.tensors, file, weights.prefix);
  for (const Parameter& parameter : parameters(model.config)) {
    const auto at = found.find(parameter.name);
    require(at != found.end(), "{}: no tensor for the parameter '{}'", file, parameter.name);
    require(at->second.shape == parameter.shape,
            "{}: the tensor for '{}': expected shape [{}] by the configuration, got [{}]", file,
            parameter.name, fmt::join(parameter.shape, ", "), fmt::join(at->second.shape, ", "));
    require(is_floating(at->second.dtype), "{}: the tensor for '{}': expected a floating-point dtype, got {}",
            file, parameter.name, name_of(at->second.dtype));
    model.tensors.push_back({parameter.name, at->second});
    found.erase(at);
  }
  require(found.empty(), "{}: tensor for '{}' has no place in a {} model", file,
          found.empty() ? "" : found.begin()->first, model.config.architecture);
  return model;
}

}  // namespace

ImportedModel import_authors(const SafetensorsFile& file, const std::vector<std::string>& overrides) {
  for (const auto& [name, view] : file.tensors()) {
    const bool expected = name.starts_with("model.") || name.starts_with("grad.") || name == "input_ids" ||
                          name == "logits" || name == "loss";
    require(expected, "{}: tensor '{}' is not known in the authors' models", file.name(), name);
  }
  return import_model({file.name(), file.metadata(), "model.", part(file, "model.")}, overrides);
}

ImportedModel import_authors(const TorchFile& file, const std::vector<std::string>& overrides) {
  return import_model({file.name(), {}, "", file.tensors()}, overrides);
}

std::vector<NamedTensor> authors_gradients(const SafetensorsFile& file) {
  std::vector<NamedTensor> gradients;
  for (const auto& [name, view] : renamed(part(file, "grad."), file.name(), "grad."))
    gradients.push_back({name, view});
  return gradients;
}

void import_checkpoint(const Path& path, const Path& output, const std::vector<std::string>& overrides) {
  require(!std::filesystem::exists(output), "output '{}': expected a new folder, it exists", output.string());
  const auto write = [&](const auto& file) {
    const ImportedModel model = import_authors(file, overrides);
    FolderWriter folder(output);
    write_file(folder.path() / "config.json", to_json(model.config));
    write_safetensors(folder.path() / "model.safetensors", model.tensors);
    write_manifest(folder.path());
    folder.commit();
  };
  if (path.extension() == ".safetensors") {
    write(SafetensorsFile(path));
  } else {
    write(TorchFile(path));
  }
}

}  // namespace ecp
