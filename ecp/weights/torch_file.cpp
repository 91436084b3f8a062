#include "ecp/weights/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/weights/torch_archive.h"

namespace ecp {
namespace {

using Kind = PickleValue::Kind;

constexpr std::array<std::string_view, 6> state_dict_names = {
    "model_state_dict", "state_dict", "model", "net", "network", "module"};
constexpr std::array<std::string_view, 4> wrapper_prefixes = {"module.", "model.", "net.", "_orig_mod."};
constexpr std::size_t longest_name = 1000;
constexpr std::size_t most_dimensions = 64;  // PyTorch's own limit

/// A tensor as torch._utils._rebuild_tensor_v2 is told: a part of a storage.
struct Strided {
  std::uint64_t offset = 0;  // elements
  std::vector<std::int64_t> shape, strides;

  /// Whether its elements lie one after the other in C order.
  [[nodiscard]] bool dense() const {
    std::int64_t expected = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
      if (shape[i] != 1 && strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }
};

class Reader {
 public:
  Reader(TorchArchive& archive, const std::string& file, std::uint64_t file_bytes,
         std::deque<std::vector<std::byte>>& copies)
      : archive_(archive), pickle_(archive.pickle()), file_(file), copies_(copies), may_copy_(file_bytes) {}

  std::map<std::string, TensorView> tensors() {
    std::map<std::string, TensorView> tensors;
    const PickleValue& dict = state_dict();
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue& key = pickle_[dict.items[i]];
      const PickleValue& value = pickle_[dict.items[i + 1]];
      if (key.kind != Kind::text || !is_tensor(value)) continue;
      std::string_view name = key.text;
      require(name.size() <= longest_name, "{}: expected names of at most {} bytes, one has {}", file_,
              longest_name, name.size());
      for (bool found = true; std::exchange(found, false);) {
        for (const std::string_view prefix : wrapper_prefixes) {
          if (!name.starts_with(prefix)) continue;
          name.remove_prefix(prefix.size());
          found = true;
        }
      }
      const bool added = tensors.emplace(name, read_tensor(key.text, value)).second;
      require(added, "{}: two tensors named '{}'", file_, name);
    }
    return tensors;
  }

 private:
  [[nodiscard]] bool is_call_of(const PickleValue& value, std::string_view function) const {
    return value.kind == Kind::call && pickle_[value.items[0]].text == function;
  }
  [[nodiscard]] bool is_tensor(const PickleValue& value) const {
    return is_call_of(value, torch_rebuild_tensor) || is_call_of(value, torch_rebuild_parameter);
  }
  [[nodiscard]] bool has_tensors(const PickleValue& dict) const {
    if (dict.kind != Kind::dict) return false;
    for (std::size_t i = 1; i < dict.items.size(); i += 2) {
      if (is_tensor(pickle_[dict.items[i]])) return true;
    }
    return false;
  }

  [[nodiscard]] const PickleValue& state_dict() const {
    const PickleValue& root = pickle_.root();
    require(root.kind == Kind::dict, "{}: expected a state_dict, got a {}", file_, name_of(root.kind));
    for (const std::string_view name : state_dict_names) {
      const PickleValue* const part = pickle_.find(root, name);
      if (part != nullptr && has_tensors(*part)) return *part;
    }
    if (has_tensors(root)) return root;
    std::string keys;
    for (std::size_t i = 0; i < std::min<std::size_t>(root.items.size(), 16); i += 2) {
      keys += fmt::format("{}'{}'", keys.empty() ? "" : ", ", pickle_[root.items[i]].text.substr(0, 40));
    }
    fail("{}: expected a state_dict, or a dict with one under {}; it has {}", file_,
         fmt::join(state_dict_names, ", "), keys.empty() ? "nothing" : keys);
  }

  TensorView read_tensor(std::string_view name, const PickleValue& value) {
    const PickleValue* call = &value;
    if (is_call_of(value, torch_rebuild_parameter)) {  // (tensor, requires_grad, hooks)
      const PickleValue& arguments = pickle_[value.items[1]];
      if (!arguments.items.empty()) call = &pickle_[arguments.items[0]];
    }
    // (storage, offset, shape, strides, requires_grad, hooks[, metadata])
    const std::vector<PickleValue::Id>* arguments = nullptr;
    if (is_call_of(*call, torch_rebuild_tensor)) arguments = &pickle_[call->items[1]].items;
    const auto is = [&](std::size_t i, Kind kind) { return pickle_[(*arguments)[i]].kind == kind; };
    require(arguments != nullptr && arguments->size() >= 4 && is(0, Kind::persistent) &&
                is(1, Kind::integer) && is(2, Kind::tuple) && is(3, Kind::tuple),
            "{}: tensor '{}': expected a storage, an offset, a shape and strides", file_, name);
    // Marks of negation and conjugation that are still to be done.
    const bool marked =
        arguments->size() > 6 && !is(6, Kind::none) && !pickle_[(*arguments)[6]].items.empty();
    require(!marked, "{}: tensor '{}' has metadata, which isn't supported", file_, name);

    const TorchArchive::Storage storage = archive_.storage(pickle_[(*arguments)[0]]);
    const auto& shape = pickle_[(*arguments)[2]].items;
    const auto& strides = pickle_[(*arguments)[3]].items;
    require(shape.size() == strides.size() && shape.size() <= most_dimensions,
            "{}: tensor '{}' has {} extents and {} strides", file_, name, shape.size(), strides.size());
    Strided tensor{static_cast<std::uint64_t>(natural(name, (*arguments)[1])), {}, {}};
    for (const PickleValue::Id id : shape) tensor.shape.push_back(natural(name, id));
    for (const PickleValue::Id id : strides) tensor.strides.push_back(natural(name, id));
    return view(name, storage, std::move(tensor));
  }

  std::int64_t natural(std::string_view name, PickleValue::Id id) const {
    const PickleValue& value = pickle_[id];
    require(value.kind == Kind::integer && value.integer >= 0,
            "{}: tensor '{}': expected whole numbers from 0 on as offset, shape and strides", file_, name);
    return value.integer;
  }

  TensorView view(std::string_view name, const TorchArchive::Storage& storage, Strided tensor) {
    const std::size_t width = size_of(storage.dtype);
    const std::uint64_t available = storage.bytes.size() / width;
    std::uint64_t elements = 1, last = tensor.offset;  // the place of its last element
    bool fits = true;
    for (const std::int64_t extent : tensor.shape) {
      if (extent == 0) return {storage.dtype, tensor.shape, {}};
    }
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      const auto extent = static_cast<std::uint64_t>(tensor.shape[i]);
      std::uint64_t step = 0;
      fits = fits && !__builtin_mul_overflow(elements, extent, &elements) &&
             !__builtin_mul_overflow(extent - 1, static_cast<std::uint64_t>(tensor.strides[i]), &step) &&
             !__builtin_add_overflow(last, step, &last);
    }
    require(
        fits && last < available,
        "{}: tensor '{}' of shape [{}], strides [{}] and offset {} reaches beyond its storage's {} elements",
        file_, name, fmt::join(tensor.shape, ", "), fmt::join(tensor.strides, ", "), tensor.offset,
        available);
    if (tensor.dense()) {
      return {storage.dtype, std::move(tensor.shape),
              storage.bytes.subspan(tensor.offset * width, elements * width)};
    }
    // Strides of 0 could ask for any amount from few bytes.
    require(elements <= may_copy_ / width, "{}: tensor '{}' of shape [{}] repeats its elements: too large",
            file_, name, fmt::join(tensor.shape, ", "));
    may_copy_ -= elements * width;
    const std::vector<std::byte>& copy =
        copies_.emplace_back(gathered(storage.bytes, width, tensor, elements));
    return {storage.dtype, std::move(tensor.shape), copy};
  }

  static std::vector<std::byte> gathered(std::span<const std::byte> storage, std::size_t width,
                                         const Strided& tensor, std::uint64_t elements) {
    std::vector<std::byte> copy(elements * width);
    std::vector<std::int64_t> index(tensor.shape.size());
    std::uint64_t from = tensor.offset;
    for (std::uint64_t i = 0; i < elements; ++i) {
      std::memcpy(copy.data() + i * width, storage.data() + from * width, width);
      for (std::size_t d = index.size(); d-- > 0;) {
        from += static_cast<std::uint64_t>(tensor.strides[d]);
        if (++index[d] < tensor.shape[d]) break;
        from -= static_cast<std::uint64_t>(tensor.strides[d]) * static_cast<std::uint64_t>(index[d]);
        index[d] = 0;
      }
    }
    return copy;
  }

  TorchArchive& archive_;
  const Pickle& pickle_;
  const std::string& file_;
  std::deque<std::vector<std::byte>>& copies_;
  std::uint64_t may_copy_;  // bytes; no honest file has more than itself
};

}  // namespace

TorchFile::TorchFile(const Path& path) : file_(path), name_(path.string()) { read(file_.bytes()); }

TorchFile::TorchFile(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) {
  read(bytes);
}

void TorchFile::read(std::span<const std::byte> bytes) {
  TorchArchive archive(bytes, name_);
  tensors_ = Reader(archive, name_, bytes.size(), copies_).tensors();
}

}  // namespace ecp
