#include "ecp/train/sample.h"

#include <algorithm>
#include <vector>

#include "ecp/runtime/model.h"

namespace ecp {
namespace {

constexpr std::uint64_t prompt_tokens = 32;  // where no prompt is given

}  // namespace

std::optional<SampleReport> sample_text(const Config& config, const LanguageModel& model,
                                        const TrainingData& data, int threads,
                                        const std::function<bool()>& stop) {
  Sampling sampling;
  sampling.seed = static_cast<std::uint64_t>(config.train.seed);
  sampling.max_tokens = config.train.sample_tokens;
  sampling.ignore_end_of_text = true;
  Session session =
      Model::create(config.model, model.weights(), data.tokenizer(), threads)->session(sampling);
  SampleReport report;
  if (config.train.sample_prompt.empty()) {
    const TokenFile& file = data.validation() != nullptr ? *data.validation() : *data.files().front();
    std::vector<Token> tokens;
    for (std::uint64_t i = 0; i < std::min(prompt_tokens, file.size()); ++i) tokens.push_back(file[i]);
    report.prompt = data.tokenizer()->decode(tokens);
    session.prompt(tokens);
  } else {
    report.prompt = config.train.sample_prompt;
    session.prompt(report.prompt);
  }
  while (const auto piece = session.next()) {
    if (stop()) return std::nullopt;
    report.text += *piece;
  }
  return report;
}

}  // namespace ecp
