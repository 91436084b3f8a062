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

ScoreWindows::ScoreWindows(std::uint64_t length, std::int64_t window, std::int64_t context, Protocol protocol,
                           std::int64_t scored_rows)
    : protocol_(protocol),
      targets_(length > 0 ? length - 1 : 0),
      window_(static_cast<std::uint64_t>(window)),
      scored_rows_(static_cast<std::uint64_t>(scored_rows == 0 ? window : scored_rows)) {
  require(window >= 1, "window: expected at least 1 token, got {}", window);
  require(context >= 0 && context < window, "context: expected 0 to {} (less than the window), got {}",
          window - 1, context);
  require(scored_rows >= 0 && scored_rows <= window, "scored rows: expected 0 to {} (the window), got {}",
          window, scored_rows);
  const auto windows_after = [&](std::uint64_t first) {
    return targets_ <= first ? 0 : (targets_ - first + stride_ - 1) / stride_;
  };
  if (protocol == Protocol::authors) {
    stride_ = std::max<std::uint64_t>(1, window_ / 2);
    if (targets_ > 0) count_ = 1 + (targets_ > window_ ? (targets_ - window_) / stride_ : 0);
  } else {
    stride_ = std::min(static_cast<std::uint64_t>(window - context), scored_rows_);
    if (targets_ > 0) count_ = 1 + windows_after(scored_rows_);
  }
}

ScoreWindow ScoreWindows::at(std::uint64_t index) const {
  std::uint64_t begin = index * stride_, first = 0;
  std::uint64_t end = std::min(targets_, begin + window_);
  if (protocol_ == Protocol::authors) {
    first = std::max(begin, end - std::min(end, scored_rows_));
  } else {
    const std::uint64_t whole_end = scored_rows_ + index * stride_;
    begin = whole_end - std::min(whole_end, window_);
    end = std::min(targets_, whole_end);
    first = index == 0 ? 0 : whole_end - stride_;
  }
  return {begin, static_cast<std::int64_t>(end - begin), static_cast<std::int64_t>(first - begin)};
}

std::uint64_t ScoreWindows::scored() const {
  if (protocol_ == Protocol::standard) return targets_;
  const ScoreWindow any = count_ > 0 ? at(0) : ScoreWindow();
  return count_ * static_cast<std::uint64_t>(any.rows - any.first);
}

}  // namespace ecp
