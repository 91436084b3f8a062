// How many images a classifier puts into the right class.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "ecp/base/progress.h"
#include "ecp/images/image_data.h"
#include "ecp/model/classifier.h"

namespace ecp {

struct AccuracyOptions {
  std::int64_t batch = 32;   // images at a time
  std::uint64_t images = 0;  // only the first so many of the part; 0: all
  bool bfloat16 = false;     // matrix products and attention in bfloat16
};

struct Accuracy {
  double loss = 0;      // nats per image
  double accuracy = 0;  // share of the images whose class has the greatest logit, 0 … 1
  std::uint64_t correct = 0;
  std::uint64_t images = 0;
};

/// The fields above in this order.
nlohmann::ordered_json to_json(const Accuracy& accuracy);

/// A batch for a classifier: pixels [B, 1024] and labels [B], both int64.
struct ImageBatch {
  at::Tensor pixels_BN, labels_B;

  explicit ImageBatch(std::int64_t size);
  /// Reads image `index` of `part` into row `row`.
  void set(std::int64_t row, const ImageData& data, ImagePart part, std::uint64_t index,
           bool mirrored = false) const;
};

/// Measures over a part of the data. Fails if it is empty, or if a logit isn't finite.
Accuracy measure_accuracy(Classifier& model, const ImageData& data, ImagePart part,
                          const AccuracyOptions& options = {}, const ProgressFunction& progress = {});

}  // namespace ecp
