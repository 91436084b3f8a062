// How well a model predicts a text: mean loss per token, and what it means per word and per byte of the
// original.
//
// Standard protocol: the total loss is that of the whole text, so that totals of words and bytes divide it.
// If the tokenizer has an end-of-text token, it stands before the first token, as after any other document;
// otherwise nothing stands before the first token, which then counts as uniform, ln V.
//   loss = total / tokens        perplexity_token = exp(loss)
//   perplexity_word = exp(total / words)        bits_per_byte = total / (ln 2 · bytes)
// With documents apart each is a text of its own in this: its first token follows the end-of-text token
// before it, or counts as uniform. Of the first tokens of a file made by a lossy tokenizer nobody can count
// words and bytes: both are absent. Authors' protocol: rows of overlapping windows count more than once and
// the first token doesn't, so `tokens` is the number of rows counted and the text's total is taken as loss ·
// (tokens of the text).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "ecp/base/progress.h"
#include "ecp/eval/score_windows.h"
#include "ecp/text/token_file.h"

namespace ecp {

class LanguageModel;

struct EvaluationOptions {
  std::int64_t window = 0;       // n; 0: the model's trained length
  std::int64_t context = -1;     // −1: n/2; ignored by the authors' protocol
  std::int64_t batch = 8;        // windows at a time
  std::int64_t scored_rows = 0;  // at most so many last rows of a window count; 0: all that have logits
  std::uint64_t tokens = 0;      // evaluate the first so many tokens; 0: all
  Protocol protocol = Protocol::standard;
  bool cross_documents = true;  // false: rows see their own document only, positions begin anew in each
  bool bfloat16 = false;        // matrix products and attention in bfloat16
};

struct Evaluation {
  double loss = 0;  // nats per token
  double perplexity_token = 0;
  std::optional<double> perplexity_word;  // absent for a text without words, or unknown ones
  std::optional<double> bits_per_byte;    // absent for an empty text, or an unknown one
  std::uint64_t tokens = 0;
  std::uint64_t words = 0;  // of a prefix: counted in its text; a word that is cut off counts
  std::uint64_t bytes = 0;
  std::int64_t window = 0;
  std::int64_t context = 0;
  std::int64_t scored_rows = 0;
  bool lossless = true;  // false: the tokenizer loses text, whose bytes and words count but cost nothing
  bool cross_documents = true;
  Protocol protocol = Protocol::standard;
};

/// The fields above, `protocol` by name, in this order; absent ones are null.
nlohmann::ordered_json to_json(const Evaluation& evaluation);

/// Negative log-likelihoods (float32 or float64) of the targets of tokens [B, rows + 1] (int64): of all rows,
/// or of the last ones, as many as count.
/// `document_start_BN` (int32) is absent where rows see other documents.
using Scorer = std::function<at::Tensor(const at::Tensor& tokens_BN1,
                                        const std::optional<at::Tensor>& document_start_BN)>;

/// Evaluates over `data`; `options.window` must be given. Fails on empty data and contexts that don't fit.
Evaluation evaluate(const Scorer& scorer, const TokenFile& data, const EvaluationOptions& options,
                    const ProgressFunction& progress = {});
/// The same for a model, in evaluation mode; fails if the data's vocabulary isn't the model's, or if a latent
/// model is asked for a window beyond its length or for more rows than it has logits of.
Evaluation evaluate(LanguageModel& model, const TokenFile& data, const EvaluationOptions& options,
                    const ProgressFunction& progress = {});

}  // namespace ecp
