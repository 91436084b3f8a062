#include "ecp/runtime/session_file.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"

namespace ecp::runtime {
namespace {

constexpr const char* format = "ecp-session";
constexpr const char* version = "1";

std::string keys_name(std::int64_t layer) { return "layers." + std::to_string(layer) + ".keys"; }
std::string values_name(std::int64_t layer) { return "layers." + std::to_string(layer) + ".values"; }

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

/// Calls write(bytes) for each row of slots of each head of each layer's keys and values.
template <class Write>
void each_head(StreamCache& cache, std::int64_t slots, const ModelConfig& config, const Write& write) {
  const auto count = static_cast<std::size_t>(slots * config.head_dim());
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const KeyValueCache& rows = cache.layer(static_cast<std::size_t>(layer));
    for (const bool values : {false, true}) {
      if (values && config.shared_kv) continue;
      for (std::int64_t head = 0; head < config.key_heads(); ++head) {
        write(layer, values, head,
              std::as_writable_bytes(std::span(values ? rows.values(head, 0) : rows.keys(head, 0), count)));
      }
    }
  }
}

}  // namespace

void write_session(const Path& path, const SessionState& state, StreamCache& cache,
                   const StreamLayout& layout, const ModelConfig& config) {
  const std::int64_t slots = cache.slots(layout);
  std::vector<SafetensorsWriter::Entry> entries;
  entries.push_back({"history", DType::i32, {static_cast<std::int64_t>(state.generation.history.size())}});
  entries.push_back({"logits", DType::f32, {static_cast<std::int64_t>(state.logits.size())}});
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::vector<std::int64_t> shape = {config.key_heads(), slots, config.head_dim()};
    entries.push_back({keys_name(layer), DType::f32, shape});
    if (!config.shared_kv) entries.push_back({values_name(layer), DType::f32, shape});
  }
  const auto each_piece = [&](const auto& piece) {
    piece(bytes_of(state.generation.history));
    piece(bytes_of(state.logits));
    if (slots == 0) return;
    each_head(cache, slots, config,
              [&](std::int64_t, bool, std::int64_t, std::span<std::byte> bytes) { piece(bytes); });
  };
  const std::string json = to_json(state);
  Hasher hasher;
  hasher.update(json);
  each_piece([&](std::span<const std::byte> bytes) { hasher.update(bytes.data(), bytes.size()); });
  SafetensorsWriter writer(
      path, entries, {{"format", format}, {"version", version}, {"state", json}, {"xxh3", hasher.digest()}});
  each_piece([&](std::span<const std::byte> bytes) { writer.write(bytes); });
  writer.commit();
}

SessionFile::SessionFile(const Path& path) : SessionFile(SafetensorsFile(path)) {}

SessionFile::SessionFile(std::span<const std::byte> bytes, const std::string& name)
    : SessionFile(SafetensorsFile(bytes, name)) {}

SessionFile::SessionFile(SafetensorsFile file) : file_(std::move(file)) {
  const std::string& name = file_.name();
  const auto& metadata = file_.metadata();
  const auto member = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  require(member("format") == format && member("version") == version,
          "{}: expected a session of ecp, version {}", name, version);
  const std::string json = member("state");
  Hasher hasher;
  hasher.update(json);
  // Tensors in the order in which they stand in the file, which is how they were hashed.
  std::vector<std::span<const std::byte>> parts;
  for (const auto& [tensor, view] : file_.tensors()) parts.push_back(view.bytes);
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.data() < b.data(); });
  for (const auto& part : parts) hasher.update(part.data(), part.size());
  require(hasher.digest() == member("xxh3"), "{}: damaged: its hash of itself differs", name);

  state_ = parse_session_state(json, name);
  const TensorView& history = file_.at("history");
  const TensorView& logits = file_.at("logits");
  require(history.dtype == DType::i32 && history.shape.size() == 1,
          "{}: history: expected a list of tokens as I32", name);
  require(logits.dtype == DType::f32 && logits.shape.size() == 1, "{}: logits: expected a list as F32", name);
  state_.generation.history.resize(static_cast<std::size_t>(history.elements()));
  std::memcpy(state_.generation.history.data(), history.bytes.data(), history.bytes.size());
  state_.logits = logits.to_float();
}

void SessionFile::read_cache(StreamCache& cache, const StreamLayout& layout,
                             const ModelConfig& config) const {
  const std::int64_t slots = layout.frame() > 0 ? std::min(state_.written, layout.frame()) : state_.written;
  const std::vector<std::int64_t> shape = {config.key_heads(), slots, config.head_dim()};
  const auto tensor = [&](const std::string& name) -> const TensorView& {
    const TensorView& view = file_.at(name);
    require(view.dtype == DType::f32 && view.shape == shape, "{}: {}: expected [{}, {}, {}] as F32",
            file_.name(), name, shape[0], shape[1], shape[2]);
    return view;
  };
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {  // before anything is allocated
    tensor(keys_name(layer));
    if (!config.shared_kv) tensor(values_name(layer));
  }
  try {
    cache.resume(layout, state_.rows, state_.written);
  } catch (const Error& error) {
    fail("{}: {}", file_.name(), error.what());
  }
  if (slots == 0) return;
  each_head(cache, slots, config,
            [&](std::int64_t layer, bool values, std::int64_t head, std::span<std::byte> bytes) {
              const TensorView& view = tensor(values ? values_name(layer) : keys_name(layer));
              std::memcpy(bytes.data(), view.bytes.data() + static_cast<std::size_t>(head) * bytes.size(),
                          bytes.size());
            });
}

}  // namespace ecp::runtime
