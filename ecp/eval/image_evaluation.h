// Evaluating a classifier of images on parts of its data: what `ecp eval` does for one.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/eval/accuracy.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {

struct ImageEvaluationOptions {
  Path data;                     // folder of images; empty: the one that the checkpoint's run trained on
  std::vector<ImagePart> parts;  // empty: validation, where it is known, and test
  AccuracyOptions accuracy;
};

struct ImageEvaluation {
  Path data;
  std::vector<std::pair<ImagePart, Accuracy>> parts;
};

/// {"data": ..., "validation": {...}, "test": {...}}.
nlohmann::ordered_json to_json(const ImageEvaluation& evaluation);

/// The configuration of the checkpoint's run tells where the images are and how many were kept aside. Fails
/// if it is needed and isn't there, or if data or weights can't be read or are damaged.
ImageEvaluation evaluate_images(const Checkpoint& checkpoint, const ImageEvaluationOptions& options,
                                const ProgressFunction& progress = {});

}  // namespace ecp
