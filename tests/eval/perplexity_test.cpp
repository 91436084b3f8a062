#include "ecp/eval/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "ecp/base/random.h"
#include "ecp/config/config_file.h"
#include "ecp/eval/checkpoint_evaluation.h"
#include "ecp/model/language_model.h"
#include "ecp/weights/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/token_files.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using test::write_tokens;
using ::testing::HasSubstr;

std::string some_text(std::size_t size, std::uint64_t seed = 1) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += "abcde fg\n"[random_below(9, seed, i)];
  return text;
}

/// What the fake model says about a target after the token before it.
double opinion(std::int64_t before, std::int64_t target) {
  return 0.1 + 5 * random_uniform(7, static_cast<std::uint64_t>(before), static_cast<std::uint64_t>(target));
}

at::Tensor fake_scorer(const at::Tensor& tokens_BN1, const std::optional<at::Tensor>& /*starts*/) {
  const at::Tensor losses = at::empty({tokens_BN1.size(0), tokens_BN1.size(1) - 1}, at::kDouble);
  for (std::int64_t b = 0; b < losses.size(0); ++b) {
    for (std::int64_t r = 0; r < losses.size(1); ++r) {
      losses[b][r] =
          opinion(tokens_BN1[b][r].item<std::int64_t>(), tokens_BN1[b][r + 1].item<std::int64_t>());
    }
  }
  return losses;
}

std::shared_ptr<const Tokenizer> small_sentencepiece() {
  SentencePieceTraining training;
  training.vocab_size = 300;
  training.threads = 1;
  int count = 0;
  return train_sentencepiece(training, [&](std::string& text) {
    text = some_text(400, static_cast<std::uint64_t>(count) + 10);
    return count++ < 20;
  });
}

ModelConfig small_model() {
  ModelConfig config;
  config.vocab = 256;
  config.dim = 16;
  config.heads = 2;
  config.layers = 2;
  config.sequence = 24;
  config.block = 8;
  return config;
}

RC_GTEST_PROP(Perplexity, IsThatOfTheWholeTextForAnyWindow, ()) {
  static const TemporaryFolder folder;
  const auto size = *rc::gen::inRange<std::size_t>(1, 60);
  const std::string text = some_text(size, *rc::gen::inRange<std::uint64_t>(0, 1000));
  write_tokens(folder / "data.npy", {text});
  const TokenFile data(folder / "data.npy");
  EvaluationOptions options;
  options.window = *rc::gen::inRange<std::int64_t>(1, 20);
  options.context = *rc::gen::inRange<std::int64_t>(-1, options.window);
  options.batch = *rc::gen::inRange<std::int64_t>(1, 5);
  const Evaluation result = evaluate(Scorer(fake_scorer), data, options);

  double total = std::log(256.0);
  for (std::size_t i = 1; i < size; ++i) total += opinion(text[i - 1], text[i]);
  const auto count = static_cast<double>(size);
  RC_ASSERT(result.tokens == size && result.bytes == size && result.words == data.info().words);
  RC_ASSERT(std::abs(result.loss - total / count) < 1e-9);
  RC_ASSERT(std::abs(*result.bits_per_byte - total / count / std::log(2.0)) < 1e-9);
  RC_ASSERT(result.perplexity_word.has_value() == (result.words > 0));
  if (result.words > 0 && total / static_cast<double>(result.words) < 500) {
    RC_ASSERT(std::abs(std::log(*result.perplexity_word) - total / static_cast<double>(result.words)) < 1e-9);
  }
  RC_ASSERT(result.context == (options.context < 0 ? options.window / 2 : options.context));
}

TEST(Perplexity, EndOfTextStandsBeforeTheFirstToken) {
  const TemporaryFolder folder;
  const auto tokenizer = small_sentencepiece();
  const std::vector<std::string> documents{some_text(100, 1), some_text(50, 2)};
  write_tokens(folder / "data.npy", documents, tokenizer);
  const TokenFile data(folder / "data.npy");
  ASSERT_TRUE(data.info().end_of_text.has_value());
  EvaluationOptions options;
  options.window = 16;
  const Evaluation result = evaluate(Scorer(fake_scorer), data, options);
  double total = 0;
  std::int64_t before = *data.info().end_of_text;
  for (std::uint64_t i = 0; i < data.size(); ++i) {
    total += opinion(before, data[i]);
    before = data[i];
  }
  EXPECT_EQ(result.tokens, data.size());
  EXPECT_EQ(result.bytes, 150U);
  EXPECT_NEAR(result.loss, total / static_cast<double>(data.size()), 1e-9);
  EXPECT_NEAR(*result.bits_per_byte, total / std::log(2.0) / 150, 1e-9);
}

TEST(Perplexity, CountsWordsAndBytesOfAPrefix) {
  const TemporaryFolder folder;
  for (const auto& tokenizer : {byte_tokenizer(), small_sentencepiece()}) {
    write_tokens(folder / "data.npy", {"abc de", "fg abc\nde", "a b c"}, tokenizer);
    const TokenFile data(folder / "data.npy");
    EvaluationOptions options;
    options.window = 4;
    std::uint64_t words = 0;
    for (std::uint64_t tokens = 1; tokens < data.size(); ++tokens) {
      options.tokens = tokens;
      const Evaluation result = evaluate(Scorer(fake_scorer), data, options);
      EXPECT_EQ(result.tokens, tokens);
      EXPECT_GE(result.words, words);
      words = result.words;
    }
    options.tokens = data.info().documents[2];
    const Evaluation two = evaluate(Scorer(fake_scorer), data, options);
    EXPECT_EQ(two.words, 5U);
    EXPECT_EQ(two.bytes, 15U);
    options.tokens = 1000;
    EXPECT_EQ(evaluate(Scorer(fake_scorer), data, options).tokens, data.size());
  }
}

TEST(Perplexity, WikiTextCountsLineEndsInAPrefixToo) {
  const TemporaryFolder folder;
  TokenFileWriter writer(folder / "data.npy", byte_tokenizer(), {"wikitext", false});
  const std::string text = " = A = \n b c \n d";
  writer.add_document(byte_tokenizer()->encode(text), 8, text.size());
  writer.commit();
  EvaluationOptions options;
  options.window = 8;
  options.tokens = 14;  // up to the second line end
  EXPECT_EQ(evaluate(Scorer(fake_scorer), TokenFile(folder / "data.npy"), options).words, 7U);
}

TEST(Perplexity, AuthorsProtocolCountsEveryRowOfOverlappingWindows) {
  const TemporaryFolder folder;
  const std::string text = some_text(21);
  write_tokens(folder / "data.npy", {text});
  EvaluationOptions options;
  options.window = 8;
  options.protocol = Protocol::authors;
  const Evaluation result = evaluate(Scorer(fake_scorer), TokenFile(folder / "data.npy"), options);
  double total = 0;
  for (const std::size_t begin : {0U, 4U, 8U, 12U}) {
    for (std::size_t row = 0; row < 8; ++row) total += opinion(text[begin + row], text[begin + row + 1]);
  }
  EXPECT_EQ(result.tokens, 32U);
  EXPECT_NEAR(result.loss, total / 32, 1e-9);
  EXPECT_NEAR(*result.bits_per_byte, result.loss / std::log(2.0), 1e-9) << "bytes are tokens";
  EXPECT_EQ(to_json(result)["protocol"], "authors");
}

TEST(Perplexity, OfAModelIsTheSumOfItsWindowsLosses) {
  const TemporaryFolder folder;
  write_tokens(folder / "data.npy", {some_text(24 * 5 + 1)});
  const TokenFile data(folder / "data.npy");
  LanguageModel model(small_model());
  model.initialize(3);
  EvaluationOptions options;
  options.context = 0;
  options.batch = 2;
  const Evaluation result = evaluate(model, data, options);
  EXPECT_EQ(result.window, 24);
  std::vector<std::int64_t> tokens(data.size());
  data.read(0, tokens);
  double total = std::log(256.0);
  for (std::int64_t i = 0; i < 5; ++i) {
    const at::Tensor window = at::tensor(tokens).slice(0, 24 * i, 24 * i + 25).unsqueeze(0);
    total += model.loss_sum(window).item<double>();
  }
  EXPECT_NEAR(result.loss, total / static_cast<double>(data.size()), 1e-5);
}

double total_loss(LanguageModel& model, const Path& file, const std::vector<std::string>& documents,
                  const std::shared_ptr<const Tokenizer>& tokenizer, const EvaluationOptions& options) {
  write_tokens(file, documents, tokenizer);
  const Evaluation result = evaluate(model, TokenFile(file), options);
  EXPECT_EQ(result.cross_documents, options.cross_documents);
  return result.loss * static_cast<double>(result.tokens);
}

// What a document costs does not depend on the ones before it, and for full attention it is what it costs
// alone.
TEST(Perplexity, OfDocumentsApartIsTheSumOfTheirs) {
  const TemporaryFolder folder;
  for (const std::string architecture : {"ecp", "full"}) {
    for (const auto& tokenizer : {byte_tokenizer(), small_sentencepiece()}) {
      ModelConfig config = small_model();
      config.architecture = architecture;
      config.vocab = tokenizer->vocab_size();
      LanguageModel model(config);
      model.initialize(3);
      EvaluationOptions options;
      options.cross_documents = false;
      options.context = 23;  // each row with as much before it as fits
      options.window = 24;
      const auto total = [&](const std::vector<std::string>& documents) {
        return total_loss(model, folder / "data.npy", documents, tokenizer, options);
      };
      // Bytes, so that both spellings are of as many tokens, and blocks fall alike.
      const std::string first = "abcdefgabcd", other = "gfedcbagfed", second = some_text(40, 7), third = "e";
      if (tokenizer->kind() == "bytes") {
        const double both = total({first, second, third});
        EXPECT_NEAR(both - total({first}), total({other, second, third}) - total({other}), 1e-3)
            << architecture;
        options.cross_documents = true;
        EXPECT_GT(std::abs(both - total({first, second, third})), 0.01) << architecture;
        options.cross_documents = false;
      }
      if (architecture == "full") {
        EXPECT_NEAR(total({first, second, third}), total({first}) + total({second}) + total({third}), 1e-3)
            << tokenizer->kind();
      }
    }
  }
}

TEST(Perplexity, OfDocumentsApartBeginsEachWithTheEndOfText) {
  const TemporaryFolder folder;
  for (const auto& tokenizer : {byte_tokenizer(), small_sentencepiece()}) {
    write_tokens(folder / "data.npy", {some_text(9, 1), some_text(5, 2), some_text(20, 3)}, tokenizer);
    const TokenFile data(folder / "data.npy");
    const auto& documents = data.info().documents;
    EvaluationOptions options;
    options.cross_documents = false;
    for (std::int64_t window = 1; window < 12; ++window) {
      options.window = window;
      options.batch = 1 + window % 3;
      const Scorer scorer = [&](const at::Tensor& tokens, const std::optional<at::Tensor>& starts) {
        EXPECT_TRUE(starts.has_value());
        EXPECT_EQ(starts->sizes(), at::IntArrayRef({tokens.size(0), tokens.size(1) - 1}));
        if (data.info().separated) {  // a document's rows begin at an end-of-text token, and nowhere else
          const std::int64_t end = *data.info().end_of_text;
          for (std::int64_t b = 0; b < tokens.size(0); ++b) {
            for (std::int64_t r = 0; r < starts->size(1); ++r) {
              const bool begins = (*starts)[b][r].item<std::int64_t>() == r;
              EXPECT_EQ(begins, r == 0 || tokens[b][r].item<std::int64_t>() == end);
            }
          }
        }
        return fake_scorer(tokens, starts);
      };
      const Evaluation result = evaluate(scorer, data, options);
      double total = 0;
      for (std::uint64_t i = 0; i < data.size(); ++i) {
        const bool first = std::binary_search(documents.begin(), documents.end(), i);
        const double known =
            i > 0 ? opinion(data[i - 1], data[i])
                  : opinion(data.info().separated ? static_cast<std::int64_t>(*data.info().end_of_text) : 0,
                            data[0]);
        total += first && !data.info().separated ? std::log(256.0) : known;
      }
      EXPECT_NEAR(result.loss, total / static_cast<double>(data.size()), 1e-9) << window;
    }
  }
}

TEST(Perplexity, ReportsProgress) {
  const TemporaryFolder folder;
  write_tokens(folder / "data.npy", {some_text(100)});
  EvaluationOptions options;
  options.window = 10;
  options.batch = 3;
  std::vector<std::uint64_t> done;
  evaluate(Scorer(fake_scorer), TokenFile(folder / "data.npy"), options, [&](const Progress& progress) {
    EXPECT_EQ(progress.total, 99U);
    done.push_back(progress.done);
  });
  EXPECT_EQ(done.back(), 99U);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
}

TEST(Perplexity, RefusesWhatItCannotMeasure) {
  const TemporaryFolder folder;
  write_tokens(folder / "one.npy", {"a"});
  write_tokens(folder / "data.npy", {some_text(30)});
  const TokenFile data(folder / "data.npy");
  EvaluationOptions options;
  options.window = 8;
  options.context = 8;
  EXPECT_THAT(error_of([&] { evaluate(Scorer(fake_scorer), data, options); }),
              HasSubstr("context: expected 0 to 7"));
  options.context = -1;
  options.protocol = Protocol::authors;
  EXPECT_THAT(error_of([&] { evaluate(Scorer(fake_scorer), TokenFile(folder / "one.npy"), options); }),
              HasSubstr("needs at least 2 tokens, got 1"));
  options.protocol = Protocol::standard;
  const Scorer broken = [](const at::Tensor& tokens, const std::optional<at::Tensor>&) {
    return at::full({tokens.size(0), tokens.size(1) - 1}, std::nan(""));
  };
  EXPECT_THAT(error_of([&] { evaluate(broken, data, options); }), HasSubstr("the loss is nan"));
  ModelConfig config = small_model();
  config.vocab = 300;
  LanguageModel model(config);
  EXPECT_THAT(error_of([&] { evaluate(model, data, options); }),
              HasSubstr("expected the model's vocabulary of 300 tokens, got 256"));
}

TEST(CheckpointEvaluation, ChecksTheTokenizer) {
  const TemporaryFolder folder;
  write_tokens(folder / "bytes.npy", {some_text(100)});
  LanguageModel model(small_model());
  model.initialize(3);
  const Path checkpoint = folder / "checkpoint";
  std::filesystem::create_directories(checkpoint / "tokenizer");
  write_file(checkpoint / "config.json", to_json(model.config()));
  write_safetensors(checkpoint / "model.safetensors", model.weights());
  byte_tokenizer()->save(checkpoint / "tokenizer");
  write_manifest(checkpoint);
  const Evaluation result = evaluate_checkpoint(Checkpoint(checkpoint), folder / "bytes.npy", {});
  EXPECT_NEAR(result.loss, evaluate(model, TokenFile(folder / "bytes.npy"), {}).loss, 1e-6);

  write_tokens(folder / "pieces.npy", {some_text(100)}, small_sentencepiece());
  EXPECT_THAT(error_of([&] { evaluate_checkpoint(Checkpoint(checkpoint), folder / "pieces.npy", {}); }),
              HasSubstr("aren't those of the checkpoint's tokenizer: expected bytes with 256 tokens"));
}

}  // namespace
}  // namespace ecp
