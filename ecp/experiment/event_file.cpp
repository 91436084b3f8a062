#include "ecp/experiment/event_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ecp {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
    table[byte] = crc;
  }
  return table;
}();

/// TFRecord stores checksums like this, so that a file of checksums doesn't have itself as its checksum.
std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

template <class Integer>
std::string little_endian(Integer value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

/// A protocol buffers message being put together.
class Message {
 public:
  Message& number(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(value);
    return *this;
  }
  Message& real64(int field, double value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 1);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& real32(int field, float value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 5);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.bytes_); }

  [[nodiscard]] const std::string& encoded() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Field numbers of tensorflow/core/util/event.proto and of the framework's summary, tensor and tensor_shape.
Message event(double wall_time, std::int64_t step) {
  Message message;
  message.real64(1, wall_time);
  if (step != 0) message.number(2, static_cast<std::uint64_t>(step));
  return message;
}

Message summary_value(const LogEvent& one) {
  Message value;
  value.bytes(1, one.tag);
  if (const double* number = std::get_if<double>(&one.value)) {
    value.real32(2, static_cast<float>(*number));
    return value;
  }
  constexpr int string_type = 7, tensor_class = 2;
  value.message(8, Message()
                       .number(1, string_type)
                       .message(2, Message().message(2, Message().number(1, 1)))
                       .bytes(8, std::get<std::string>(one.value)));
  value.message(9, Message().message(1, Message().bytes(1, "text")).number(4, tensor_class));
  return value;
}

std::string record(const Message& message) {
  const std::string& data = message.encoded();
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  return length + little_endian(masked_crc(length)) + data + little_endian(masked_crc(data));
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr std::string_view prefix = "events.out.tfevents.";

/// Readers take a folder's files in the order of their names, which begin with the second they were made in.
/// That of a new file is beyond all others, also where several are made in a second or the clock was set
/// back.
std::int64_t next_second(const Path& folder) {
  auto second = static_cast<std::int64_t>(now());
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    std::int64_t taken = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), taken);
    if (taken < std::int64_t{9'999'999'999}) second = std::max(second, taken + 1);
  }
  return second;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  for (char& c : name) {
    if (c == '/') c = '-';
  }
  return name.data();
}

/// Text that a Markdown reader shows as it is, line ends included.
std::string as_markdown(std::string_view text) {
  std::string result;
  bool at_start = true;  // of a line: so far only what a list, a heading or a quotation could begin with
  for (const char c : text) {
    if (c == '\n') {
      result += "  \n";
      at_start = true;
      continue;
    }
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else {
      constexpr std::string_view anywhere = "\\`*_[]", first = "#>+-.=";
      if (anywhere.find(c) != anywhere.npos || (at_start && first.find(c) != first.npos)) result += '\\';
      result += c;
    }
    at_start = at_start && (c == ' ' || (c >= '0' && c <= '9'));
  }
  return result;
}

struct Figure {
  const char* key;
  const char* tag;
};
constexpr Figure train_figures[] = {{"loss", "train/loss"},
                                    {"lr", "train/learning_rate"},
                                    {"grad_norm", "train/grad_norm"},
                                    {"tokens_per_second", "train/tokens_per_second"},
                                    {"peak_memory", "train/peak_memory"}};
constexpr Figure eval_figures[] = {{"loss", "eval/loss"},
                                   {"accuracy", "eval/accuracy"},
                                   {"bits_per_byte", "eval/bits_per_byte"},
                                   {"perplexity_token", "eval/perplexity_token"},
                                   {"perplexity_word", "eval/perplexity_word"}};

std::string text_of(const nlohmann::ordered_json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = crc >> 8 ^ crc_table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

std::vector<LogEvent> events_of(const nlohmann::ordered_json& line) {
  std::vector<LogEvent> events;
  if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) return events;
  const auto step = line["step"].get<std::int64_t>();
  const std::string kind = text_of(line, "kind");
  const auto add_figures = [&](const auto& figures, bool null_is_nan) {
    for (const auto& [key, tag] : figures) {
      const auto value = line.find(key);
      if (value == line.end()) continue;
      const double number = value->is_number() ? value->template get<double>() : NAN;
      if (value->is_number() || null_is_nan) events.push_back({tag, step, number});
    }
  };
  if (kind == "train") {
    add_figures(train_figures, true);
  } else if (kind == "eval") {
    add_figures(eval_figures, false);
  } else if (kind == "sample") {
    events.push_back({"sample", step, as_markdown(text_of(line, "prompt") + "|" + text_of(line, "text"))});
  } else if (kind == "skip") {
    events.push_back({"train/skipped", step, as_markdown(text_of(line, "reason"))});
  }
  return events;
}

EventFile::EventFile(const Path& folder, std::optional<std::int64_t> from)
    : path_(folder / fmt::format("{}{:010}.{}.{}", prefix, next_second(folder), host_name(), ::getpid())) {
  const double time = now();
  waiting_ = record(event(time, 0).bytes(3, "brain.Event:2"));
  constexpr int start = 1;
  if (from) waiting_ += record(event(time, *from).message(7, Message().number(1, start)));
  write_waiting();
}

bool EventFile::add(const std::vector<LogEvent>& events, double wall_time) {
  for (const LogEvent& one : events) {
    waiting_ += record(event(wall_time, one.step).message(5, Message().message(1, summary_value(one))));
  }
  return write_waiting();
}

bool EventFile::add(const nlohmann::ordered_json& line) { return add(events_of(line), now()); }

void EventFile::flush() {
  append_lines(path_, waiting_);
  waiting_.clear();
}

bool EventFile::write_waiting() {
  try {
    flush();
  } catch (const NoSpace&) {
    return false;
  }
  return true;
}

}  // namespace ecp
