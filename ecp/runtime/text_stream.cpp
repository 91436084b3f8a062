#include "ecp/runtime/text_stream.h"

#include <algorithm>
#include <utility>

#include "ecp/text/utf8.h"

namespace ecp::runtime {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

/// Length of the longest beginning of ill-formed `bytes` that could have become a character, at least 1.
std::size_t invalid_run(std::string_view bytes) {
  std::size_t length = 1;
  while (length < bytes.size() && utf8_prefix(bytes.substr(0, length + 1)).incomplete) ++length;
  return length;
}

}  // namespace

std::string Utf8Assembler::push(std::string_view bytes) {
  pending_ += bytes;
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Prefix prefix = utf8_prefix(rest);
    text += rest.substr(0, prefix.length);
    rest.remove_prefix(prefix.length);
    if (rest.empty() || prefix.incomplete) break;
    text += replacement;
    rest.remove_prefix(invalid_run(rest));
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string Utf8Assembler::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return unfinished ? std::string(replacement) : std::string();
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return "";
  held_ += text;
  // The stop string that ends first; of those that end together the one that begins first.
  std::size_t first_end = std::string::npos, first_begin = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const std::size_t end = begin + stop.size();
    if (end < first_end || (end == first_end && begin < first_begin)) {
      first_end = end;
      first_begin = begin;
    }
  }
  if (first_begin != std::string::npos) {
    stopped_ = true;
    held_.resize(first_begin);
    return finish();
  }
  std::size_t keep = 0;  // bytes at the end that may begin a stop string
  for (const std::string& stop : stops_) {
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) keep = length;
    }
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace ecp::runtime
