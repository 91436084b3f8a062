// Weights that others trained, under our names.
//
// The authors' program names its tensors model.token_emb, model.layers.i.0.fn.to_q, ...; their configuration
// stands in the file's metadata, all as strings: architecture, vocab, dim, layers, heads, sequence, and block
// (ecp), latent (the others), history_segments (split), compressed (compressed).
#pragma once

#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

struct ImportedModel {
  ModelConfig config;                // preset "paper"
  std::vector<NamedTensor> tensors;  // views into the file, in the parameter table's order
};

/// Maps the authors' tensors; the file must outlive the result. Tensors that aren't weights (input_ids,
/// logits, loss, grad.*, the derived pos_emb.freqs) are left out; anything else unknown, missing or misshapen
/// fails.
ImportedModel import_authors(const SafetensorsFile& file);
/// The gradients of a file as the authors' program left them (grad.*), under our names.
std::vector<NamedTensor> authors_gradients(const SafetensorsFile& file);
/// Writes a checkpoint folder (without tokenizer) from the authors' file.
void import_checkpoint(const Path& file, const Path& output);

}  // namespace ecp
