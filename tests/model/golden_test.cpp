// The authors' implementation ran this model; ours must agree on loss, logits and gradients.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "ecp/model/language_model.h"
#include "ecp/weights/import.h"

namespace ecp {
namespace {

Path golden_file(const std::string& architecture) {
  const char* shared = std::getenv("ECP_SHARED");
  return (shared != nullptr ? Path(shared) : Path(ECP_SOURCE_DIR) / ".." / "shared") / "golden" /
         (architecture + ".safetensors");
}

at::Tensor tensor_of(const TensorView& view) {
  const std::vector<float> values = view.to_float();
  return torch::tensor(values).view(view.shape);
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, LossLogitsAndGradientsAgreeWithTheAuthorsProgram) {
  const Path path = golden_file(GetParam());
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const SafetensorsFile file(path);
  const ImportedModel imported = import_authors(file);
  LanguageModel model(imported.config);
  {
    const torch::NoGradGuard no_grad;
    const auto named = model.named_parameters();
    for (const NamedTensor& tensor : imported.tensors) named[tensor.name].copy_(tensor_of(tensor.view));
  }
  const TensorView& ids = file.at("input_ids");
  at::Tensor tokens = torch::empty(ids.shape, torch::kLong);
  std::memcpy(tokens.data_ptr(), ids.bytes.data(), ids.bytes.size());
  const std::int64_t n = tokens.size(1) - 1;

  const at::Tensor logits = model.logits(tokens.slice(1, 0, n));
  const std::int64_t rows = logits.size(1);
  EXPECT_EQ(rows, imported.config.trained_rows(n));
  EXPECT_LE((logits - tensor_of(file.at("logits"))).abs().max().item<double>(), 2e-5);

  const at::Tensor loss = model.loss_sum(tokens) / static_cast<double>(tokens.size(0) * rows);
  const double expected = static_cast<double>(file.at("loss").to_float().at(0));
  EXPECT_NEAR(loss.item<double>(), expected, 5e-6 * expected);

  loss.backward();
  const auto named = model.named_parameters();
  const std::vector<NamedTensor> gradients = authors_gradients(file);
  EXPECT_GT(gradients.size(), 30u);
  for (const NamedTensor& gradient : gradients) {
    const at::Tensor want = tensor_of(gradient.view), got = named[gradient.name].grad();
    ASSERT_TRUE(got.defined()) << gradient.name;
    EXPECT_LE((got - want).abs().max().item<double>(), 1e-4 * want.abs().max().item<double>())
        << gradient.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Authors, Golden,
                         ::testing::Values("perceiver_ar", "double", "split", "compressed", "ecp"));

}  // namespace
}  // namespace ecp
