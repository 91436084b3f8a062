// The authors' model, from their weights: logits of their program are the measure.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "ecp/runtime/model.h"
#include "ecp/weights/import.h"

namespace ecp {
namespace {

TEST(GoldenTest, LogitsAreTheAuthors) {
  const char* named = std::getenv("ECP_SHARED");
  const Path golden = (named != nullptr ? Path(named) : Path(ECP_SOURCE_DIR) / ".." / "shared") / "golden" /
                      "ecp.safetensors";
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no reference weights: " << golden;
  const SafetensorsFile file(golden);
  const ImportedModel imported = import_authors(file);
  const auto model = Model::create(imported.config, imported.tensors, nullptr, 2);

  const TensorView& ids = file.at("input_ids");
  ASSERT_EQ(ids.dtype, DType::i64);
  const std::int64_t batch = ids.shape.at(0), n = ids.shape.at(1) - 1;
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(ids.elements()));
  std::memcpy(tokens.data(), ids.bytes.data(), ids.bytes.size());
  const std::vector<float> expected = file.at("logits").to_float();
  ASSERT_EQ(static_cast<std::int64_t>(expected.size()), batch * n * imported.config.vocab);
  for (const std::int64_t step : {n, std::int64_t{1}, std::int64_t{7}}) {
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto row = tokens.begin() + b * (n + 1);
      const std::vector<Token> inputs(row, row + n);
      Session session = model->session();
      for (std::int64_t at = 0; at < n; at += step) {
        const auto count = static_cast<std::size_t>(std::min(step, n - at));
        const auto logits = session.forward(std::span(inputs).subspan(static_cast<std::size_t>(at), count));
        const auto first = static_cast<std::size_t>((b * n + at) * imported.config.vocab);
        for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], expected[first + i], 2e-5);
      }
    }
  }
}

}  // namespace
}  // namespace ecp
