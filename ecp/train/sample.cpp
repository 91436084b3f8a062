#include "ecp/train/sample.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ecp/model/window_source.h"
#include "ecp/runtime/model.h"

namespace ecp {
namespace {

constexpr std::uint64_t prompt_tokens = 32;  // where no prompt is given

/// The runtime's model where it has a cache for it, else the model itself.
std::shared_ptr<const Model> model_of(const Config& config, LanguageModel& model,
                                      std::shared_ptr<const Tokenizer> tokenizer, int threads) {
  if (!config.model.is_latent())
    return Model::create(config.model, model.weights(), std::move(tokenizer), threads);
  const std::shared_ptr<LanguageModel> borrowed(std::shared_ptr<void>(), &model);
  return Model::create(
      config.model, [borrowed] { return std::make_unique<WindowSource>(borrowed); }, std::move(tokenizer));
}

}  // namespace

std::optional<SampleReport> sample_text(const Config& config, LanguageModel& model, const TrainingData& data,
                                        int threads, const std::function<bool()>& stop) {
  Sampling sampling;
  sampling.seed = static_cast<std::uint64_t>(config.train.seed);
  sampling.max_tokens = config.train.sample_tokens;
  sampling.ignore_end_of_text = true;
  Session session = model_of(config, model, data.tokenizer(), threads)->session(sampling);
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
