// N-gram models of tokens: what a neural model has to beat.
//
// With c(·) counts in the training files, N their tokens, V the vocabulary's size, T the number of distinct
// tokens, T(v) the number of distinct tokens that follow v, and c(v·) how often v has a successor:
//
//   unigram   p1(w)     = max(c(w) − D1, 0) / N + D1·T / N · 1/V
//   bigram    p2(w | v) = max(c(v,w) − D2, 0) / c(v·) + D2·T(v) / c(v·) · p1(w),    p1(w) if c(v·) = 0
//
// (absolute discounting, interpolated with the lower order; no probability is zero, and each distribution
// sums to one). The discounts are estimated from the training counts, D = n1 / (n1 + 2·n2), where n1 and n2
// are the numbers of entries seen once and twice; where there are none of a kind D is 1/2. A bigram never
// spans two files.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ecp/base/progress.h"
#include "ecp/text/token_file.h"

namespace ecp {

/// Every token of a file scored once.
struct NgramScore {
  double nats = 0;  // −Σ ln p
  std::uint64_t tokens = 0, words = 0, bytes = 0;

  [[nodiscard]] double loss() const { return nats / static_cast<double>(tokens); }
  [[nodiscard]] double perplexity_token() const;
  [[nodiscard]] double perplexity_word() const;
  [[nodiscard]] double bits_per_byte() const;
};

class NgramModel {
 public:
  /// Fails if there are no files or their tokenizers differ.
  explicit NgramModel(const std::vector<std::shared_ptr<const TokenFile>>& files,
                      const ProgressFunction& progress = {});

  [[nodiscard]] double unigram(Token token) const;
  [[nodiscard]] double bigram(Token previous, Token token) const;
  [[nodiscard]] double unigram_discount() const { return unigram_discount_; }
  [[nodiscard]] double bigram_discount() const { return bigram_discount_; }

  /// The bigram scores the first token of the file as a unigram. Fails on another tokenizer than that of the
  /// training files.
  [[nodiscard]] NgramScore score_unigram(const TokenFile& file) const;
  [[nodiscard]] NgramScore score_bigram(const TokenFile& file) const;

 private:
  struct Successor {
    Token token;
    std::uint64_t count;
  };
  template <class Probability>
  NgramScore score(const TokenFile& file, Probability&& probability) const;

  std::string tokenizer_hash_;
  std::int64_t vocab_size_ = 0;
  std::uint64_t tokens_ = 0, types_ = 0;
  double unigram_discount_ = 0, bigram_discount_ = 0;
  std::vector<std::uint64_t> counts_;
  std::vector<Successor> successors_;    // of all tokens, by token and then by successor
  std::vector<std::uint64_t> first_;     // successors of v: [first_[v], first_[v + 1])
  std::vector<std::uint64_t> followed_;  // c(v·)
};

}  // namespace ecp
