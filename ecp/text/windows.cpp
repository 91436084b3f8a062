#include "ecp/text/windows.h"

#include <algorithm>
#include <cmath>

#include "ecp/base/error.h"
#include "ecp/base/random.h"

namespace ecp {
namespace {

// What a seed is used for; keeps the streams apart.
enum Purpose : std::uint64_t { order = 1, start = 2 };

std::uint64_t stream_key(std::uint64_t seed, Purpose purpose, std::size_t file) {
  return random_bits(seed, purpose, file);
}

std::vector<double> shares_of(const std::vector<std::shared_ptr<const TokenFile>>& files,
                              std::vector<double> weights) {
  if (weights.empty()) {
    for (const auto& file : files) weights.push_back(static_cast<double>(file->size()));
  }
  require(weights.size() == files.size(), "data: expected one weight for each of the {} files, got {}",
          files.size(), weights.size());
  double sum = 0;
  for (const double weight : weights) {
    require(std::isfinite(weight) && weight >= 0, "data: expected weights of at least 0, got {}", weight);
    sum += weight;
  }
  require(sum > 0 && std::isfinite(sum), "data: expected weights with a positive sum, got {}", sum);
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace

WindowSampler::WindowSampler(std::vector<std::shared_ptr<const TokenFile>> files, std::vector<double> weights,
                             std::int64_t n, std::uint64_t seed)
    : files_(std::move(files)), n_(n), seed_(seed), positions_(files_.size()) {
  require(!files_.empty(), "data: no token files");
  require(n > 0 && n <= std::int64_t{1} << 40, "data: expected windows of at least 1 token, got {}", n);
  for (const auto& file : files_) {
    require(file->size() > static_cast<std::uint64_t>(n),
            "data file '{}': expected at least {} tokens for windows of {}, got {}", file->path().string(),
            n + 1, n, file->size());
    const TokenFileInfo &info = file->info(), &first = files_.front()->info();
    require(info.tokenizer_hash == first.tokenizer_hash && info.vocab_size == first.vocab_size,
            "data file '{}': expected the tokenizer of '{}' ({}, {} tokens), got another ({}, {} tokens)",
            file->path().string(), files_.front()->path().string(), first.tokenizer_kind, first.vocab_size,
            info.tokenizer_kind, info.vocab_size);
  }
  shares_ = shares_of(files_, std::move(weights));
}

std::uint64_t WindowSampler::offset(std::size_t file, std::uint64_t epoch) const {
  const auto n = static_cast<std::uint64_t>(n_);
  const std::uint64_t last = files_[file]->size() - 1 - n;  // the last place a window can begin
  return random_below(std::min(n, last + 1), stream_key(seed_, Purpose::start, file), epoch);
}

std::uint64_t WindowSampler::windows_per_epoch(std::size_t file, std::uint64_t epoch) const {
  return (files_.at(file)->size() - 1 - offset(file, epoch)) / static_cast<std::uint64_t>(n_);
}

Window WindowSampler::next() {
  std::uint64_t total = 0;
  for (const WindowPosition& position : positions_) total += position.drawn;
  // Deficits sum to one, so the largest is positive, and a source without a share is never taken.
  std::size_t file = 0;
  double largest = -1;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const double deficit =
        shares_[i] * static_cast<double>(total + 1) - static_cast<double>(positions_[i].drawn);
    if (deficit > largest) {
      largest = deficit;
      file = i;
    }
  }
  WindowPosition& position = positions_[file];
  const std::uint64_t windows = windows_per_epoch(file, position.epoch);
  const std::uint64_t key = random_bits(stream_key(seed_, Purpose::order, file), position.epoch);
  const std::uint64_t which = Permutation(windows, key)(position.index);
  const Window window{static_cast<std::int64_t>(file),
                      offset(file, position.epoch) + which * static_cast<std::uint64_t>(n_), total};
  ++position.drawn;
  if (++position.index == windows) {
    position.index = 0;
    ++position.epoch;
  }
  return window;
}

void WindowSampler::read(const Window& window, std::span<std::int64_t> out) const {
  require(out.size() == static_cast<std::size_t>(n_) + 1, "window: expected room for {} tokens, got {}",
          n_ + 1, out.size());
  files_.at(static_cast<std::size_t>(window.file))->read(window.begin, out);
}

void WindowSampler::document_starts(const Window& window, std::span<std::int32_t> out) const {
  require(out.size() == static_cast<std::size_t>(n_), "window: expected room for {} rows, got {}", n_,
          out.size());
  require(n_ <= INT32_MAX, "window: expected at most {} rows with documents apart, got {}", INT32_MAX, n_);
  files_.at(static_cast<std::size_t>(window.file))
      ->document_starts(static_cast<std::int64_t>(window.begin), out);
}

void WindowSampler::restore(const std::vector<WindowPosition>& positions) {
  require(positions.size() == files_.size(), "data position: expected one for each of the {} files, got {}",
          files_.size(), positions.size());
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const WindowPosition& position = positions[i];
    require(position.index < windows_per_epoch(i, position.epoch) && position.drawn >= position.index &&
                position.drawn >= position.epoch,
            "data position of '{}': expected an index below {} windows, got window {} of epoch {} after {}",
            files_[i]->path().string(), windows_per_epoch(i, position.epoch), position.index, position.epoch,
            position.drawn);
  }
  positions_ = positions;
}

}  // namespace ecp
