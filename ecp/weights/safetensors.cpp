#include "ecp/weights/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"

namespace ecp {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is read as it lies in memory");

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<DTypeInfo, 10> dtypes = {{{DType::f64, "F64", 8},
                                               {DType::f32, "F32", 4},
                                               {DType::bf16, "BF16", 2},
                                               {DType::f16, "F16", 2},
                                               {DType::i64, "I64", 8},
                                               {DType::i32, "I32", 4},
                                               {DType::i16, "I16", 2},
                                               {DType::i8, "I8", 1},
                                               {DType::u8, "U8", 1},
                                               {DType::boolean, "BOOL", 1}}};

const DTypeInfo& info_of(DType dtype) {
  return *std::find_if(dtypes.begin(), dtypes.end(),
                       [&](const DTypeInfo& info) { return info.dtype == dtype; });
}

// The reference implementation's limit; real headers are far below it.
constexpr std::uint64_t largest_header = 100'000'000;

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = bits >> 10 & 0x1Fu;
  const std::uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0) {  // zero and subnormal: mantissa · 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

template <class Stored, class Convert>
std::vector<float> convert(std::span<const std::byte> bytes, Convert to_float) {
  std::vector<float> values(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = to_float(stored);
  }
  return values;
}

/// Checks one entry of the header and returns its tensor; `begin` and `end` receive its place in the data.
TensorView read_entry(const std::string& file, const std::string& name, const nlohmann::json& entry,
                      std::span<const std::byte> data, std::uint64_t& begin, std::uint64_t& end) {
  const auto bad = [&](std::string_view what) { fail("{}: tensor '{}': {}", file, name, what); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    bad("expected dtype, shape and data_offsets");
  }
  const auto& dtype_name = entry["dtype"];
  const auto& shape = entry["shape"];
  const auto& offsets = entry["data_offsets"];
  if (!dtype_name.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2 ||
      !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    bad("expected dtype, shape and data_offsets");
  }
  const auto* const known = std::find_if(dtypes.begin(), dtypes.end(), [&](const DTypeInfo& info) {
    return info.name == dtype_name.get_ref<const std::string&>();
  });
  if (known == dtypes.end()) bad("dtype '" + dtype_name.get<std::string>() + "' is not known");

  TensorView view;
  view.dtype = known->dtype;
  std::uint64_t expected = known->size;
  for (const auto& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > INT64_MAX)
      bad("shape has a bad extent");
    view.shape.push_back(extent.get<std::int64_t>());
    if (__builtin_mul_overflow(expected, extent.get<std::uint64_t>(), &expected)) bad("its size overflows");
  }
  begin = offsets[0].get<std::uint64_t>();
  end = offsets[1].get<std::uint64_t>();
  if (begin > end || end > data.size()) {
    bad(fmt::format("data_offsets [{}, {}] lie outside the {} bytes of data", begin, end, data.size()));
  }
  if (end - begin != expected) {
    bad(fmt::format("expected {} bytes by its shape, got {}", expected, end - begin));
  }
  view.bytes = data.subspan(begin, end - begin);
  return view;
}

}  // namespace

std::size_t size_of(DType dtype) { return info_of(dtype).size; }

std::string_view name_of(DType dtype) { return info_of(dtype).name; }

bool is_floating(DType dtype) {
  return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

std::vector<float> TensorView::to_float() const {
  switch (dtype) {
    case DType::f32:
      return convert<float>(bytes, [](float v) { return v; });
    case DType::f64:
      return convert<double>(bytes, [](double v) { return static_cast<float>(v); });
    case DType::bf16:
      return convert<std::uint16_t>(bytes, from_bf16);
    case DType::f16:
      return convert<std::uint16_t>(bytes, from_f16);
    default:
      fail("expected a tensor of F32, F64, BF16 or F16, got {}", name_of(dtype));
  }
}

SafetensorsFile::SafetensorsFile(const Path& path) : file_(path), name_(path.string()) {
  parse(file_.bytes());
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)) {
  parse(bytes);
}

void SafetensorsFile::parse(std::span<const std::byte> bytes) {
  require(bytes.size() >= 8, "{}: expected a safetensors file, got {} bytes", name_, bytes.size());
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  require(header_size <= largest_header && header_size <= bytes.size() - 8,
          "{}: its header claims {} bytes, the file has {} (truncated or not safetensors)", name_,
          header_size, bytes.size());
  const char* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const nlohmann::json header = nlohmann::json::parse(text, text + header_size, nullptr, false);
  require(!header.is_discarded() && header.is_object(), "{}: its header is not a JSON object", name_);
  const std::span<const std::byte> data = bytes.subspan(8 + header_size);

  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      require(entry.is_object(), "{}: __metadata__ is not an object", name_);
      for (const auto& [key, value] : entry.items()) {
        require(value.is_string(), "{}: __metadata__ '{}' is not a string", name_, key);
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    auto& [begin, end] = places.emplace_back();
    tensors_[name] = read_entry(name_, name, entry, data, begin, end);
  }
  // No overlaps and no gaps, so that every byte of the file means one thing (an entry named twice leaves a
  // gap).
  std::sort(places.begin(), places.end());
  std::uint64_t at = 0;
  for (const auto& [begin, end] : places) {
    require(begin == at, "{}: tensors overlap or leave a gap at byte {} of the data", name_, at);
    at = end;
  }
  require(at == data.size(), "{}: expected {} bytes of data, got {}", name_, at, data.size());
}

const TensorView& find_tensor(const std::map<std::string, TensorView>& tensors, const std::string& tensor,
                              const std::string& file) {
  const auto found = tensors.find(tensor);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors) names.push_back(name);
  fail("{}: tensor '{}' is missing{}", file, tensor, did_you_mean(tensor, names));
}

const TensorView& SafetensorsFile::at(const std::string& tensor) const {
  return find_tensor(tensors_, tensor, name_);
}

std::uint64_t SafetensorsWriter::Entry::bytes() const {
  std::uint64_t product = size_of(dtype);
  for (const std::int64_t extent : shape) {
    require(extent >= 0 && !__builtin_mul_overflow(product, static_cast<std::uint64_t>(extent), &product),
            "tensor '{}': its size overflows", name);
  }
  return product;
}

SafetensorsWriter::SafetensorsWriter(const Path& path, std::span<const Entry> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : name_(path.string()), file_(path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const Entry& tensor : tensors) {
    require(!header.contains(tensor.name), "{}: two tensors named '{}'", name_, tensor.name);
    const std::uint64_t end = at + tensor.bytes();
    header[tensor.name] = {
        {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8, ' ');
  const std::uint64_t header_size = text.size();
  file_.write(&header_size, sizeof header_size);
  file_.write(text);
  expected_ = file_.size() + at;
}

void SafetensorsWriter::commit() {
  require(file_.size() == expected_, "{}: expected {} bytes, {} were written", name_, expected_,
          file_.size());
  file_.commit();
}

void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const NamedTensor& tensor : tensors)
    entries.push_back({tensor.name, tensor.view.dtype, tensor.view.shape});
  SafetensorsWriter writer(path, entries, metadata);
  for (const NamedTensor& tensor : tensors) writer.write(tensor.view.bytes);
  writer.commit();
}

}  // namespace ecp
