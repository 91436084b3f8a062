#include "ecp/runtime/likelihood.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"

namespace ecp {
namespace {

/// −log softmax(logits)[target], in double precision.
double negative_log_likelihood(std::span<const float> logits, Token target) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum) - static_cast<double>(logits[target]);
}

}  // namespace

Likelihood likelihood(const Model& model, const TokenFile& file, std::uint64_t tokens,
                      const ProgressFunction& progress) {
  const std::uint64_t all = std::min(tokens, file.size());
  require(all >= 2, "'{}': expected at least 2 tokens to predict one from another, got {}",
          file.path().string(), all);
  require(file.info().vocab_size <= model.config().vocab,
          "'{}': expected tokens of the model's vocabulary of {}, got a vocabulary of {}",
          file.path().string(), model.config().vocab, file.info().vocab_size);
  constexpr std::uint64_t rows_at_once = 64;  // of logits
  const auto window = static_cast<std::uint64_t>(model.config().sequence);
  const auto vocab = static_cast<std::size_t>(model.config().vocab);
  Likelihood result;
  double sum = 0;
  for (std::uint64_t begin = 0; begin + 1 < all; begin += window) {
    const std::uint64_t end = std::min(all - 1, begin + window);
    Session session = model.session();
    for (std::uint64_t at = begin; at < end; at += rows_at_once) {
      check_interrupt();
      std::vector<Token> part;
      for (std::uint64_t i = at; i < std::min(end, at + rows_at_once); ++i) part.push_back(file[i]);
      const std::vector<float> logits = session.forward(part);
      for (std::size_t i = 0; i < part.size(); ++i) {
        sum += negative_log_likelihood(std::span(logits).subspan(i * vocab, vocab), file[at + i + 1]);
      }
      result.tokens += part.size();
      if (progress) progress({"scoring", result.tokens, all - 1, "tokens"});
    }
  }
  result.loss = sum / static_cast<double>(result.tokens);
  return result;
}

}  // namespace ecp
