#include "ecp/text/ngram.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::size_t block_tokens = std::size_t{1} << 16;
constexpr std::size_t most_unsorted = std::size_t{1} << 22;

/// Calls `use` with the tokens of a file, one after another.
template <class Use>
void for_each_token(const TokenFile& file, Use&& use) {
  std::vector<std::int64_t> block;
  for (std::uint64_t begin = 0; begin < file.size(); begin += block.size()) {
    block.resize(std::min<std::uint64_t>(block_tokens, file.size() - begin));
    file.read(begin, block);
    for (const std::int64_t id : block) use(static_cast<Token>(id));
  }
}

/// Counts pairs by sorting: sixteen bytes per distinct pair.
class PairCounter {
 public:
  struct Entry {
    std::uint64_t pair, count;
  };

  void add(Token first, Token second) {
    unsorted_.push_back(std::uint64_t{first} << 32 | second);
    if (unsorted_.size() >= std::max(most_unsorted, entries_.size())) merge();
  }
  const std::vector<Entry>& entries() {
    merge();
    return entries_;
  }

 private:
  void merge() {
    std::sort(unsorted_.begin(), unsorted_.end());
    std::vector<Entry> merged;
    merged.reserve(entries_.size());
    const auto add_entry = [&](Entry entry) {
      if (!merged.empty() && merged.back().pair == entry.pair) {
        merged.back().count += entry.count;
      } else {
        merged.push_back(entry);
      }
    };
    auto old = entries_.begin();
    for (const std::uint64_t pair : unsorted_) {
      for (; old != entries_.end() && old->pair <= pair; ++old) add_entry(*old);
      add_entry({pair, 1});
    }
    for (; old != entries_.end(); ++old) add_entry(*old);
    entries_ = std::move(merged);
    unsorted_.clear();
  }

  std::vector<std::uint64_t> unsorted_;
  std::vector<Entry> entries_;
};

/// n1 / (n1 + 2·n2) over the counts that `next` gives.
class Discount {
 public:
  void add(std::uint64_t count) {
    once_ += count == 1 ? 1 : 0;
    twice_ += count == 2 ? 1 : 0;
  }
  [[nodiscard]] double value() const { return once_ > 0 && twice_ > 0 ? once_ / (once_ + 2 * twice_) : 0.5; }

 private:
  double once_ = 0, twice_ = 0;
};

double discounted(std::uint64_t count, double discount) {
  return std::max(static_cast<double>(count) - discount, 0.0);
}

}  // namespace

double NgramScore::perplexity_token() const { return std::exp(loss()); }
double NgramScore::perplexity_word() const { return std::exp(nats / static_cast<double>(words)); }
double NgramScore::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

NgramModel::NgramModel(const std::vector<std::shared_ptr<const TokenFile>>& files,
                       const ProgressFunction& progress) {
  require(!files.empty(), "n-gram model: no token files to train on");
  tokenizer_hash_ = files.front()->info().tokenizer_hash;
  vocab_size_ = files.front()->info().vocab_size;
  std::uint64_t total = 0;
  for (const auto& file : files) {
    require(file->info().tokenizer_hash == tokenizer_hash_ && file->info().vocab_size == vocab_size_,
            "data file '{}': expected the tokenizer of '{}', got another", file->path().string(),
            files.front()->path().string());
    total += file->size();
  }
  require(vocab_size_ <= std::int64_t{1} << 26,
          "n-gram model: expected a vocabulary of at most 2^26 tokens, got {}", vocab_size_);
  counts_.resize(static_cast<std::size_t>(vocab_size_));
  PairCounter pairs;
  for (const auto& file : files) {
    std::optional<Token> previous;
    for_each_token(*file, [&](Token token) {
      ++counts_[token];
      if (previous) pairs.add(*previous, token);
      previous = token;
      if (++tokens_ % block_tokens == 0 && progress) progress({"counting", tokens_, total, "tokens"});
    });
  }
  if (tokens_ % block_tokens != 0 && progress) progress({"counting", tokens_, total, "tokens"});

  Discount unigrams, bigrams;
  for (const std::uint64_t count : counts_) {
    unigrams.add(count);
    types_ += count > 0 ? 1 : 0;
  }
  first_.resize(counts_.size() + 1);
  followed_.resize(counts_.size());
  for (const auto& [pair, count] : pairs.entries()) {
    const std::size_t previous = pair >> 32;
    successors_.push_back({static_cast<Token>(pair), count});
    ++first_[previous + 1];
    followed_[previous] += count;
    bigrams.add(count);
  }
  for (std::size_t v = 0; v < counts_.size(); ++v) first_[v + 1] += first_[v];
  unigram_discount_ = unigrams.value();
  bigram_discount_ = bigrams.value();
}

double NgramModel::unigram(Token token) const {
  const auto total = static_cast<double>(tokens_);
  const double left = unigram_discount_ * static_cast<double>(types_) / total;
  return discounted(counts_.at(token), unigram_discount_) / total + left / static_cast<double>(vocab_size_);
}

double NgramModel::bigram(Token previous, Token token) const {
  const double lower = unigram(token);
  const std::uint64_t followed = followed_.at(previous);
  if (followed == 0) return lower;
  const auto begin = successors_.begin() + static_cast<std::ptrdiff_t>(first_[previous]);
  const auto end = successors_.begin() + static_cast<std::ptrdiff_t>(first_[previous + 1]);
  const auto found =
      std::lower_bound(begin, end, token, [](const Successor& s, Token t) { return s.token < t; });
  const std::uint64_t count = found != end && found->token == token ? found->count : 0;
  const auto total = static_cast<double>(followed);
  return discounted(count, bigram_discount_) / total +
         bigram_discount_ * static_cast<double>(end - begin) / total * lower;
}

template <class Probability>
NgramScore NgramModel::score(const TokenFile& file, Probability&& probability) const {
  const TokenFileInfo& info = file.info();
  require(info.tokenizer_hash == tokenizer_hash_ && info.vocab_size == vocab_size_,
          "data file '{}': expected the tokenizer of the training files, got another", file.path().string());
  NgramScore score{0, info.tokens, info.words, info.bytes};
  std::optional<Token> previous;
  for_each_token(file, [&](Token token) {
    score.nats -= std::log(probability(previous, token));
    previous = token;
  });
  return score;
}

NgramScore NgramModel::score_unigram(const TokenFile& file) const {
  return score(file, [this](std::optional<Token>, Token token) { return unigram(token); });
}

NgramScore NgramModel::score_bigram(const TokenFile& file) const {
  return score(file, [this](std::optional<Token> previous, Token token) {
    return previous ? bigram(*previous, token) : unigram(token);
  });
}

}  // namespace ecp
