#include "ecp/text/npy.h"

#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::string_view magic{"\x93NUMPY", 6};
constexpr std::size_t largest_header = 1 << 16;
constexpr std::size_t most_dimensions = 8;

/// The header's text is a Python dictionary with exactly the keys descr, fortran_order and shape.
class DictionaryParser {
 public:
  DictionaryParser(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

  void parse(NpyHeader& header) {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = read_string();
      expect(':');
      if (key == "descr" && !std::exchange(descr, true)) {
        header.dtype = read_string();
      } else if (key == "fortran_order" && !std::exchange(order, true)) {
        header.fortran_order = read_flag();
      } else if (key == "shape" && !std::exchange(shape, true)) {
        header.shape = read_shape();
      } else {
        bad();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (!rest_.empty() || !descr || !order || !shape) bad();
  }

 private:
  [[noreturn]] void bad() const { fail("'{}': damaged .npy header", name_); }

  void skip_spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) rest_.remove_prefix(1);
  }

  bool accept(char c) {
    skip_spaces();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!accept(c)) bad();
  }

  std::string read_string() {
    expect('\'');
    const std::size_t end = rest_.find('\'');
    if (end == std::string_view::npos) bad();
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool read_flag() {
    skip_spaces();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    bad();
  }

  std::uint64_t read_count() {
    skip_spaces();
    std::uint64_t value = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      const auto digit = static_cast<std::uint64_t>(rest_[digits] - '0');
      if (value > (UINT64_MAX - digit) / 10) bad();
      value = value * 10 + digit;
    }
    if (digits == 0) bad();
    rest_.remove_prefix(digits);
    return value;
  }

  std::vector<std::uint64_t> read_shape() {
    std::vector<std::uint64_t> shape;
    expect('(');
    while (!accept(')')) {
      if (shape.size() == most_dimensions) bad();
      shape.push_back(read_count());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view rest_;
  std::string_view name_;
};

}  // namespace

std::uint64_t NpyHeader::elements() const {
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) count *= extent;
  return count;
}

NpyHeader parse_npy_header(std::span<const std::byte> file, std::string_view name, std::size_t item_bytes) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  require(bytes.size() >= 12 && bytes.starts_with(magic), "'{}': not a .npy file", name);
  const auto at = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(bytes[i])}; };
  const std::size_t major = at(6);
  require(major >= 1 && major <= 3 && at(7) == 0, "'{}': expected .npy version 1.0 to 3.0, got {}.{}", name,
          major, at(7));
  const std::size_t start = major == 1 ? 10 : 12;
  const std::size_t length = at(8) | at(9) << 8 | (major == 1 ? 0 : at(10) << 16 | at(11) << 24);
  require(length <= largest_header && length <= bytes.size() - start,
          "'{}': truncated or damaged .npy header", name);
  NpyHeader header;
  header.data_offset = start + length;
  DictionaryParser(bytes.substr(start, length), name).parse(header);

  std::uint64_t count = 1;
  for (const std::uint64_t extent : header.shape) {
    require(!__builtin_mul_overflow(count, extent, &count),
            "'{}': the .npy header's shape is impossibly large", name);
  }
  if (item_bytes > 0) {
    const std::uint64_t available = file.size() - header.data_offset;
    std::uint64_t needed = 0;
    const bool fits = !__builtin_mul_overflow(count, item_bytes, &needed);
    require(fits && needed == available,
            "'{}': truncated or damaged: the header says {} elements of {} bytes, the file holds {} bytes",
            name, count, item_bytes, available);
  }
  return header;
}

std::string npy_header(std::string_view dtype, std::uint64_t elements) {
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}", dtype, elements);
  constexpr std::size_t start = 10, length = npy_header_bytes - start;
  require(text.size() < length, "npy header: dtype '{}' is too long", dtype);
  text.resize(length - 1, ' ');
  std::string header(magic);
  header += {1, 0, static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  return header + text + "\n";
}

}  // namespace ecp
