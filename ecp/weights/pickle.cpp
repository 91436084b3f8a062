#include "ecp/weights/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

using Kind = PickleValue::Kind;

// A model's pickle takes a few hundred bytes and a dozen values per tensor; lists of measurements may be
// long.
constexpr std::size_t most_bytes = 64 << 20;
constexpr std::size_t most_values = 2 << 20;
constexpr std::size_t longest_name = 200;

/// Python's names of the instructions that aren't followed, for messages.
constexpr std::array<std::pair<unsigned char, std::string_view>, 21> refused_opcodes = {{
    {'I', "INT"},         {'L', "LONG"},         {'F', "FLOAT"},
    {'S', "STRING"},      {'V', "UNICODE"},      {'P', "PERSID"},
    {'g', "GET"},         {'p', "PUT"},          {'i', "INST"},
    {'o', "OBJ"},         {0x81, "NEWOBJ"},      {0x82, "EXT1"},
    {0x83, "EXT2"},       {0x84, "EXT4"},        {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},   {0x91, "FROZENSET"},   {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
}};

constexpr std::string_view ordered_dict = "collections.OrderedDict";

}  // namespace

class PickleReader {
 public:
  using Id = PickleValue::Id;

  PickleReader(Pickle& pickle, std::span<const std::byte> bytes, const std::string& name,
               std::span<const std::string_view> globals)
      : values_(pickle.values_),
        name_(name),
        globals_(globals),
        all_(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
        rest_(all_.substr(0, most_bytes)) {
    while (!done_) follow(static_cast<unsigned char>(take(1).front()));
    require(stack_.size() == 1 && marks_.empty(), "{}: it ends with {} values, expected one", name_,
            stack_.size());
    pickle.root_ = stack_.back();
    pickle.size_ = place();
  }

 private:
  [[nodiscard]] std::size_t place() const { return static_cast<std::size_t>(rest_.data() - all_.data()); }

  // Bytes

  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) {
      require(all_.size() <= most_bytes, "{}: a pickle of more than {} bytes is not supported", name_,
              most_bytes);
      fail("{}: it ends at byte {}, in the middle of an instruction (truncated?)", name_, all_.size());
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  /// Bytes whose number stands before them.
  template <class Length>
  std::string_view counted() {
    return take(number<Length>());
  }

  std::string_view line() {
    const std::size_t end = rest_.substr(0, longest_name + 1).find('\n');
    require(end != std::string_view::npos,
            "{}: byte {}: expected a name of at most {} bytes and a line's end", name_, place(),
            longest_name);
    const std::string_view text = take(end);
    take(1);
    return text;
  }

  // Values

  Id add(PickleValue value) {
    require(values_.size() < most_values, "{}: more than {} values are not supported", name_, most_values);
    values_.push_back(std::move(value));
    return static_cast<Id>(values_.size() - 1);
  }
  void push(PickleValue value) { stack_.push_back(add(std::move(value))); }
  void push_integer(std::int64_t value, Kind kind = Kind::integer) { push({kind, value, 0, {}, {}}); }
  void push_text(Kind kind, std::string_view text) { push({kind, 0, 0, text, {}}); }
  void push_items(Kind kind, std::vector<Id> items) { push({kind, 0, 0, {}, std::move(items)}); }

  /// Only what stands above the last mark can be taken.
  [[nodiscard]] std::size_t within_reach() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  Id pop() {
    require(within_reach() >= 1, "{}: byte {}: an instruction lacks its value", name_, place());
    const Id id = stack_.back();
    stack_.pop_back();
    return id;
  }
  std::vector<Id> pop(std::size_t count) {
    require(within_reach() >= count, "{}: byte {}: an instruction lacks its values", name_, place());
    std::vector<Id> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<Id> pop_to_mark() {
    require(!marks_.empty(), "{}: byte {}: an instruction lacks its mark", name_, place());
    std::vector<Id> items = pop(within_reach());
    marks_.pop_back();
    return items;
  }
  Id top() {
    require(within_reach() >= 1, "{}: byte {}: an instruction lacks its value", name_, place());
    return stack_.back();
  }
  PickleValue& top(Kind kind) {
    PickleValue& value = values_[top()];
    require(value.kind == kind, "{}: byte {}: expected a {} to add to, got {}", name_, place(), name_of(kind),
            name_of(value.kind));
    return value;
  }

  void append(Kind kind, const std::vector<Id>& items) {
    require(kind != Kind::dict || items.size() % 2 == 0, "{}: byte {}: a key without a value", name_,
            place());
    std::vector<Id>& all = top(kind).items;
    all.insert(all.end(), items.begin(), items.end());
  }

  void push_dict(const std::vector<Id>& items) {
    push_items(Kind::dict, {});
    append(Kind::dict, items);
  }

  void push_big(std::string_view bytes) {
    if (bytes.size() > sizeof(std::int64_t)) return push_text(Kind::big_integer, bytes);
    const bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80) != 0;
    std::int64_t value = negative ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push_integer(value);
  }

  void push_float() {
    std::uint64_t bits =
        __builtin_bswap64(number<std::uint64_t>());  // the one number with the highest byte first
    push({Kind::number, 0, std::bit_cast<double>(bits), {}, {}});
  }

  void remember(std::uint32_t index) {
    require(memo_.size() < most_values, "{}: more than {} values are not supported", name_, most_values);
    memo_[index] = top();
  }
  void recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    require(found != memo_.end(), "{}: byte {}: expected a value remembered as {}", name_, place(), index);
    stack_.push_back(found->second);
  }

  // Names and calls

  void push_global(std::string_view module, std::string_view name) {
    const std::string full = fmt::format("{}.{}", module, name);
    const auto known = std::find(globals_.begin(), globals_.end(), full);
    const bool dict = full == ordered_dict;
    require(dict || known != globals_.end(),
            "{}: it asks for '{}', refused: only tensors and plain containers are read, nothing is executed",
            name_, full);
    push_text(Kind::global, dict ? ordered_dict : *known);
  }

  void push_stack_global() {
    const PickleValue& name = values_[pop()];
    const PickleValue& module = values_[pop()];
    require(name.kind == Kind::text && module.kind == Kind::text &&
                name.text.size() + module.text.size() <= longest_name,
            "{}: byte {}: expected a name of at most {} bytes", name_, place(), longest_name);
    push_global(module.text, name.text);
  }

  void push_call() {
    const std::vector<Id> call = pop(2);
    const PickleValue& function = values_[call[0]];
    const PickleValue& arguments = values_[call[1]];
    require(function.kind == Kind::global && arguments.kind == Kind::tuple,
            "{}: byte {}: expected a name called with a tuple, got a {} and a {}", name_, place(),
            name_of(function.kind), name_of(arguments.kind));
    if (function.text != ordered_dict) return push_items(Kind::call, call);
    require(arguments.items.empty(), "{}: byte {}: expected an empty {}, it is given {} arguments", name_,
            place(), ordered_dict, arguments.items.size());
    push_items(Kind::dict, {});
  }

  /// Sets attributes, which are dropped: state_dict() leaves its format's version on its dict.
  void build() {
    pop();
    const Kind kind = values_[top()].kind;
    require(kind == Kind::dict,
            "{}: byte {}: BUILD of a {}, refused: only tensors and plain containers are read", name_, place(),
            name_of(kind));
  }

  void discard() {
    if (within_reach() == 0 && !marks_.empty()) return marks_.pop_back();
    pop();
  }

  void refuse(unsigned char opcode) {
    const auto* const known = std::find_if(refused_opcodes.begin(), refused_opcodes.end(),
                                           [&](const auto& entry) { return entry.first == opcode; });
    require(known != refused_opcodes.end(), "{}: byte {}: {:#04x} is not an instruction of a pickle", name_,
            place() - 1, opcode);
    std::string of;  // INST names a class as GLOBAL does
    if (opcode == 'i') {
      const std::string_view module = line();
      of = fmt::format(" of '{}.{}'", module, line());
    }
    fail("{}: byte {}: {}{}, refused: only tensors and plain containers of protocols 2 to 5 are read", name_,
         place() - 1, known->second, of);
  }

  void follow(unsigned char opcode) {
    // clang-format off
    switch (opcode) {
      case 0x80: return check_protocol();
      case 0x95: return check_frame();
      case '.': done_ = true; return;
      case '(': marks_.push_back(stack_.size()); return;
      case '0': return discard();
      case '1': pop_to_mark(); return;
      case '2': stack_.push_back(top()); return;
      case 'N': return push({});
      case 0x88: return push_integer(1, Kind::boolean);
      case 0x89: return push_integer(0, Kind::boolean);
      case 'J': return push_integer(number<std::int32_t>());
      case 'K': return push_integer(number<std::uint8_t>());
      case 'M': return push_integer(number<std::uint16_t>());
      case 0x8a: return push_big(counted<std::uint8_t>());
      case 0x8b: return push_big(counted<std::uint32_t>());
      case 'G': return push_float();
      case 'X': return push_text(Kind::text, counted<std::uint32_t>());
      case 0x8c: return push_text(Kind::text, counted<std::uint8_t>());
      case 0x8d: return push_text(Kind::text, counted<std::uint64_t>());
      case 'T': return push_text(Kind::text, counted<std::uint32_t>());  // Python 2's str
      case 'U': return push_text(Kind::text, counted<std::uint8_t>());
      case 'B': return push_text(Kind::bytes, counted<std::uint32_t>());
      case 'C': return push_text(Kind::bytes, counted<std::uint8_t>());
      case 0x8e: return push_text(Kind::bytes, counted<std::uint64_t>());
      case ']': return push_items(Kind::list, {});
      case 'l': return push_items(Kind::list, pop_to_mark());
      case 'a': return append(Kind::list, pop(1));
      case 'e': return append(Kind::list, pop_to_mark());
      case ')': return push_items(Kind::tuple, {});
      case 't': return push_items(Kind::tuple, pop_to_mark());
      case 0x85: return push_items(Kind::tuple, pop(1));
      case 0x86: return push_items(Kind::tuple, pop(2));
      case 0x87: return push_items(Kind::tuple, pop(3));
      case '}': return push_items(Kind::dict, {});
      case 'd': return push_dict(pop_to_mark());
      case 's': return append(Kind::dict, pop(2));
      case 'u': return append(Kind::dict, pop_to_mark());
      case 'q': return remember(number<std::uint8_t>());
      case 'r': return remember(number<std::uint32_t>());
      case 0x94: return remember(static_cast<std::uint32_t>(memo_.size()));
      case 'h': return recall(number<std::uint8_t>());
      case 'j': return recall(number<std::uint32_t>());
      case 'c': { const std::string_view module = line(); return push_global(module, line()); }
      case 0x93: return push_stack_global();
      case 'R': return push_call();
      case 'b': return build();
      case 'Q': return push_items(Kind::persistent, pop(1));
      default: return refuse(opcode);
    }
    // clang-format on
  }

  void check_protocol() {
    const auto protocol = number<std::uint8_t>();
    require(protocol >= 2 && protocol <= 5, "{}: expected a pickle of protocol 2 to 5, got {}", name_,
            protocol);
  }
  void check_frame() {
    const auto size = number<std::uint64_t>();
    require(size <= rest_.size(), "{}: byte {}: a frame of {} bytes, but {} are left", name_, place(), size,
            rest_.size());
  }

  std::vector<PickleValue>& values_;
  const std::string& name_;
  std::span<const std::string_view> globals_;
  std::string_view all_, rest_;
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint32_t, Id> memo_;
  bool done_ = false;
};

Pickle::Pickle(std::span<const std::byte> bytes, const std::string& name,
               std::span<const std::string_view> globals) {
  PickleReader(*this, bytes, name, globals);
}

const PickleValue* Pickle::find(const Value& dict, std::string_view key) const {
  require(dict.kind == Kind::dict, "expected a dict with '{}', got a {}", key, name_of(dict.kind));
  for (std::size_t i = dict.items.size(); i >= 2; i -= 2) {
    const Value& candidate = values_[dict.items[i - 2]];
    if (candidate.kind == Kind::text && candidate.text == key) return &values_[dict.items[i - 1]];
  }
  return nullptr;
}

std::string_view name_of(PickleValue::Kind kind) {
  switch (kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
    case Kind::big_integer:
      return "int";
    case Kind::number:
      return "float";
    case Kind::text:
      return "str";
    case Kind::bytes:
      return "bytes";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::global:
      return "name";
    case Kind::call:
      return "call";
    case Kind::persistent:
      return "persistent id";
  }
  return "value";
}

}  // namespace ecp
