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
/// All tokens, by id. Fails on a logit that is not finite.
std::vector<Candidate> candidates(std::span<const float> logits);
/// Keeps the `k` with the largest logits (0: all), of equals those with smaller ids.
void keep_top_k(std::vector<Candidate>& candidates, std::int64_t k);
/// Sets weights to e^((logit − largest logit) / temperature).
void weigh(std::vector<Candidate>& candidates, float temperature);
/// Keeps those at least `p` times as probable as the most probable one (0: all).
void keep_min_p(std::vector<Candidate>& candidates, float p);
/// Keeps the fewest that have the share `p` of `total` together (1: all), the most probable first.
void keep_top_p(std::vector<Candidate>& candidates, float p, double total);
/// The candidate at `uniform` ∈ [0, 1) of the weights' sum.
Token draw(std::span<const Candidate> candidates, double uniform);

/// What `logits` say of `token` and of the `top` most probable tokens. Fails on a logit that is not finite.
void tell_probabilities(std::span<const float> logits, std::int64_t top, Generated& of);

/// From penalties on repetition to the choice. It
/// is a function of its arguments; randomness comes in as `uniform` ∈ [0, 1). `logits`
/// are changed by the penalty.
Token sample(std::span<float> logits, const Sampling& sampling, std::span<const Token> recent,
             double uniform);

}  // namespace ecp::runtime
