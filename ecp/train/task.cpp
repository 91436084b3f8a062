#include "ecp/train/task.h"

#include <algorithm>
#include <utility>

#include "ecp/kernels/isa.h"
#include "ecp/train/image_task.h"
#include "ecp/train/memory.h"
#include "ecp/train/probe_task.h"
#include "ecp/train/text_task.h"

namespace ecp {

Task::Task(Config config) : config_(resolved(std::move(config))), recompute_(choose_recompute(config_)) {}

ForwardContext Task::training_context(std::int64_t step, std::vector<std::int64_t> samples) const {
  ForwardContext context;
  context.training = true;
  context.bfloat16 = bfloat16();
  context.seed = static_cast<std::uint64_t>(config_.train.seed);
  context.step = step;
  context.samples = std::move(samples);
  context.recompute = recompute_;
  return context;
}

std::optional<SampleReport> Task::sample(const std::function<bool()>&) { return std::nullopt; }

void Task::save_beside(const Path&) const {}

std::string Task::list_places(const std::vector<Place>& places, const std::string& what,
                              const std::function<std::string(std::int64_t file)>& name) {
  constexpr std::size_t most = 16;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, places.size()); ++i) {
    const bool same_file = i > 0 && places[i].file == places[i - 1].file;
    text += same_file ? ", " : fmt::format("{}'{}' {} ", i > 0 ? "; " : "", name(places[i].file), what);
    text += std::to_string(places[i].at);
  }
  if (places.size() > most) text += fmt::format(" and {} more", places.size() - most);
  return text;
}

Config resolved(Config config) {
  if (config.train.dtype == "auto") {
    config.train.dtype = kernels::has_bfloat16() ? "bfloat16" : "float32";
  }
  if (!config.data.probe.empty()) {
    config.model.vocab = make_probe(config.probe())->facts().vocab;
  } else if (!config.data.images.empty()) {
    config.model.vocab = pixel_values;
  } else if (config.model.vocab == 0) {
    config.model.vocab = TokenFile(config.data.train.front()).info().vocab_size;
  }
  return config;
}

std::unique_ptr<Task> make_task(const Config& config, int threads, const ProgressFunction& progress) {
  if (!config.data.probe.empty()) return std::make_unique<ProbeTask>(config);
  if (!config.data.images.empty()) return std::make_unique<ImageTask>(config);
  return std::make_unique<TextTask>(config, threads, progress);
}

}  // namespace ecp
