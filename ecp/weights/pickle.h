// Python's pickle format (protocols 2 to 5) read as data. Nothing is looked up, imported or called: a pickle
// becomes a table of values, in which "call this with that" is a value like any other, for the caller to make
// sense of or not.
//
// What may be called is a list of names that the caller gives; any other name ends the reading with an error
// that tells it, and so does every instruction that is not needed for plain containers. Nothing recurses and
// every value costs at least a byte of the pickle, so that depth is harmless and memory is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecp {

struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,      // integer: 0 or 1
    integer,      // integer
    big_integer,  // text: its bytes as two's complement, lowest first; it doesn't fit 64 bits
    number,       // number
    text,         // text: UTF-8 if the writer was honest
    bytes,        // text
    list,         // items
    tuple,        // items
    dict,         // items: key, value, key, value, ... in the order of writing; a later equal key counts
    global,       // text: "module.name"
    call,         // items: what is called, the tuple of its arguments
    persistent,   // items: the id of something that lies outside of the pickle
  };
  using Id = std::uint32_t;  // place in the table

  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double number = 0;
  std::string_view text;
  std::vector<Id> items;
};

class Pickle {
 public:
  using Value = PickleValue;
  using Kind = PickleValue::Kind;
  using Id = PickleValue::Id;

  /// Reads one pickle from the start of `bytes`, which the caller keeps alive; `name` stands for it in
  /// messages. `globals` are the names ("module.name") that may be called besides collections.OrderedDict,
  /// which becomes a dict (attributes set on it are dropped); values refer to them.
  Pickle(std::span<const std::byte> bytes, const std::string& name,
         std::span<const std::string_view> globals);

  [[nodiscard]] const Value& root() const { return values_[root_]; }
  [[nodiscard]] const Value& operator[](Id id) const { return values_[id]; }
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }
  /// The value under a key of text; null if the dict has none. Fails if `dict` is none.
  [[nodiscard]] const Value* find(const Value& dict, std::string_view key) const;
  /// Bytes of the pickle; others may follow.
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  friend class PickleReader;

  std::vector<Value> values_;
  Id root_ = 0;
  std::size_t size_ = 0;
};

/// "dict", "text", ... for messages.
std::string_view name_of(PickleValue::Kind kind);

}  // namespace ecp
