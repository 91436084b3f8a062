// Our encoder beside SentencePiece's own.
#include "ecp/text/sentencepiece_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "ecp/base/error.h"
#include "ecp/text/utf8.h"
#include "tests/text/text_samples.h"

namespace ecp::text {
namespace {

using ::ecp::test::sample_text;

std::string trained(const std::string& text, const std::string& extra) {
  silence_sentencepiece();
  const ::ecp::test::TemporaryFolder folder;
  write_file(folder / "text.txt", text);
  const std::string command = "--input=" + (folder / "text.txt").string() +
                              " --model_type=bpe --normalization_rule_name=identity --add_dummy_prefix=false "
                              "--remove_extra_whitespaces=false --byte_fallback=true --minloglevel=3 " +
                              extra;
  const auto status =
      sentencepiece::SentencePieceTrainer::Train(command + " --model_prefix=" + (folder / "model").string());
  EXPECT_TRUE(status.ok()) << status.message();
  return read_file(folder / "model.model");
}

/// A model in both encoders.
class Both {
 public:
  explicit Both(const std::string& model)
      : theirs_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
    const SafeModel safe = check_model(model, "model");
    EXPECT_TRUE(theirs_->LoadFromSerializedProto({safe.bytes.data(), safe.bytes.size()}).ok());
    std::array<Token, 256> bytes{};
    for (std::size_t i = 0; i < 256; ++i)
      bytes[i] = static_cast<Token>(theirs_->PieceToId(fmt::format("<0x{:02X}>", i)));
    ours_ = SentencePieceBpe::make(safe, bytes);
  }
  [[nodiscard]] bool made() const { return ours_.has_value(); }
  [[nodiscard]] std::vector<Token> ours(const std::string& text) const {
    std::vector<Token> ids;
    ours_->encode(text, ids);
    return ids;
  }
  [[nodiscard]] std::vector<Token> theirs(const std::string& text) const {
    std::vector<int> ids;
    EXPECT_TRUE(theirs_->Encode(text, &ids).ok());
    return {ids.begin(), ids.end()};
  }

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> theirs_;
  std::optional<SentencePieceBpe> ours_;
};

const std::vector<Both>& models() {
  static const std::vector<Both> all = [] {
    std::string text = sample_text(4000);
    for (int i = 0; i < 20; ++i)
      text += "say <0x41> or <unk> or <eos> or </s>\n    indented\ttab 日本語 👩‍👩‍👧\n";
    std::vector<Both> made;
    made.reserve(4);
    made.emplace_back(trained(text, "--vocab_size=600"));
    // Pieces that span words, as some models from elsewhere have; symbols of their users.
    made.emplace_back(trained(text, "--vocab_size=900 --split_by_whitespace=false"));
    made.emplace_back(
        trained(text, "--vocab_size=700 --user_defined_symbols=<eos>,ba,bal,q,lo\xE2\x96\x81mi"));
    made.emplace_back(trained(text, "--vocab_size=340 --treat_whitespace_as_suffix"));
    return made;
  }();
  return all;
}

TEST(SentencePieceBpe, GivesTheIdsOfSentencePiece) {
  const std::string text = sample_text(2000, 11);
  for (const Both& both : models()) {
    ASSERT_TRUE(both.made());
    for (std::string_view rest = text; !rest.empty();) {
      const std::string line(rest.substr(0, std::min(rest.find('\n'), rest.size())));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      ASSERT_EQ(both.ours(line), both.theirs(line)) << line;
    }
  }
}

TEST(SentencePieceBpe, GivesTheIdsOfSentencePieceForAnyText) {
  const auto parts = rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      " ", "  ", "ba", "lo", "mi", "l", "b", "a", "und", "quiten", "ing", "<eos>", "<unk>", "<0x41>", "</s>",
      "é", "e\u0301", "日", "本語", "👩", "\uFFFD", "\U0010FFFF", "\u00A0", "\t", "\r", "q", "\x7F", "\x01",
      ".", ",", "ten ", "ñ"));
  EXPECT_TRUE(rc::check("equal ids", [&] {
    std::string text;
    for (const std::string& part : *parts) text += part;
    for (const Both& both : models()) RC_ASSERT(both.ours(text) == both.theirs(text));
  }));
  for (const Both& both : models()) {
    for (const std::string& text : {std::string(5000, 'x'), std::string(5000, ' '), std::string("ba")}) {
      EXPECT_EQ(both.ours(text), both.theirs(text));
    }
  }
}

TEST(SentencePieceBpe, LeavesToSentencePieceWhatItDoesntKnow) {
  SafeModel model;
  model.pieces = {{"<unk>", PieceType::unknown}, {"a", PieceType::normal}};
  EXPECT_FALSE(SentencePieceBpe::make(model, {})) << "unigram";
  model.is_bpe = true;
  EXPECT_TRUE(SentencePieceBpe::make(model, {}));
  model.pieces.push_back({"b", PieceType::unused});
  EXPECT_FALSE(SentencePieceBpe::make(model, {}));
}

}  // namespace
}  // namespace ecp::text
