#include "ecp/train/probe_task.h"

#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/eval/probe_accuracy.h"

namespace ecp {

ProbeTask::ProbeTask(const Config& config)
    : Task(config), probe_(make_probe(config.probe())), model_(this->config().model) {}

Task::Batch ProbeTask::next(std::int64_t step) {
  std::vector<ProbeExample> examples;
  std::vector<std::int64_t> samples;
  Batch batch;
  for (std::int64_t i = 0; i < config().train.batch; ++i) {
    const std::uint64_t number = position_.drawn++;
    position_.index = position_.drawn;
    examples.push_back(probe_->training(static_cast<std::uint64_t>(config().train.seed), number));
    samples.push_back(static_cast<std::int64_t>(number));
    batch.places.push_back({0, number});
  }
  const ProbeBatch rows(examples, config().model.trained_rows(probe_->settings().sequence));
  batch.loss_sum =
      model_.masked_loss_sum(rows.tokens_BN, rows.targets_BR, training_context(step, std::move(samples)));
  batch.trained = rows.asked;
  return batch;
}

std::optional<Measurement> ProbeTask::measure(const ProgressFunction& progress) {
  ProbeOptions options;
  options.distances = even_distances(probe_->settings().nearest, probe_->settings().farthest, 16);
  const std::int64_t examples =
      (config().eval.tokens + probe_->settings().sequence - 1) / probe_->settings().sequence;
  const auto distances = static_cast<std::int64_t>(options.distances.size());
  options.examples = examples == 0 ? 16 : std::max<std::int64_t>(1, examples / distances);
  options.batch = config().eval.batch;
  options.bfloat16 = bfloat16();
  double loss = 0, accuracy = 0;  // each distance counts alike
  std::int64_t answers = 0;
  for (const ProbePoint& point : measure_probe(model_, *probe_, options, progress)) {
    loss += point.loss / static_cast<double>(distances);
    accuracy += point.accuracy / static_cast<double>(distances);
    answers += point.answers;
  }
  return Measurement{
      {{"loss", loss}, {"accuracy", accuracy}, {"answers", answers}},
      1 - accuracy,
      {{"validation", fmt::format("{:.4f}", loss)}, {"accuracy", fmt::format("{:.2f} %", 100 * accuracy)}}};
}

std::string ProbeTask::describe_score(double score) const {
  return fmt::format("best accuracy over distances {} to {}: {:.2f} %", probe_->settings().nearest,
                     probe_->settings().farthest, 100 * (1 - score));
}

std::string ProbeTask::describe(const std::vector<Place>& places) const {
  return list_places(places, "examples", [this](std::int64_t) { return config().data.probe; });
}

nlohmann::ordered_json ProbeTask::data_facts() const {
  return {{"train", {{"probe", probe_->description()}}}, {"validation", nullptr}};
}

std::vector<TrainingState::Source> ProbeTask::position() const {
  return {{hash_bytes(probe_->description()), position_}};
}

void ProbeTask::restore(const std::vector<TrainingState::Source>& sources) {
  require(sources.size() == 1 && sources.front().hash == hash_bytes(probe_->description()),
          "data.probe \"{}\": its examples aren't those of the run that is resumed", config().data.probe);
  position_ = sources.front().position;
}

}  // namespace ecp
