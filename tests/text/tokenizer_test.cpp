#include "ecp/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <fstream>
#include <thread>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/sentencepiece.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/utf8.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_text;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::ecp::test::train_on;
using ::testing::HasSubstr;

std::string character(std::uint32_t code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
  return text;
}

/// Texts of ordinary words, every kind of character, and spellings of special pieces.
rc::Gen<std::string> any_text() {
  const auto code = rc::gen::map(rc::gen::inRange<std::uint32_t>(0, 0x110000 - 0x800),
                                 [](std::uint32_t c) { return character(c < 0xD800 ? c : c + 0x800); });
  const auto ascii = rc::gen::map(rc::gen::inRange<std::uint32_t>(0, 0x80), character);
  const auto special =
      rc::gen::element<std::string>(" ", "  ", "\n", "\r\n", "\t", "▁", " ▁", "▁▁", "▅", "<0x41>", "<0x0A>",
                                    "<unk>", "<|end-of-text|>", "<|unknown|>", "</s>", "\xEF\xBB\xBF",
                                    "\u00A0", "\uFFFD", "\u0301", " ba", "lo", "mira", std::string(1, '\0'));
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::oneOf(code, ascii, special, special)),
      [](const std::vector<std::string>& parts) {
        std::string text;
        for (const std::string& part : parts) text += part;
        return text;
      });
}

void expect_round_trip(const std::string& text) {
  for (const auto& tokenizer : sample_tokenizers()) {
    const std::vector<Token> ids = tokenizer->encode(text);
    EXPECT_EQ(tokenizer->decode(ids), text) << tokenizer->kind();
    for (const Token id : ids) {
      EXPECT_LT(id, tokenizer->vocab_size());
      EXPECT_NE(std::optional(id), tokenizer->end_of_text());
    }
  }
}

TEST(Tokenizer, RoundTripsAwkwardText) {
  std::string all_controls;
  for (std::uint32_t c = 0; c < 0xA1; ++c) all_controls += character(c);
  const std::vector<std::string> table = {
      "",
      " ",
      "   ",
      "\n",
      "\n\n\n  text",
      "  leading and trailing  ",
      "two  three   four    spaces",
      "line\r\nline\rline\n\rline",
      "tab\tand\vvertical\fform",
      "▁",
      "▁▁ ▁a ▁",
      " ▁",
      "▅ ⁇ \uFFFD",
      "<0x41><0x0A><0xFF>",
      "<eos><s></s><unk><pad><|end-of-text|><|unknown|>",
      "say <0x41> or <eos> or <|end-of-text|>",
      std::string("\0", 1),
      std::string("a\0b\0\0 c\0", 8),
      "\xEF\xBB\xBFwith a byte order mark",
      "日本語のテキスト、スペースなし。",
      "👩‍👩‍👧‍👦 family, ẹ́ combining, \u202E right to left",
      "\U0010FFFF\U00010000\uFFFF\uE000\uD7FF",
      "\u00A0no-break\u3000ideographic\u2028line\u2029paragraph\u0085next",
      all_controls,
      std::string(100000, ' '),
      std::string(100000, 'x'),
      "mira " + std::string(40000, 'q') + " lo",
  };
  for (const std::string& text : table) {
    SCOPED_TRACE(text.substr(0, 40));
    expect_round_trip(text);
  }
}

TEST(Tokenizer, RoundTripsEveryCharacter) {
  std::string text;
  for (std::uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
    if (c < 0xD800 || c > 0xDFFF) text += character(c);
  }
  expect_round_trip(text);
}

TEST(Tokenizer, RoundTripsAnyText) {
  EXPECT_TRUE(rc::check("decode(encode(x)) == x", [] {
    const std::string text = *any_text();
    for (const auto& tokenizer : sample_tokenizers())
      RC_ASSERT(tokenizer->decode(tokenizer->encode(text)) == text);
  }));
}

TEST(Tokenizer, EncodesInPieces) {
  EXPECT_TRUE(rc::check("encode(a + b) == encode(a) + encode(b) at a segment's boundary", [] {
    const std::string text = *any_text();
    const std::size_t cut = last_segment_boundary(text);
    for (const auto& tokenizer : sample_tokenizers()) {
      std::vector<Token> pieces = tokenizer->encode(text.substr(0, cut));
      tokenizer->encode(text.substr(cut), pieces);
      RC_ASSERT(pieces == tokenizer->encode(text));
    }
  }));
}

TEST(Tokenizer, BytesTakeAnyString) {
  std::string text;
  for (int i = 255; i >= 0; --i) text += static_cast<char>(i);
  const auto ids = byte_tokenizer()->encode(text);
  EXPECT_EQ(ids.size(), 256);
  EXPECT_EQ(ids.front(), 255);
  EXPECT_EQ(byte_tokenizer()->decode(ids), text);
  EXPECT_EQ(byte_tokenizer()->end_of_text(), std::nullopt);
}

TEST(Tokenizer, SentencePieceRefusesBrokenText) {
  const auto& bpe = sample_tokenizers()[1];
  EXPECT_EQ(error_of([&] { (void)bpe->encode("ab\xFF"); }), "text: not UTF-8 at byte 2");
  EXPECT_EQ(error_of([&] { (void)bpe->encode("\xED\xA0\x80"); }), "text: not UTF-8 at byte 0");
  EXPECT_EQ(error_of([&] { (void)bpe->encode("é\xC3"); }), "text: not UTF-8 at byte 2");
}

TEST(Tokenizer, TrainedModelsCompressAndKeepNewlineAsASymbol) {
  const std::string text = sample_text(5000, 9);
  for (std::size_t i = 1; i < 3; ++i) {
    const auto& tokenizer = *sample_tokenizers()[i];
    EXPECT_LT(tokenizer.encode(text).size() * 2, text.size());
    EXPECT_EQ(tokenizer.encode("\n\n").size(), 2);
    EXPECT_EQ(tokenizer.bytes_of(tokenizer.encode("\n").front()), "\n");
    EXPECT_TRUE(tokenizer.end_of_text().has_value());
    EXPECT_EQ(tokenizer.bytes_of(*tokenizer.end_of_text()), "");
  }
  EXPECT_EQ(sample_tokenizers()[1]->vocab_size(), 600);
  EXPECT_EQ(sample_tokenizers()[2]->vocab_size(), 500);
}

TEST(Tokenizer, LearnsThePlaceholdersOfWikiText) {
  // SentencePiece's own default would take "<unk>" out of the training text and leave single letters.
  EXPECT_LE(sample_tokenizers()[1]->encode(" <unk>").size(), 3);
}

TEST(Tokenizer, BytesOfRefusesUnknownTokens) {
  for (const auto& tokenizer : sample_tokenizers()) {
    EXPECT_THROW((void)tokenizer->bytes_of(static_cast<Token>(tokenizer->vocab_size())), Error);
  }
}

TEST(Tokenizer, EncodingTimeIsLinear) {
  // A quadratic encoder would take minutes for these 4 MB.
  const auto& bpe = sample_tokenizers()[1];
  std::string line;
  const std::string text = sample_text(20000, 4);
  for (int i = 0; line.size() < (4u << 20); ++i) line += text + std::to_string(i);
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  EXPECT_EQ(bpe->decode(bpe->encode(line)), line);
}

TEST(Tokenizer, EncodesFromSeveralThreads) {
  const std::string text = sample_text(3000, 5);
  const auto& bpe = sample_tokenizers()[1];
  const std::vector<Token> expected = bpe->encode(text);
  std::vector<std::vector<Token>> found(4);
  std::vector<std::thread> threads;
  for (auto& ids : found) threads.emplace_back([&] { bpe->encode(text, ids); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& ids : found) EXPECT_EQ(ids, expected);
}

TEST(Tokenizer, SavesAndLoads) {
  const std::string text = sample_text(500, 3);
  for (const auto& tokenizer : sample_tokenizers()) {
    const TemporaryFolder folder;
    tokenizer->save(folder.path());
    const auto loaded = load_tokenizer(folder.path());
    EXPECT_EQ(loaded->kind(), tokenizer->kind());
    EXPECT_EQ(loaded->hash(), tokenizer->hash());
    EXPECT_EQ(loaded->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(loaded->end_of_text(), tokenizer->end_of_text());
    EXPECT_EQ(loaded->encode(text), tokenizer->encode(text));
    EXPECT_TRUE(loaded->verified());
  }
}

TEST(Tokenizer, LoadsABareModelAndSaysSo) {
  const TemporaryFolder folder;
  sample_tokenizers()[1]->save(folder.path());
  const auto bare = load_tokenizer(folder / "tokenizer.model");
  EXPECT_FALSE(bare->verified());
  EXPECT_EQ(bare->hash(), sample_tokenizers()[1]->hash());
}

TEST(Tokenizer, DifferentTextGivesADifferentHash) {
  EXPECT_NE(sample_tokenizers()[1]->hash(), sample_tokenizers()[2]->hash());
  const std::string text = sample_text(3000);
  EXPECT_EQ(train_on(text, "bpe", 400)->hash(), train_on(text, "bpe", 400)->hash());
}

TEST(TokenizerBadInput, DamagedFilesGiveOneLine) {
  const TemporaryFolder folder;
  sample_tokenizers()[1]->save(folder.path());
  const std::string json = read_file(folder / "tokenizer.json"),
                    model = read_file(folder / "tokenizer.model");
  const auto load_error = [&](const std::string& new_json, const std::string& new_model) {
    write_file(folder / "tokenizer.json", new_json);
    write_file(folder / "tokenizer.model", new_model);
    const std::string message = error_of([&] { (void)load_tokenizer(folder.path()); });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  };
  EXPECT_EQ(load_error(json, model), "");
  std::string flipped = model;
  flipped[flipped.size() / 2] ^= 4;
  EXPECT_THAT(load_error(json, flipped), HasSubstr("damaged: expected the hash"));
  EXPECT_THAT(load_error(json, model.substr(0, 1000)), HasSubstr("damaged: expected the hash"));
  EXPECT_THAT(load_error(json, ""), HasSubstr("damaged"));
  EXPECT_THAT(load_error("{", model), HasSubstr("not JSON"));
  EXPECT_THAT(load_error("[]", model), HasSubstr("expected a JSON object"));
  EXPECT_THAT(load_error("{}", model), HasSubstr("expected a member \"format\""));
  EXPECT_THAT(load_error(R"({"format": "x"})", model), HasSubstr("expected the format"));
  EXPECT_THAT(load_error(R"({"format": "ecp-tokenizer", "version": 2})", model),
              HasSubstr("expected version 1"));
  EXPECT_THAT(load_error(R"({"version": 1, "version": 1})", model), HasSubstr("occurs twice"));
  std::string other = json;
  other.replace(other.find("600"), 3, "601");
  EXPECT_THAT(load_error(other, model), HasSubstr("expected a vocab_size of 600, got 601"));
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{\"a\":";
  EXPECT_THAT(load_error(nested, model), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of([&] { (void)load_tokenizer(folder / "missing"); }), HasSubstr("no such file"));
  std::filesystem::remove(folder / "tokenizer.json");
  EXPECT_THAT(error_of([&] { (void)load_tokenizer(folder.path()); }), HasSubstr("expected a tokenizer.json"));
}

TEST(TokenizerBadInput, DamagedModelsNeverCrash) {
  const TemporaryFolder folder;
  sample_tokenizers()[1]->save(folder.path());
  const std::string model = read_file(folder / "tokenizer.model");
  int refused = 0;
  for (std::uint64_t i = 0; i < 150; ++i) {
    std::string damaged = model;
    if (i % 3 == 0) damaged.resize(random_below(model.size(), 1, i));
    for (std::uint64_t k = 0; k < 1 + i % 4 && !damaged.empty(); ++k) {
      damaged[random_below(damaged.size(), 2, i, k)] = static_cast<char>(random_below(256, 3, i, k));
    }
    try {
      const auto tokenizer = text::sentencepiece_tokenizer(damaged, "damaged.model", false);
      (void)tokenizer->encode("mira lo <0x41> é\n");
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(TokenizerBadInput, AModelThatWouldLoseCharactersIsRefused) {
  const TemporaryFolder folder;
  sample_tokenizers()[1]->save(folder.path());
  std::string model = read_file(folder / "tokenizer.model");
  const std::string byte_fallback = "\x98\x02\x01";  // field 35 of the trainer's specification: true
  model[model.rfind(byte_fallback) + 2] = 0;
  EXPECT_THAT(error_of([&] { (void)text::sentencepiece_tokenizer(model, "m", false); }),
              HasSubstr("expected a model with byte fallback"));
  model = read_file(folder / "tokenizer.model");
  const std::string space = "\x0A\x03" + std::string(text::space_mark);  // a piece's text: the mark alone
  model[model.find(space) + space.size() - 1] = '\x82';
  EXPECT_THAT(error_of([&] { (void)text::sentencepiece_tokenizer(model, "m", false); }),
              HasSubstr("expected a model with a piece for the space"));
}

TEST(Tokenizer, SaysWhatOfAModelFromElsewhereIsNotApplied) {
  const TemporaryFolder folder;
  sample_tokenizers()[1]->save(folder.path());
  const std::string model = read_file(folder / "tokenizer.model");
  const auto differences = [&](const std::string& more) {
    return text::sentencepiece_tokenizer(model + more, "m", false)->differences();
  };
  EXPECT_EQ(sample_tokenizers()[1]->differences(), "");
  EXPECT_EQ(differences(""), "");
  const auto message = [](char field, const std::string& content) {
    return std::string{static_cast<char>(field << 3 | 2), static_cast<char>(content.size())} + content;
  };
  // SentencePiece's defaults: what isn't said is done.
  const std::string rules = message(1, "nmt_nfkc") + message(2, "a table");
  EXPECT_EQ(
      differences(message(3, rules)),
      "text is encoded as it is written; of this model aren't applied: the normalisation nmt_nfkc, a space "
      "before the text, removal of repeated spaces");
  const std::string prefix = {3 << 3, 0}, spaces = {4 << 3, 0};
  EXPECT_THAT(differences(message(3, rules + prefix + spaces)),
              ::testing::EndsWith("the normalisation nmt_nfkc"));
  const std::string mark(text::space_mark);
  EXPECT_THAT(differences(message(1, message(1, mark + "of" + mark + "the"))),
              ::testing::EndsWith("aren't applied: 1 pieces that span words"));
  EXPECT_EQ(differences(message(1, message(1, mark + mark + mark + "the"))), "")
      << "a run of spaces and a word";
}

TEST(TokenizerBadInput, TrainingSaysWhatIsWrong) {
  EXPECT_THAT(error_of([] { (void)train_on(sample_text(200), "bpe", 30000); }),
              HasSubstr("is too large for this text"));
  EXPECT_THAT(error_of([] { (void)train_on(sample_text(200), "unigram", 30000); }),
              HasSubstr("is too large for this text"));
  EXPECT_THAT(error_of([] { (void)train_on("", "bpe", 400); }), HasSubstr("no text to train on"));
  EXPECT_THAT(error_of([] { (void)train_on("\n\n\n", "bpe", 400); }), HasSubstr("no text to train on"));
  EXPECT_THAT(error_of([] { (void)train_on("ab\xFF", "bpe", 400); }), HasSubstr("not UTF-8 at byte 2"));
  EXPECT_THAT(error_of([] { (void)train_on("text", "word", 400); }),
              HasSubstr("expected the type bpe or unigram"));
  EXPECT_THAT(error_of([] { (void)train_on("text", "bpe", 100); }), HasSubstr("expected a vocabulary of"));
}

TEST(Tokenizer, TrainingAndLoadingAreSilent) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  for (const char* type : {"bpe", "unigram"}) (void)train_on(sample_text(2000), type, 350);
  (void)error_of([] { (void)train_on(sample_text(200), "unigram", 30000); });
  (void)error_of([] { (void)text::sentencepiece_tokenizer("\x0A\x02\x0A\x00", "broken", false); });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST(Tokenizer, TrainsOnASampleOfLongText) {
  SentencePieceTraining options;
  options.vocab_size = 400;
  options.most_bytes = 20000;
  std::uint64_t pieces = 0;
  const auto tokenizer = train_sentencepiece(options, [&](std::string& out) {
    out = sample_text(2000, pieces);
    return ++pieces <= 20;
  });
  EXPECT_EQ(tokenizer->vocab_size(), 400);
}

}  // namespace
}  // namespace ecp
