// train.init: starting from another run's weights, at the same or another length n.
#pragma once

#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/model/backbone.h"

namespace ecp {

/// Loads the weights of the checkpoint (or run folder) `path` into `model`. Everything that decides
/// parameters must agree: fails naming the first field that doesn't, or a tokenizer other than the one with
/// `tokenizer_hash`. Returns a warning for each other field that differs and changes what the weights compute
/// (blocks, rotary base, ...); the sequence length, dropout and initialisation may differ silently.
std::vector<std::string> load_initial_weights(Backbone& model, const Path& path,
                                              const std::string& tokenizer_hash);

}  // namespace ecp
