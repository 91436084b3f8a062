#include "ecp/train/text_task.h"

#include <utility>

#include "ecp/eval/perplexity.h"
#include "ecp/train/sample.h"

namespace ecp {
namespace {

nlohmann::ordered_json facts_of(const TokenFile& file) {
  const TokenFileInfo& info = file.info();
  return {{"path", file.path().string()}, {"hash", info.hash},   {"tokenizer", info.tokenizer_hash},
          {"tokens", info.tokens},        {"words", info.words}, {"bytes", info.bytes}};
}

std::string cell(const std::optional<double>& value) { return value ? fmt::format("{:.4g}", *value) : "-"; }

}  // namespace

TextTask::TextTask(const Config& config, int threads, const ProgressFunction& progress)
    : TextTask(config, threads, std::make_unique<TrainingData>(config, progress)) {}

TextTask::TextTask(const Config& config, int threads, std::unique_ptr<TrainingData> data)
    : Task(config), data_(std::move(data)), model_(this->config().model), threads_(threads) {}

Task::Batch TextTask::next(std::int64_t step) {
  WindowBatch windows = data_->next(config().train.batch);
  ForwardContext context = training_context(step, std::move(windows.samples));
  context.document_start = windows.document_start_BN;
  Batch batch;
  batch.loss_sum = model_.loss_sum(windows.tokens_BN1, context);
  batch.trained = config().train.batch * trained_per_sample();
  for (const Window& window : windows.windows) batch.places.push_back({window.file, window.begin});
  return batch;
}

std::optional<Measurement> TextTask::measure(const ProgressFunction& progress) {
  if (data_->validation() == nullptr) return std::nullopt;
  EvaluationOptions options;
  options.context = config().eval.context;
  options.batch = config().eval.batch;
  options.tokens = static_cast<std::uint64_t>(config().eval.tokens);
  options.cross_documents = config().data.cross_documents;
  options.bfloat16 = bfloat16();
  const Evaluation result = evaluate(model_, *data_->validation(), options, progress);
  return Measurement{to_json(result),
                     result.loss,
                     {{"validation", fmt::format("{:.4f}", result.loss)},
                      {"ppl/token", cell(result.perplexity_token)},
                      {"ppl/word", cell(result.perplexity_word)},
                      {"bits/byte", cell(result.bits_per_byte)}}};
}

std::string TextTask::describe_score(double score) const {
  return fmt::format("lowest validation loss {:.4f}", score);
}

std::optional<SampleReport> TextTask::sample(const std::function<bool()>& stop) {
  return sample_text(config(), model_, *data_, threads_, stop);
}

std::string TextTask::describe(const std::vector<Place>& places) const {
  return list_places(places, "from tokens", [this](std::int64_t file) {
    return data_->files()[static_cast<std::size_t>(file)]->path().string();
  });
}

std::uint64_t TextTask::tokens_per_epoch() const {
  return data_->windows_per_epoch() * static_cast<std::uint64_t>(config().model.sequence);
}

nlohmann::ordered_json TextTask::data_facts() const {
  nlohmann::ordered_json facts;
  for (const auto& file : data_->files()) facts["train"].push_back(facts_of(*file));
  facts["validation"] = data_->validation() ? facts_of(*data_->validation()) : nlohmann::ordered_json();
  return facts;
}

void TextTask::save_beside(const Path& folder) const {
  make_folders(folder / "tokenizer");
  data_->tokenizer()->save(folder / "tokenizer");
}

}  // namespace ecp
