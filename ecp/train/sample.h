// Text that a model in training writes, for people to look at.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "ecp/config/config_file.h"
#include "ecp/model/language_model.h"
#include "ecp/train/batches.h"
#include "ecp/train/task.h"

namespace ecp {

/// `train.sample_tokens` tokens after `train.sample_prompt`, or the first tokens of the validation data (or
/// else of the first training file), drawn with the run's seed. Nothing if `stop` says so before the end.
std::optional<SampleReport> sample_text(const Config& config, LanguageModel& model, const TrainingData& data,
                                        int threads, const std::function<bool()>& stop);

}  // namespace ecp
