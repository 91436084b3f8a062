// The configuration of a model that the authors' program trained: from its file's metadata or, where there is
// none, from its tensors' names and shapes and from what the user says.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

struct AuthorsWeights {
  std::string file;                             // for messages
  std::map<std::string, std::string> metadata;  // empty in PyTorch's own files
  std::string prefix;                           // that all their names have in the file: "model.", or none
  std::map<std::string, TensorView> tensors;    // under their names, without the prefix
};

/// `overrides` are "model.key=value". Fails if one of them contradicts the file, and with one line and an
/// example if something is neither told by the file nor given. The preset is "paper".
ModelConfig authors_config(const AuthorsWeights& weights, const std::vector<std::string>& overrides);

}  // namespace ecp
