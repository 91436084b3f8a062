// Weights that others trained, under our names.
//
// The authors' program names its tensors model.token_emb, model.layers.i.0.fn.to_q, ... A safetensors file
// may have their configuration in its metadata, all as strings: architecture, vocab, dim, layers, heads,
// sequence, and block (ecp), latent (the others), history_segments (split), compressed (compressed). Without
// it, as in PyTorch's own files, names and shapes tell what they can and the caller the rest
// (weights/authors_config.h).
#pragma once

#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/weights/safetensors.h"
#include "ecp/weights/torch_file.h"

namespace ecp {

struct ImportedModel {
  ModelConfig config;                // preset "paper"
  std::vector<NamedTensor> tensors;  // views into the file, in the parameter table's order
};

/// Maps the authors' tensors; the file must outlive the result. Tensors that aren't weights (input_ids,
/// logits, loss, grad.*, the derived pos_emb.freqs) are left out; anything else unknown, missing or misshapen
/// fails. `overrides` ("model.key=value") say what the file doesn't; one that contradicts it fails.
ImportedModel import_authors(const SafetensorsFile& file, const std::vector<std::string>& overrides = {});
ImportedModel import_authors(const TorchFile& file, const std::vector<std::string>& overrides = {});
/// The gradients of a file as the authors' program left them (grad.*), under our names.
std::vector<NamedTensor> authors_gradients(const SafetensorsFile& file);
/// Writes a checkpoint folder (without tokenizer) from the authors' file: NAME.safetensors, or any other name
/// of a file that torch.save wrote.
void import_checkpoint(const Path& file, const Path& output, const std::vector<std::string>& overrides = {});

}  // namespace ecp
