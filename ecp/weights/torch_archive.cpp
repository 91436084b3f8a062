#include "ecp/weights/torch_archive.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

using Kind = PickleValue::Kind;

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageType, 10> storage_types = {{{"torch.FloatStorage", DType::f32},
                                                        {"torch.DoubleStorage", DType::f64},
                                                        {"torch.HalfStorage", DType::f16},
                                                        {"torch.BFloat16Storage", DType::bf16},
                                                        {"torch.LongStorage", DType::i64},
                                                        {"torch.IntStorage", DType::i32},
                                                        {"torch.ShortStorage", DType::i16},
                                                        {"torch.CharStorage", DType::i8},
                                                        {"torch.ByteStorage", DType::u8},
                                                        {"torch.BoolStorage", DType::boolean}}};

/// All that a pickle of tensors and plain containers may name.
constexpr std::array<std::string_view, 13> known_names = [] {
  // _codecs.encode is how protocol 2 spells bytes.
  std::array<std::string_view, 13> names = {torch_rebuild_tensor, torch_rebuild_parameter, "_codecs.encode"};
  for (std::size_t i = 0; i < storage_types.size(); ++i) names[3 + i] = storage_types[i].name;
  return names;
}();

// The legacy form's first pickle: 0x1950a86a20f9469cfc6c, lowest byte first.
constexpr std::string_view legacy_magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::int64_t legacy_version = 1001;

constexpr std::string_view pickle_entry = "data.pkl";

}  // namespace

TorchArchive::TorchArchive(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) {
  if (ZipFile::begins_like_one(bytes)) {
    open_zip(bytes);
    return;
  }
  // A pickle begins with the instruction that says its protocol.
  require(!bytes.empty() && bytes.front() == std::byte{0x80},
          "{}: expected NAME.safetensors or a file of torch.save; it begins neither as a zip archive nor as "
          "a pickle",
          name_);
  open_legacy(bytes);
}

void TorchArchive::open_zip(std::span<const std::byte> bytes) {
  zip_.emplace(bytes, name_);
  for (const auto& [entry, place] : zip_->entries()) {
    const std::size_t slash = entry.find('/');
    if (slash == std::string::npos || std::string_view(entry).substr(slash + 1) != pickle_entry) continue;
    require(folder_.empty(), "{}: expected one {}, found '{}' and '{}{}'", name_, pickle_entry, entry,
            folder_, pickle_entry);
    folder_ = entry.substr(0, slash + 1);
  }
  require(!folder_.empty(), "{}: expected a file of torch.save, no {} is in the archive", name_,
          pickle_entry);
  require(!zip_->contains(folder_ + "constants.pkl"),
          "{}: it is a TorchScript program: expected torch.save of its state_dict()", name_);
  if (zip_->contains(folder_ + "byteorder")) {
    const std::span<const std::byte> order = zip_->read(folder_ + "byteorder");
    const std::string_view text(reinterpret_cast<const char*>(order.data()), order.size());
    require(text == "little", "{}: its byte order is '{}', expected 'little'", name_, text);
  }
  const std::string entry = folder_ + std::string(pickle_entry);
  pickle_.emplace(zip_->read(entry), name_ + ": " + entry, known_names);
}

void TorchArchive::open_legacy(std::span<const std::byte> bytes) {
  const auto read = [&](const char* what) {
    Pickle pickle(bytes, fmt::format("{}: {}", name_, what), known_names);
    bytes = bytes.subspan(pickle.size());
    return pickle;
  };
  const Pickle magic = read("first pickle");
  require(magic.root().kind == Kind::big_integer && magic.root().text == legacy_magic,
          "{}: it is a pickle, but not of torch.save", name_);
  const Pickle version = read("version");
  require(version.root().kind == Kind::integer && version.root().integer == legacy_version,
          "{}: its version of torch.save's legacy form is not known, expected {}", name_, legacy_version);
  const Pickle system = read("system");
  const Pickle::Value* little = system.find(system.root(), "little_endian");
  require(little != nullptr && little->kind == Kind::boolean && little->integer == 1,
          "{}: its byte order is not little", name_);
  pickle_ = read("saved object");

  std::map<std::string, StorageId> ids;
  for (const Pickle::Value& value : pickle_->values()) {
    if (value.kind != Kind::persistent) continue;
    const StorageId id = parse_id(*pickle_, value);
    const StorageId& first = ids.emplace(id.key, id).first->second;
    require(first.bytes == id.bytes && first.dtype == id.dtype, "{}: storage '{}' has two types or sizes",
            name_, id.key);
  }
  const Pickle keys = read("list of storages");
  require(keys.root().kind == Kind::list, "{}: expected a list of storages, got a {}", name_,
          name_of(keys.root().kind));
  for (const Pickle::Id item : keys.root().items) {
    const auto id = ids.find(std::string(keys[item].text));
    require(keys[item].kind == Kind::text && id != ids.end(), "{}: storage '{}' belongs to no tensor", name_,
            keys[item].text);
    std::uint64_t elements = 0;
    const std::uint64_t wanted = id->second.bytes;
    require(bytes.size() >= sizeof elements && bytes.size() - sizeof elements >= wanted,
            "{}: storage '{}' of {} bytes is cut off", name_, id->first, wanted);
    std::memcpy(&elements, bytes.data(), sizeof elements);
    require(elements == wanted / size_of(id->second.dtype),
            "{}: storage '{}': expected {} elements, it has {}", name_, id->first,
            wanted / size_of(id->second.dtype), elements);
    require(storages_.emplace(id->first, bytes.subspan(sizeof elements, wanted)).second,
            "{}: storage '{}' is listed twice", name_, id->first);
    bytes = bytes.subspan(sizeof elements + wanted);
  }
  require(bytes.empty(), "{}: {} bytes follow the last storage", name_, bytes.size());
}

TorchArchive::StorageId TorchArchive::parse_id(const Pickle& pickle, const Pickle::Value& persistent) const {
  // ("storage", torch.FloatStorage, key, device, number of elements[, None])
  const Pickle::Value& tuple = pickle[persistent.items[0]];
  const auto is = [&](std::size_t index, Kind kind) { return pickle[tuple.items[index]].kind == kind; };
  const std::size_t count = tuple.kind == Kind::tuple ? tuple.items.size() : 0;
  require((count == 5 || (count == 6 && is(5, Kind::none))) && is(0, Kind::text) && is(1, Kind::global) &&
              is(2, Kind::text) && is(4, Kind::integer) && pickle[tuple.items[0]].text == "storage",
          "{}: expected a storage's type, key, device and number of elements as a persistent id", name_);
  const std::string_view type = pickle[tuple.items[1]].text;
  const auto* const known =
      std::find_if(storage_types.begin(), storage_types.end(),
                   [&](const StorageType& candidate) { return candidate.name == type; });
  require(known != storage_types.end(), "{}: '{}' is not a type of storage", name_, type);
  StorageId id{known->dtype, std::string(pickle[tuple.items[2]].text), 0};
  const std::int64_t elements = pickle[tuple.items[4]].integer;
  require(elements >= 0 &&
              !__builtin_mul_overflow(static_cast<std::uint64_t>(elements), size_of(id.dtype), &id.bytes),
          "{}: storage '{}' claims {} elements", name_, id.key, elements);
  return id;
}

TorchArchive::Storage TorchArchive::storage(const Pickle::Value& persistent) {
  const StorageId id = parse_id(*pickle_, persistent);
  auto found = storages_.find(id.key);
  if (found == storages_.end()) {
    require(zip_.has_value(), "{}: storage '{}' is not in the file", name_, id.key);
    found = storages_.emplace(id.key, zip_->read(folder_ + "data/" + id.key)).first;
  }
  require(found->second.size() == id.bytes, "{}: storage '{}' has {} bytes, its tensors say {}", name_,
          id.key, found->second.size(), id.bytes);
  return {id.dtype, found->second};
}

}  // namespace ecp
