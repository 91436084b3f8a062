#include "ecp/weights/convert.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/quantized.h"

namespace ecp {
namespace {

using Entries = std::vector<SafetensorsWriter::Entry>;

/// Tensors in order, a new file wherever one more would make it too large.
std::vector<Entries> divide(const Entries& tensors, std::uint64_t most_bytes) {
  std::vector<Entries> shards(1);
  std::uint64_t used = 0;
  for (const auto& tensor : tensors) {
    const std::uint64_t bytes = tensor.bytes();
    if (!shards.back().empty() && (used > most_bytes || bytes > most_bytes - used)) {
      shards.emplace_back();
      used = 0;
    }
    used += bytes;
    shards.back().push_back(tensor);
  }
  return shards;
}

void write_floats(SafetensorsWriter& writer, std::span<const float> values, DType dtype) {
  if (dtype == DType::f32) return writer.write(std::as_bytes(values));
  std::vector<std::uint16_t> halves;
  halves.reserve(values.size());
  for (const float value : values) halves.push_back(to_bf16(value));
  writer.write(std::as_bytes(std::span(halves)));
}

/// Writes a floating-point tensor's values piece by piece in the wanted type.
void write_values(SafetensorsWriter& writer, const TensorView& tensor, DType dtype) {
  constexpr std::size_t piece_elements = std::size_t{1} << 20;
  if (dtype == tensor.dtype) return writer.write(tensor.bytes);
  const std::size_t piece = piece_elements * size_of(tensor.dtype);
  for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
    TensorView part{tensor.dtype, {}, tensor.bytes.subspan(at, std::min(piece, tensor.bytes.size() - at))};
    write_floats(writer, part.to_float(), dtype);
  }
}

class Converter {
 public:
  Converter(const Checkpoint& from, const Path& folder, const ConvertOptions& options)
      : from_(from), weights_(from.weights()), folder_(folder), options_(options) {}

  Conversion run() {
    write_weights();
    std::set<std::string> weight_files = {weights_name, weights_index_name};
    if (from_.has(weights_index_name)) {
      const Path index = from_.folder() / weights_index_name;
      for (const std::string& file : files_of(parse_weights_index(read_file(index), index.string())))
        weight_files.insert(file);
    }
    for (const auto& [name, entry] : from_.manifest().files) {
      if (weight_files.contains(name)) continue;
      if (name == "optimizer.safetensors" || name == "state.json") {
        result_.left_out.push_back(name);
        continue;
      }
      const Path copy = folder_ / name;
      std::error_code error;
      std::filesystem::create_directories(copy.parent_path(), error);
      require(!error, "cannot make folder '{}': {}", copy.parent_path().string(), error.message());
      write_file(copy, read_file(from_.folder() / name));
    }
    return std::move(result_);
  }

 private:
  void write_weights() {
    Entries tensors;
    std::uint64_t total = 0;
    for (const Parameter& parameter : parameters(from_.model())) {
      const TensorView& tensor = weights_.at(parameter.name);
      total += tensor.bytes.size();
      if (tensor.dtype == DType::i8) total += weights_.at(scale_name(parameter.name)).bytes.size();
      const bool matrix = parameter.shape.size() == 2;
      const DType wanted = options_.dtype.value_or(tensor.dtype);
      const DType dtype = wanted == DType::i8 && !matrix ? tensor.dtype : wanted;
      tensors.push_back({parameter.name, dtype, tensor.shape});
      result_.bytes_after += tensors.back().bytes();
      if (dtype != DType::i8) continue;
      tensors.push_back({scale_name(parameter.name), DType::f32, scale_shape(tensor.shape)});
      result_.bytes_after += tensors.back().bytes();
    }
    result_.bytes_before = total;
    const std::vector<Entries> shards = divide(tensors, options_.most_shard_bytes);
    nlohmann::ordered_json index = {{"metadata", {{"total_size", result_.bytes_after}}}};
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::string name = shards.size() == 1 ? weights_name : shard_name(i, shards.size());
      write_shard(name, shards[i]);
      for (const auto& tensor : shards[i]) index["weight_map"][tensor.name] = name;
      result_.weight_files.push_back(name);
    }
    if (shards.size() > 1) write_file(folder_ / weights_index_name, index.dump(2) + "\n");
  }

  void write_shard(const std::string& name, const Entries& shard) {
    SafetensorsWriter writer(folder_ / name, shard,
                             {{"format", "pt"}});  // what Hugging Face's loaders ask for
    for (const auto& entry : shard) {
      check_interrupt();
      write_tensor(writer, entry);
      if (options_.progress) options_.progress({"converting", done_, result_.bytes_before, "B"});
    }
    writer.commit();
  }

  void write_tensor(SafetensorsWriter& writer, const SafetensorsWriter::Entry& entry) {
    if (!scales_.empty()) {  // those of the matrix before
      writer.write(std::as_bytes(std::span(scales_)));
      scales_.clear();
      return;
    }
    const TensorView& tensor = weights_.at(entry.name);
    done_ += tensor.bytes.size();
    if (tensor.dtype == DType::i8) done_ += weights_.at(scale_name(entry.name)).bytes.size();
    if (entry.dtype != DType::i8) {
      tensor.dtype == DType::i8 ? write_floats(writer, float_values(weights_, entry.name), entry.dtype)
                                : write_values(writer, tensor, entry.dtype);
    } else if (tensor.dtype == DType::i8) {
      writer.write(tensor.bytes);
      scales_ = weights_.at(scale_name(entry.name)).to_float();
    } else {
      QuantizedValues values = quantized(tensor.to_float(), tensor.shape[1], entry.name);
      writer.write(std::as_bytes(std::span(values.numbers)));
      scales_ = std::move(values.scales);
    }
  }

  const Checkpoint& from_;
  const TensorSet weights_;
  const Path& folder_;
  const ConvertOptions& options_;
  Conversion result_;
  std::uint64_t done_ = 0;
  std::vector<float> scales_;  // to be written next
};

}  // namespace

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

Conversion convert_checkpoint(const Path& from, const Path& output, const ConvertOptions& options) {
  require(!std::filesystem::exists(output), "output '{}': expected a new folder, it exists", output.string());
  require(!options.dtype || *options.dtype == DType::f32 || *options.dtype == DType::bf16 ||
              *options.dtype == DType::i8,
          "dtype: expected float32, bfloat16 or int8");
  require(options.most_shard_bytes > 0, "shard size: expected at least 1 byte, got 0");
  const Checkpoint checkpoint(from);
  FolderWriter folder(output);
  Conversion result = Converter(checkpoint, folder.path(), options).run();
  write_manifest(folder.path());
  folder.commit();
  return result;
}

}  // namespace ecp
