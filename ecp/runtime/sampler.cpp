#include "ecp/runtime/sampler.h"

#include <algorithm>
#include <cmath>

#include "ecp/base/error.h"
#include "ecp/text/utf8.h"

namespace ecp {

void Sampling::validate() const {
  // Each comparison is written so that NaN fails it.
  require(temperature >= 0 && temperature <= 1000, "temperature: expected 0 (greedy) to 1000, got {}",
          temperature);
  require(top_k >= 0, "top_k: expected 0 (off) or more, got {}", top_k);
  require(top_p > 0 && top_p <= 1, "top_p: expected more than 0, at most 1 (off), got {}", top_p);
  require(min_p >= 0 && min_p <= 1, "min_p: expected 0 (off) to 1, got {}", min_p);
  require(repetition_penalty >= 0.01f && repetition_penalty <= 100,
          "repetition_penalty: expected 0.01 to 100 (1: off), got {}", repetition_penalty);
  require(repetition_window >= 0, "repetition_window: expected 0 or more, got {}", repetition_window);
  require(max_tokens >= -1, "max_tokens: expected -1 (no end) or more, got {}", max_tokens);
  for (const auto& [name, value] :
       {std::pair("presence_penalty", presence_penalty), {"frequency_penalty", frequency_penalty}}) {
    require(value >= -100 && value <= 100, "{}: expected -100 to 100 (0: off), got {}", name, value);
  }
  for (const auto& [token, bias] : logit_bias) {
    require(bias >= -1000 && bias <= 1000, "logit_bias: expected -1000 to 1000 for token {}, got {}", token,
            bias);
  }
  require(logprobs >= -1 && logprobs <= most_logprobs, "logprobs: expected 0 to {} (-1: off), got {}",
          most_logprobs, logprobs);
  for (const std::string& text : stop) {
    require(!text.empty(), "stop: expected a string that is not empty");
    require(is_utf8(text), "stop: expected UTF-8 text");
  }
}

namespace runtime {
namespace {

/// The order of preference: larger logits, of equals smaller ids.
bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

void penalize_repetition(std::span<float> logits, std::span<const Token> recent, float penalty) {
  if (penalty == 1 || recent.empty()) return;
  std::vector<Token> tokens(recent.begin(), recent.end());
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  for (const Token token : tokens) {
    if (token >= logits.size()) break;
    float& logit = logits[token];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void add_bias(std::span<float> logits, std::span<const std::pair<Token, float>> bias) {
  for (const auto& [token, value] : bias) {
    if (token < logits.size()) logits[token] += value;
  }
}

void penalize_counts(std::span<float> logits, const std::unordered_map<Token, std::int64_t>& counts,
                     float presence, float frequency) {
  for (const auto& [token, count] : counts) {
    if (token < logits.size()) logits[token] -= presence + frequency * static_cast<float>(count);
  }
}

namespace {

void require_usable(std::size_t token, float logit) {
  require(std::isfinite(logit), "the model's logit of token {} is {}: its weights are not usable", token,
          logit);
}

}  // namespace

Token most_probable(std::span<const float> logits) {
  require(!logits.empty(), "sampling: expected logits, got none");
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require_usable(i, logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<Token>(best);
}

std::vector<Candidate> candidates(std::span<const float> logits) {
  require(!logits.empty(), "sampling: expected logits, got none");
  std::vector<Candidate> all(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require_usable(i, logits[i]);
    all[i] = {static_cast<Token>(i), logits[i], 0};
  }
  return all;
}

void keep_top_k(std::vector<Candidate>& candidates, std::int64_t k) {
  if (k <= 0 || static_cast<std::uint64_t>(k) >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + (k - 1), candidates.end(), better);
  candidates.resize(static_cast<std::size_t>(k));
  std::sort(candidates.begin(), candidates.end(), better);
}

void weigh(std::vector<Candidate>& candidates, float temperature) {
  const float highest = std::min_element(candidates.begin(), candidates.end(), better)->logit;
  for (Candidate& candidate : candidates) {
    candidate.weight = static_cast<double>(std::exp((candidate.logit - highest) / temperature));
  }
}

void keep_min_p(std::vector<Candidate>& candidates, float p) {
  if (p <= 0) return;
  const double least =
      static_cast<double>(p) * std::min_element(candidates.begin(), candidates.end(), better)->weight;
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.weight < least; });
}

void keep_top_p(std::vector<Candidate>& candidates, float p, double total) {
  if (p >= 1) return;
  // A heap gives the most probable ones in order without sorting those that are cut.
  const auto worse = [](const Candidate& a, const Candidate& b) { return better(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), worse);
  auto end = candidates.end();
  for (double sum = 0; end != candidates.begin() && sum < static_cast<double>(p) * total;) {
    std::pop_heap(candidates.begin(), end, worse);
    sum += (--end)->weight;
  }
  candidates.erase(candidates.begin(), end);
  std::reverse(candidates.begin(), candidates.end());
}

Token draw(std::span<const Candidate> candidates, double uniform) {
  double left = 0;
  for (const Candidate& candidate : candidates) left += candidate.weight;
  left *= uniform;
  for (const Candidate& candidate : candidates) {
    if (left < candidate.weight) return candidate.token;
    left -= candidate.weight;
  }
  // Rounding may leave a rest: the last one that is possible at all.
  const auto last =
      std::find_if(candidates.rbegin(), candidates.rend(), [](const Candidate& c) { return c.weight > 0; });
  return last->token;
}

void tell_probabilities(std::span<const float> logits, std::int64_t top, Generated& of) {
  std::vector<Candidate> all = candidates(logits);
  const double highest = std::min_element(all.begin(), all.end(), better)->logit;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  const double scale = highest + std::log(sum);
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - scale); };
  of.logprob = logprob(logits[of.token]);
  if (top == 0) return;
  keep_top_k(all, top);
  std::sort(all.begin(), all.end(), better);
  of.top.clear();
  for (const Candidate& candidate : all) of.top.push_back({candidate.token, logprob(candidate.logit)});
}

Token sample(std::span<float> logits, const Sampling& sampling, std::span<const Token> recent,
             double uniform) {
  penalize_repetition(logits, recent, sampling.repetition_penalty);
  if (sampling.temperature == 0) return most_probable(logits);
  std::vector<Candidate> all = candidates(logits);
  keep_top_k(all, sampling.top_k);
  weigh(all, sampling.temperature);
  double total = 0;
  for (const Candidate& candidate : all) total += candidate.weight;
  keep_min_p(all, sampling.min_p);
  keep_top_p(all, sampling.top_p, total);
  return draw(all, uniform);
}

}  // namespace runtime
}  // namespace ecp
