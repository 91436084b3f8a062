// A small checkpoint with every kind of file that one can have.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/text/tokenizer.h"
#include "ecp/weights/checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace ecp::test {

inline std::shared_ptr<const Tokenizer> small_tokenizer() {
  static const auto tokenizer = [] {
    int texts = 0;
    return train_sentencepiece({.vocab_size = 280, .threads = 1}, [&](std::string& text) {
      text = "the cat sat on the mat and the dog sat on the log\nwhile the cat and the dog saw the fog\n";
      return ++texts <= 20;
    });
  }();
  return tokenizer;
}

inline ModelConfig small_model() {
  ModelConfig config;
  config.vocab = small_tokenizer()->vocab_size();
  config.dim = 8;
  config.heads = 2;
  config.layers = 1;
  config.sequence = 16;
  config.block = 4;
  config.ffn_dim = 16;
  return config;
}

/// Values of the small model's parameters, in the table's order.
inline std::vector<std::vector<float>> small_values() {
  std::vector<std::vector<float>> values;
  std::uint64_t index = 0;
  for (const Parameter& parameter : parameters(small_model())) {
    std::vector<float>& one = values.emplace_back();
    for (std::int64_t i = 0; i < parameter.elements(); ++i)
      one.push_back(static_cast<float>(random_uniform(7, index++) - 0.5));
  }
  return values;
}

/// Writes it to the new folder `path`, as training leaves it.
inline Path write_sample_checkpoint(const Path& path) {
  FolderWriter folder(path);
  write_file(folder.path() / "config.json", to_json(small_model()));
  const auto values = small_values();
  std::vector<NamedTensor> weights, moments;
  for (const Parameter& parameter : parameters(small_model())) {
    const TensorView view{DType::f32, parameter.shape, std::as_bytes(std::span(values[weights.size()]))};
    weights.push_back({parameter.name, view});
    moments.push_back({"m." + parameter.name, view});
  }
  write_safetensors(folder.path() / "model.safetensors", weights);
  write_safetensors(folder.path() / "optimizer.safetensors", moments);
  write_file(folder.path() / "state.json",
             "{\"format\": \"ecp-training-state\", \"version\": 1, \"step\": 5}\n");
  std::filesystem::create_directory(folder.path() / "tokenizer");
  small_tokenizer()->save(folder.path() / "tokenizer");
  write_manifest(folder.path());
  folder.commit();
  return path;
}

/// The values of all weights, as the checkpoint gives them.
inline std::map<std::string, std::vector<float>> weights_of(const Path& path) {
  std::map<std::string, std::vector<float>> values;
  const TensorSet weights = Checkpoint(path).weights();
  for (const auto& [name, view] : weights.tensors()) values[name] = view.to_float();
  return values;
}

}  // namespace ecp::test
