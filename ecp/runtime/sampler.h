// From logits to a token, in small steps.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ecp/runtime/sampling.h"

namespace ecp::runtime {

struct Candidate {
  Token token = 0;
  float logit = 0;
  double weight = 0;  // probability, not normalised
};

/// Makes tokens of `recent` less probable: positive logits are divided by `penalty`, negative ones
/// multiplied, once each (Keskar et al. 2019).
void penalize_repetition(std::span<float> logits, std::span<const Token> recent, float penalty);
/// Adds to the logits of some tokens; those beyond the vocabulary are passed over.
void add_bias(std::span<float> logits, std::span<const std::pair<Token, float>> bias);
/// Takes `presence` and, for each time, `frequency` off the logits of tokens in `counts`.
void penalize_counts(std::span<float> logits, const std::unordered_map<Token, std::int64_t>& counts,
                     float presence, float frequency);
/// The token with the largest logit, of equals the first. Fails on a logit that is not finite.
Token most_probable(std::span<const float> logits);
/// The `k` tokens with the largest logits (0: all), those first; of equals those with smaller ids.
std::vector<Candidate> most_probable(std::span<const float> logits, std::int64_t k);
/// Sets weights to e^((logit − largest logit) / temperature).
void weigh(std::vector<Candidate>& candidates, float temperature);
/// Keeps those at least `p` times as probable as the most probable one (0: all).
void keep_min_p(std::vector<Candidate>& candidates, float p);
/// Keeps the fewest that have the share `p` of `total` together (1: all), the most probable first.
void keep_top_p(std::vector<Candidate>& candidates, float p, double total);
/// The candidate at `uniform` ∈ [0, 1) of the weights' sum.
Token draw(std::span<const Candidate> candidates, double uniform);

/// All tokens of a vocabulary with their weights, e^((logit − largest logit) / temperature): what `weigh`
/// gives for all, without a list of them.
class WeightedVocabulary {
 public:
  /// Fails on a logit that is not finite.
  WeightedVocabulary(std::span<const float> logits, float temperature);

  [[nodiscard]] double total() const { return total_; }
  /// Those that `keep_min_p` and `keep_top_p` leave of all.
  [[nodiscard]] std::vector<Candidate> nucleus(float min_p, float top_p) const;
  /// As of candidates, all of them, by id.
  [[nodiscard]] Token draw(double uniform) const;

 private:
  std::span<const float> logits_;
  std::vector<float> weights_;
  std::vector<double> sums_;  // of blocks of weights
  double total_ = 0;
};

/// What `logits` say of `token` and of the `top` most probable tokens. Fails on a logit that is not finite.
void tell_probabilities(std::span<const float> logits, std::int64_t top, Generated& of);

/// From penalties on repetition to the choice. It is a function of its arguments; randomness comes in as
/// `uniform` ∈ [0, 1). `logits` are changed by the penalty.
Token sample(std::span<float> logits, const Sampling& sampling, std::span<const Token> recent,
             double uniform);

}  // namespace ecp::runtime
