#include "ecp/eval/score_windows.h"

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp {

Protocol parse_protocol(const std::string& name) {
  if (name == "standard") return Protocol::standard;
  if (name == "authors") return Protocol::authors;
  fail("protocol: expected standard or authors, got '{}'", name);
}

std::string name_of(Protocol protocol) { return protocol == Protocol::standard ? "standard" : "authors"; }

ScoreWindows::ScoreWindows(std::uint64_t length, std::int64_t window, std::int64_t context, Protocol protocol)
    : targets_(length > 0 ? length - 1 : 0), window_(window), context_(context), stride_(1), count_(0) {
  require(window >= 1, "window: expected at least 1 token, got {}", window);
  require(context >= 0 && context < window, "context: expected 0 to {} (less than the window), got {}",
          window - 1, context);
  const auto n = static_cast<std::uint64_t>(window);
  if (protocol == Protocol::authors) {
    context_ = 0;
    stride_ = std::max<std::uint64_t>(1, n / 2);
    count_ = targets_ <= n ? (targets_ > 0 ? 1 : 0) : (targets_ - n) / stride_ + 1;
  } else {
    stride_ = static_cast<std::uint64_t>(window - context);
    count_ = targets_ <= n ? (targets_ > 0 ? 1 : 0) : (targets_ - n + stride_ - 1) / stride_ + 1;
  }
}

ScoreWindow ScoreWindows::at(std::uint64_t index) const {
  const std::uint64_t begin = index * stride_;
  const auto rows = std::min(targets_ - begin, static_cast<std::uint64_t>(window_));
  return {begin, static_cast<std::int64_t>(rows), index == 0 ? 0 : context_};
}

std::uint64_t ScoreWindows::scored() const {
  if (count_ == 0) return 0;
  const ScoreWindow last = at(count_ - 1);
  if (count_ == 1) return static_cast<std::uint64_t>(last.rows);
  const auto whole = static_cast<std::uint64_t>(window_ - context_);
  return static_cast<std::uint64_t>(window_) + (count_ - 2) * whole +
         static_cast<std::uint64_t>(last.rows - last.first);
}

}  // namespace ecp
