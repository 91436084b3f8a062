// A session in a file: safetensors with the state as JSON in its metadata, the last tokens, the logits and
// each layer's keys and values as tensors (docs/formats.md).
#pragma once

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/runtime/session_state.h"
#include "ecp/runtime/stream.h"
#include "ecp/weights/safetensors.h"

namespace ecp::runtime {

void write_session(const Path& path, const SessionState& state, StreamCache& cache,
                   const StreamLayout& layout, const ModelConfig& config);

class SessionFile {
 public:
  /// Fails, naming the file, unless it is whole and what was written.
  explicit SessionFile(const Path& path);
  /// Over bytes that the caller keeps alive; `name` stands for the file in messages.
  SessionFile(std::span<const std::byte> bytes, const std::string& name);

  [[nodiscard]] const SessionState& state() const { return state_; }
  /// Brings the rows into `cache`, a new one of a model with `config`. Fails unless they fit.
  void read_cache(StreamCache& cache, const StreamLayout& layout, const ModelConfig& config) const;

 private:
  explicit SessionFile(SafetensorsFile file);

  SafetensorsFile file_;
  SessionState state_;
};

}  // namespace ecp::runtime
