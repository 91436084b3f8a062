#include "ecp/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ecp/base/error.h"
#include "ecp/kernels/softmax.h"

namespace ecp::runtime {
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

/// The largest of them; fails on one that is not finite.
float highest_of(std::span<const float> logits) {
  require(!logits.empty(), "sampling: expected logits, got none");
  const float highest = kernels::largest(logits.data(), static_cast<std::int64_t>(logits.size()));
  if (!std::isnan(highest)) return highest;
  const auto bad = std::find_if_not(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); });
  fail("the model's logit of token {} is {}: its weights are not usable", bad - logits.begin(), *bad);
}

/// Sums of `kernels::exponentials`, block by block.
std::vector<double> exponential_sums(std::span<const float> logits, float highest, float temperature,
                                     float* out) {
  const auto count = static_cast<std::int64_t>(logits.size());
  std::vector<double> sums(static_cast<std::size_t>((count - 1) / kernels::exponentials_block + 1));
  kernels::exponentials(logits.data(), count, highest, temperature, out, sums.data());
  return sums;
}

}  // namespace

Token most_probable(std::span<const float> logits) {
  const float highest = highest_of(logits);
  return static_cast<Token>(std::find(logits.begin(), logits.end(), highest) - logits.begin());
}

std::vector<Candidate> most_probable(std::span<const float> logits, std::int64_t k) {
  const std::size_t wanted = k <= 0 ? logits.size() : std::min(logits.size(), static_cast<std::size_t>(k));
  // Twice as many as are wanted at most: then the worse half goes, and what is no better never comes in.
  std::vector<Candidate> found;
  found.reserve(std::min(logits.size(), 2 * wanted));
  float least = -std::numeric_limits<float>::infinity();
  const auto keep_best = [&] {
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(wanted - 1), found.end(),
                     better);
    found.resize(wanted);
    least = found.back().logit;
  };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > least)) continue;
    found.push_back({static_cast<Token>(i), logits[i], 0});
    if (found.size() == 2 * wanted) keep_best();
  }
  if (found.size() > wanted) keep_best();
  std::sort(found.begin(), found.end(), better);
  return found;
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

WeightedVocabulary::WeightedVocabulary(std::span<const float> logits, float temperature) : logits_(logits) {
  const float highest = highest_of(logits);
  weights_.resize(logits.size());
  sums_ = exponential_sums(logits, highest, temperature, weights_.data());
  total_ = std::accumulate(sums_.begin(), sums_.end(), 0.0);
}

std::vector<Candidate> WeightedVocabulary::nucleus(float min_p, float top_p) const {
  // The most probable ones are few: ever less probable ones are taken until they are enough.
  std::vector<Candidate> found;
  for (float least = 0.01f;; least = least > 1e-12f ? least * 0.01f : 0) {
    const bool all = least <= min_p;  // of those that min_p leaves
    least = std::max(least, min_p);
    found.clear();
    double sum = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      if (weights_[i] < least) continue;
      found.push_back({static_cast<Token>(i), logits_[i], weights_[i]});
      sum += found.back().weight;
    }
    if (all || sum >= static_cast<double>(top_p) * total_) break;
  }
  keep_top_p(found, top_p, total_);
  return found;
}

Token WeightedVocabulary::draw(double uniform) const {
  double left = uniform * total_;
  const std::size_t block = kernels::exponentials_block;
  std::size_t last = 0;  // the last that is possible at all, if rounding leaves a rest
  for (std::size_t b = 0; b < sums_.size(); ++b) {
    if (left >= sums_[b] && b + 1 < sums_.size()) {
      left -= sums_[b];
      continue;
    }
    for (std::size_t i = b * block; i < std::min(weights_.size(), (b + 1) * block); ++i) {
      if (left < static_cast<double>(weights_[i])) return static_cast<Token>(i);
      left -= static_cast<double>(weights_[i]);
      if (weights_[i] > 0) last = i;
    }
  }
  return static_cast<Token>(last);
}

void tell_probabilities(std::span<const float> logits, std::int64_t top, Generated& of) {
  const float highest = highest_of(logits);
  const std::vector<double> sums = exponential_sums(logits, highest, 1, nullptr);
  const double scale =
      static_cast<double>(highest) + std::log(std::accumulate(sums.begin(), sums.end(), 0.0));
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - scale); };
  of.logprob = logprob(logits[of.token]);
  of.top.clear();
  if (top == 0) return;
  for (const Candidate& candidate : most_probable(logits, top)) {
    of.top.push_back({candidate.token, logprob(candidate.logit)});
  }
}

Token sample(std::span<float> logits, const Sampling& sampling, std::span<const Token> recent,
             double uniform) {
  penalize_repetition(logits, recent, sampling.repetition_penalty);
  if (sampling.temperature == 0) return most_probable(logits);
  std::vector<Candidate> left;
  if (sampling.top_k > 0 && static_cast<std::uint64_t>(sampling.top_k) < logits.size()) {
    highest_of(logits);  // all are usable
    left = most_probable(logits, sampling.top_k);
    weigh(left, sampling.temperature);
    double total = 0;
    for (const Candidate& candidate : left) total += candidate.weight;
    keep_min_p(left, sampling.min_p);
    keep_top_p(left, sampling.top_p, total);
  } else {
    const WeightedVocabulary all(logits, sampling.temperature);
    if (sampling.min_p <= 0 && sampling.top_p >= 1) return all.draw(uniform);
    left = all.nucleus(sampling.min_p, sampling.top_p);
  }
  return draw(left, uniform);
}

}  // namespace ecp::runtime
