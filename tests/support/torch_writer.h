// Files as torch.save writes them, and as nobody should: zip archives with stored entries, and pickles that
// are put together from pieces.
#pragma once

#include <zlib.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/weights/safetensors.h"

namespace ecp::test {

template <class Number>
std::string little(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct ZipOptions {
  bool zip64 = false;      // sizes and offsets in extra fields, a directory's end of 64 bits
  bool checksums = true;   // false: 0 as torch writes where it is told not to compute them
  std::size_t align = 64;  // of the data, padded as torch does
};

inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& entries,
                          const ZipOptions& options = {}) {
  constexpr std::uint32_t elsewhere = 0xffffffff;
  std::string file, directory;
  for (const auto& [name, data] : entries) {
    const std::uint64_t offset = file.size();
    const std::size_t padding =
        (options.align - (offset + 30 + name.size() + 4) % options.align) % options.align;
    const std::uint32_t crc =
        options.checksums ? static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(data.data()),
                                                               static_cast<uInt>(data.size())))
                          : 0;
    // torch writes sizes and checksum behind the data (flag 8) and again in the directory.
    file += "PK\3\4" + little<std::uint16_t>(0) + little<std::uint16_t>(0x808) + std::string(6 + 12, '\0') +
            little(static_cast<std::uint16_t>(name.size())) +
            little(static_cast<std::uint16_t>(4 + padding)) + name + "FB" +
            little(static_cast<std::uint16_t>(padding)) + std::string(padding, 'Z') + data;
    file += "PK\7\10" + little(crc) + little(static_cast<std::uint32_t>(data.size())) +
            little(static_cast<std::uint32_t>(data.size()));
    const auto size = static_cast<std::uint32_t>(data.size());
    const std::string extra = !options.zip64 ? ""
                                             : little<std::uint16_t>(1) + little<std::uint16_t>(24) +
                                                   little<std::uint64_t>(size) + little<std::uint64_t>(size) +
                                                   little<std::uint64_t>(offset);
    directory += "PK\1\2" + std::string(4, '\0') + little<std::uint16_t>(0x808) + std::string(6, '\0') +
                 little(crc) + little(options.zip64 ? elsewhere : size) +
                 little(options.zip64 ? elsewhere : size) + little(static_cast<std::uint16_t>(name.size())) +
                 little(static_cast<std::uint16_t>(extra.size())) + std::string(10, '\0') +
                 little(options.zip64 ? elsewhere : static_cast<std::uint32_t>(offset)) + name + extra;
  }
  const std::uint64_t begin = file.size(), count = entries.size();
  file += directory;
  if (options.zip64) {
    const std::uint64_t end = file.size();
    file += "PK\6\6" + little<std::uint64_t>(44) + little<std::uint32_t>(0x31e) + little<std::uint64_t>(0) +
            little(count) + little(count) + little<std::uint64_t>(directory.size()) + little(begin);
    file += "PK\6\7" + little<std::uint32_t>(0) + little(end) + little<std::uint32_t>(1);
  }
  file += "PK\5\6" + std::string(4, '\0') + little(static_cast<std::uint16_t>(count)) +
          little(static_cast<std::uint16_t>(count)) + little(static_cast<std::uint32_t>(directory.size())) +
          little(options.zip64 ? elsewhere : static_cast<std::uint32_t>(begin)) + little<std::uint16_t>(0);
  return file;
}

/// Instructions that leave one value on a pickle's stack.
namespace pickle {

inline std::string text(std::string_view value) {
  return 'X' + little(static_cast<std::uint32_t>(value.size())) + std::string(value);
}
inline std::string integer(std::int64_t value) { return "\x8a\x08" + little(value); }
inline std::string number(double value) {
  return 'G' + little(__builtin_bswap64(std::bit_cast<std::uint64_t>(value)));
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + 't';
}
inline std::string list(const std::vector<std::string>& items) {
  std::string all = "](";
  for (const std::string& item : items) all += item;
  return all + 'e';
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all = "}(";
  for (const auto& [key, value] : items) all += text(key) + value;
  return all + 'u';
}
inline std::string global(std::string_view module, std::string_view name) {
  return 'c' + std::string(module) + '\n' + std::string(name) + '\n';
}
inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + 'R';
}
inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string storage(std::string_view type, std::string_view key, std::int64_t elements) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(elements)}) + 'Q';
}
inline std::string tensor(const std::string& storage, std::int64_t offset,
                          const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, integer(offset), integers(shape), integers(strides), "\x89",
               call(global("collections", "OrderedDict"), {})});
}
inline std::string whole(const std::string& value, char protocol = 2) {
  return std::string("\x80") + protocol + value + '.';
}

}  // namespace pickle

/// The strides of a tensor that lies in C order.
inline std::vector<std::int64_t> dense_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t product = 1;
  for (std::size_t i = shape.size(); i-- > 0; product *= shape[i]) strides[i] = product;
  return strides;
}

/// A file of torch.save: `data.pkl` is the pickle of `value`, storages by their keys.
inline std::string torch_file(const std::string& value, const std::map<std::string, std::string>& storages,
                              const ZipOptions& options = {}) {
  std::vector<std::pair<std::string, std::string>> entries = {{"archive/data.pkl", pickle::whole(value)},
                                                              {"archive/byteorder", "little"}};
  for (const auto& [key, data] : storages) entries.emplace_back("archive/data/" + key, data);
  entries.emplace_back("archive/version", "3\n");
  return zip_of(entries, options);
}

/// A state_dict of float32 tensors, and its storages.
struct StateDict {
  std::string value;
  std::map<std::string, std::string> storages;
};
inline StateDict state_dict(const std::map<std::string, TensorView>& tensors) {
  StateDict dict;
  std::vector<std::pair<std::string, std::string>> items;
  for (const auto& [name, view] : tensors) {
    const std::string key = std::to_string(dict.storages.size());
    dict.storages[key] = {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
    items.emplace_back(name, pickle::tensor(pickle::storage("FloatStorage", key, view.elements()), 0,
                                            view.shape, dense_strides(view.shape)));
  }
  dict.value = pickle::dict(items);
  return dict;
}

}  // namespace ecp::test
