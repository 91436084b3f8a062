#include "ecp/eval/perplexity.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/model/language_model.h"
#include "ecp/text/token_statistics.h"

namespace ecp {
namespace {

/// The text as the model sees it: the first `size` tokens of a file, behind the end-of-text token if there is
/// one.
class Text {
 public:
  Text(const TokenFile& data, std::uint64_t size, bool start)
      : data_(data), size_(size), before_(start && data.info().separated ? 1 : 0) {}

  [[nodiscard]] std::uint64_t length() const { return size_ + before_; }
  [[nodiscard]] bool first_is_scored() const { return before_ == 1; }

  void read(std::uint64_t begin, std::span<std::int64_t> out) const {
    if (begin == 0 && before_ == 1) {
      out.front() = static_cast<std::int64_t>(*data_.info().end_of_text);
      if (out.size() > 1) data_.read(0, out.subspan(1));
      return;
    }
    data_.read(begin - before_, out);
  }

  /// `document_start` of the rows of a window.
  void document_starts(std::uint64_t begin, std::span<std::int32_t> out) const {
    data_.document_starts(static_cast<std::int64_t>(begin) - static_cast<std::int64_t>(before_), out);
  }

  /// What is known of a token before which nothing stands.
  [[nodiscard]] double uniform() const { return std::log(static_cast<double>(data_.info().vocab_size)); }
  [[nodiscard]] bool separated() const { return data_.info().separated; }

 private:
  const TokenFile& data_;
  std::uint64_t size_, before_;
};

struct Total {
  double loss = 0;
  std::uint64_t tokens = 0;
};

/// Row r's target begins a document before which no end-of-text token stands.
bool is_first(const std::vector<std::int32_t>& starts, std::int64_t r) {
  return starts[static_cast<std::size_t>(r) + 1] == r + 1;
}

Total score(const Scorer& scorer, const Text& text, const ScoreWindows& windows,
            const EvaluationOptions& options, const ProgressFunction& progress) {
  Total total;
  const std::uint64_t all = windows.scored();
  for (std::uint64_t index = 0; index < windows.count();) {
    // Windows of one batch are equally long: only the last may be short, and then goes alone.
    std::vector<ScoreWindow> group{windows.at(index++)};
    while (index < windows.count() && static_cast<std::int64_t>(group.size()) < options.batch &&
           windows.at(index).rows == group.front().rows && windows.at(index).first == group.front().first) {
      group.push_back(windows.at(index++));
    }
    const std::int64_t rows = group.front().rows;
    const at::Tensor tokens_BN1 = at::empty({static_cast<std::int64_t>(group.size()), rows + 1}, at::kLong);
    auto* tokens = tokens_BN1.mutable_data_ptr<std::int64_t>();
    const auto width = static_cast<std::size_t>(rows + 1);
    for (std::size_t i = 0; i < group.size(); ++i) text.read(group[i].begin, {tokens + i * width, width});
    // One more than rows: the last one tells of the last target.
    std::vector<std::vector<std::int32_t>> starts;
    std::optional<at::Tensor> document_start_BN;
    if (!options.cross_documents) {
      document_start_BN = at::empty({tokens_BN1.size(0), rows}, at::kInt);
      auto* rows_starts = document_start_BN->mutable_data_ptr<std::int32_t>();
      for (std::size_t i = 0; i < group.size(); ++i) {
        text.document_starts(group[i].begin, starts.emplace_back(width));
        std::copy_n(starts.back().begin(), rows, rows_starts + static_cast<std::int64_t>(i) * rows);
      }
    }

    const at::Tensor losses_BN = scorer(tokens_BN1, document_start_BN).to(at::kDouble).contiguous();
    const std::int64_t first_row = rows - (losses_BN.dim() == 2 ? losses_BN.size(1) : 0);
    require(losses_BN.dim() == 2 && losses_BN.size(0) == tokens_BN1.size(0) && first_row >= 0 &&
                first_row <= group.front().first,
            "evaluation: expected losses [{}, {}] from the scorer, or of the last rows", tokens_BN1.size(0),
            rows);
    const double* losses = losses_BN.const_data_ptr<double>();
    for (std::size_t i = 0; i < group.size(); ++i) {
      const double* row = losses + static_cast<std::int64_t>(i) * losses_BN.size(1) - first_row;
      const bool unknown = !options.cross_documents && !text.separated();
      for (std::int64_t r = group[i].first; r < rows; ++r)
        total.loss += unknown && is_first(starts[i], r) ? text.uniform() : row[r];
      total.tokens += static_cast<std::uint64_t>(rows - group[i].first);
    }
    if (progress) progress({"evaluating", total.tokens, all, "tokens"});
  }
  return total;
}

bool is_lossless(const TokenFile& data) {
  const std::string& kind = data.info().tokenizer_kind;
  return kind == "bytes" || kind == "sentencepiece" || data.tokenizer()->lossless();
}

}  // namespace

Evaluation evaluate(const Scorer& scorer, const TokenFile& data, const EvaluationOptions& options,
                    const ProgressFunction& progress) {
  const std::uint64_t size = options.tokens == 0 ? data.size() : std::min(options.tokens, data.size());
  require(size > 0, "evaluation of '{}': expected at least one token, got an empty file",
          data.path().string());
  require(options.batch >= 1, "evaluation: batch: expected at least 1, got {}", options.batch);
  const bool standard = options.protocol == Protocol::standard;
  const std::int64_t context = !standard ? 0 : options.context < 0 ? options.window / 2 : options.context;
  const Text text(data, size, standard);
  const ScoreWindows windows(text.length(), options.window, context, options.protocol, options.scored_rows);
  require(standard || windows.count() > 0,
          "evaluation of '{}': the authors' protocol needs at least 2 tokens, got {}", data.path().string(),
          size);

  // Before the work, since it may find the tokenizer missing.
  const TextCounts counts = size == data.size() ? TextCounts{data.info().words, data.info().bytes}
                                                : count_text(data, size).value_or(TextCounts());
  const bool lossless = is_lossless(data);
  Total total = score(scorer, text, windows, options, progress);
  if (standard && !text.first_is_scored()) {
    total.loss += text.uniform();
    ++total.tokens;
  }
  require(std::isfinite(total.loss),
          "evaluation of '{}': the loss is {}: the model's weights are damaged or diverged",
          data.path().string(), total.loss);

  Evaluation result;
  result.loss = total.loss / static_cast<double>(total.tokens);
  result.perplexity_token = std::exp(result.loss);
  result.tokens = total.tokens;
  result.window = options.window;
  result.context = context;
  result.scored_rows = options.scored_rows > 0 ? options.scored_rows : options.window;
  result.lossless = lossless;
  result.cross_documents = options.cross_documents;
  result.protocol = options.protocol;
  result.words = counts.words;
  result.bytes = counts.bytes;
  const double text_loss = result.loss * static_cast<double>(size);
  if (result.words > 0) result.perplexity_word = std::exp(text_loss / static_cast<double>(result.words));
  if (result.bytes > 0)
    result.bits_per_byte = text_loss / (std::numbers::ln2 * static_cast<double>(result.bytes));
  return result;
}

Evaluation evaluate(LanguageModel& model, const TokenFile& data, const EvaluationOptions& options,
                    const ProgressFunction& progress) {
  require(data.info().vocab_size == model.config().vocab,
          "evaluation of '{}': expected the model's vocabulary of {} tokens, got {}", data.path().string(),
          model.config().vocab, data.info().vocab_size);
  const at::NoGradGuard no_grad;
  EvaluationOptions resolved = options;
  const ModelConfig& config = model.config();
  if (resolved.window == 0) resolved.window = config.sequence;
  require(!config.is_latent() || resolved.window <= config.sequence,
          "window: architecture {} takes at most {} tokens (model.sequence), got {}", config.architecture,
          config.sequence, resolved.window);
  const std::int64_t rows = config.trained_rows(resolved.window);
  require(resolved.scored_rows <= rows,
          "scored rows: expected at most {} (a window's rows with logits), got {}", rows,
          resolved.scored_rows);
  if (resolved.scored_rows == 0) resolved.scored_rows = rows;
  ForwardContext context;
  context.bfloat16 = options.bfloat16;
  const Scorer scorer = [&](const at::Tensor& tokens_BN1,
                            const std::optional<at::Tensor>& document_start_BN) {
    context.document_start = document_start_BN;
    return model.negative_log_likelihood(tokens_BN1, context);
  };
  return evaluate(scorer, data, resolved, progress);
}

nlohmann::ordered_json to_json(const Evaluation& evaluation) {
  const auto or_null = [](const auto& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  return {{"loss", evaluation.loss},
          {"perplexity_token", evaluation.perplexity_token},
          {"perplexity_word", or_null(evaluation.perplexity_word)},
          {"bits_per_byte", or_null(evaluation.bits_per_byte)},
          {"tokens", evaluation.tokens},
          {"words", evaluation.words},
          {"bytes", evaluation.bytes},
          {"window", evaluation.window},
          {"context", evaluation.context},
          {"scored_rows", evaluation.scored_rows},
          {"lossless", evaluation.lossless},
          {"cross_documents", evaluation.cross_documents},
          {"protocol", name_of(evaluation.protocol)}};
}

}  // namespace ecp
