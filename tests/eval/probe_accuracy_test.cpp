#include "ecp/eval/probe_accuracy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

constexpr std::int64_t n = 32;

std::unique_ptr<LanguageModel> small_model(const Probe& probe, const std::string& architecture) {
  ModelConfig config;
  config.architecture = architecture;
  apply_preset(config);
  config.dim = 16;
  config.heads = 2;
  config.layers = 2;
  config.sequence = n;
  config.block = 8;
  config.latents = architecture == "ecp" ? 0 : 20;
  config.vocab = probe.facts().vocab;
  auto model = std::make_unique<LanguageModel>(config);
  model->initialize(3);
  return model;
}

TEST(ProbeAccuracy, CountsWhatTheModelSays) {
  for (const char* architecture : {"ecp", "double"}) {
    const auto probe = make_probe({"recall", n, 0, 0, 3});
    const auto made = small_model(*probe, architecture);
    LanguageModel& model = *made;
    ProbeOptions options;
    options.distances = {7, 20};
    options.examples = 5;
    options.batch = 2;  // an odd rest
    const std::vector<ProbePoint> points = measure_probe(model, *probe, options);
    ASSERT_EQ(points.size(), 2U);
    for (const ProbePoint& point : points) {
      double loss = 0;
      std::int64_t right = 0, whole = 0;
      for (std::uint64_t number = 0; number < 5; ++number) {
        const ProbeExample example = probe->at(
            point.distance, (std::uint64_t{1} << 63) + static_cast<std::uint64_t>(point.distance), number);
        const at::Tensor logits =
            model.logits(at::tensor(example.tokens, at::kLong).unsqueeze(0)).squeeze(0).to(at::kDouble);
        std::int64_t answered = 0;
        const std::int64_t rows = logits.size(0);
        for (std::int64_t row = 0; row < rows; ++row) {
          const std::int64_t target = example.targets[static_cast<std::size_t>(n - rows + row)];
          if (target < 0) continue;
          loss -= logits[row].log_softmax(0)[target].item<double>();
          answered += logits[row].argmax().item<std::int64_t>() == target;
        }
        right += answered;
        whole += answered == 3;
      }
      EXPECT_EQ(point.answers, 15);
      EXPECT_EQ(point.examples, 5);
      EXPECT_NEAR(point.loss, loss / 15, 1e-5);
      EXPECT_NEAR(point.accuracy, static_cast<double>(right) / 15, 1e-12);
      EXPECT_NEAR(point.whole, static_cast<double>(whole) / 5, 1e-12);
    }
  }
}

TEST(ProbeAccuracy, TheModelMustFitTheProbe) {
  const auto recall = make_probe({"recall", n, 0, 0, 3}), passkey = make_probe({"passkey", n, 0, 0, 3});
  const auto made = small_model(*recall, "ecp");
  LanguageModel& model = *made;
  ProbeOptions options;
  options.distances = {7};
  EXPECT_THAT(error_of([&] { measure_probe(model, *passkey, options); }),
              HasSubstr("expected a model of 32 tokens over 32 rows"));
  options.distances = {4};
  EXPECT_THAT(error_of([&] { measure_probe(model, *recall, options); }),
              HasSubstr("distance: expected 5 to 26"));
}

}  // namespace
}  // namespace ecp
