// Generation by windows computed anew: the model's own logits, and the most that its window holds.
#include "ecp/model/window_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "ecp/runtime/model.h"
#include "tests/model/model_fixture.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using namespace ecp::test;
using testing::HasSubstr;

std::vector<float> last_row(LanguageModel& model, const std::vector<Token>& tokens, std::size_t end) {
  const auto n = std::min(end, static_cast<std::size_t>(model.config().sequence));
  at::Tensor window = at::empty({1, static_cast<std::int64_t>(n)}, at::kLong);
  for (std::size_t i = 0; i < n; ++i)
    window[0][static_cast<std::int64_t>(i)] = static_cast<std::int64_t>(tokens[end - n + i]);
  const at::NoGradGuard no_grad;
  const at::Tensor row = model.logits(window)[0][-1].contiguous();
  return {row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel()};
}

TEST(WindowSource, GivesTheModelsLogitsOfTheLastTokens) {
  for (const ModelConfig& config : all_small()) {
    SCOPED_TRACE(name_of(config));
    const std::shared_ptr<LanguageModel> model = make_model(config);
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < 21; ++i)
      tokens.push_back(static_cast<Token>((7 * i + 3) % 19));  // trained: 15
    WindowSource source(model);
    std::vector<float> all, last;
    source.forward(std::span(tokens).first(18), runtime::LogitSource::Rows::all, all);
    ASSERT_EQ(all.size(), 18u * 19);
    for (std::size_t i = 0; i < 18; ++i) {
      const std::vector<float> want = last_row(*model, tokens, i + 1);
      for (std::size_t j = 0; j < 19; ++j) EXPECT_NEAR(all[i * 19 + j], want[j], 1e-5) << "token " << i;
    }
    source.forward(std::span(tokens).subspan(18), runtime::LogitSource::Rows::last, last);
    const std::vector<float> want = last_row(*model, tokens, 21);
    ASSERT_EQ(last.size(), 19u);
    for (std::size_t j = 0; j < 19; ++j) EXPECT_NEAR(last[j], want[j], 1e-5);
    EXPECT_EQ(source.rows(), 21);
    EXPECT_THAT(
        error_of([&] { source.forward(std::vector<Token>{19}, runtime::LogitSource::Rows::last, last); }),
        HasSubstr("expected an id below the vocabulary's size 19, got 19"));
    EXPECT_EQ(source.rows(), 21);
  }
}

TEST(WindowSource, DrawsWhatTheCacheDrawsWhereThereIsOne) {
  const ModelConfig config = small("full", "modern");
  const std::shared_ptr<LanguageModel> model = make_model(config);
  const Sampling sampling{.temperature = 1, .seed = 3, .max_tokens = 10};
  const std::vector<Token> prompt{4, 2, 9};
  const auto drawn = [&](const std::shared_ptr<const Model>& from) {
    Session session = from->session(sampling);
    session.prompt(prompt);
    std::vector<Token> tokens;
    while (const auto token = session.next_token()) tokens.push_back(*token);
    return tokens;
  };
  const auto windows = Model::create(
      config, [model] { return std::make_unique<WindowSource>(model); }, nullptr);
  EXPECT_EQ(drawn(windows), drawn(Model::create(config, model->weights(), nullptr, 1)));
  EXPECT_EQ(drawn(windows).size(), 10u);
}

}  // namespace
}  // namespace ecp
