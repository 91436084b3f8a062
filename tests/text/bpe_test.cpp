#include "ecp/text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "ecp/base/error.h"
#include "ecp/text/bpe_merges.h"
#include "ecp/text/json.h"
#include "ecp/text/tokenize.h"
#include "tests/text/given_tokenizers.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::expect_given_ids;
using ::ecp::test::given_folder;
using ::ecp::test::given_json;
using ::ecp::test::sample_text;
using ::ecp::test::TemporaryFolder;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::vector<std::string> names = {"gpt2",  "prefix", "llama3",  "llama2",
                                        "first", "never",  "nosplit", "whole"};

std::shared_ptr<const Tokenizer> given(const std::string& name) {
  return load_tokenizer(given_folder() / (name + ".json"));
}

std::shared_ptr<const Tokenizer> from(const Json& json) {
  const std::string bytes = json.dump();
  return text::bpe_tokenizer(bytes, text::parse_object(bytes, "t"), "t", false);
}

class Bpe : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Given, Bpe, ::testing::ValuesIn(names), [](const auto& test) { return test.param; });

TEST_P(Bpe, GivesTheIdsOfTokenizers) { expect_given_ids(GetParam() + ".json", *given(GetParam())); }

TEST_P(Bpe, SavesAndLoads) {
  const TemporaryFolder folder;
  const auto tokenizer = given(GetParam());
  EXPECT_FALSE(tokenizer->verified());
  tokenizer->save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->kind(), "bpe");
  EXPECT_EQ(loaded->hash(), tokenizer->hash());
  EXPECT_EQ(loaded->vocab_size(), tokenizer->vocab_size());
  EXPECT_EQ(loaded->end_of_text(), tokenizer->end_of_text());
  EXPECT_TRUE(loaded->verified());
  EXPECT_EQ(loaded->encode("The river's bank."), tokenizer->encode("The river's bank."));
  std::string json = read_file(folder / "huggingface.json");
  json[json.size() / 2] ^= 1;
  write_file(folder / "huggingface.json", json);
  EXPECT_THAT(error_of([&] { (void)load_tokenizer(folder.path()); }),
              HasSubstr("damaged: expected the hash"));
}

TEST_P(Bpe, EncodesInPartsOfACorpus) {
  const TemporaryFolder folder;
  const std::string text = sample_text(60000);  // several pieces of a reader
  write_file(folder / "text.txt", text);
  const auto tokenizer = given(GetParam());
  tokenize_corpus({folder / "text.txt"}, folder / "text.npy", tokenizer, {});
  const TokenFile file(folder / "text.npy");
  std::vector<Token> expected = tokenizer->encode(text);
  if (tokenizer->end_of_text()) expected.push_back(*tokenizer->end_of_text());
  ASSERT_EQ(file.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(file[i], expected[i]) << i;
  EXPECT_EQ(file.info().bytes, text.size());
  EXPECT_EQ(file.tokenizer()->hash(), tokenizer->hash());
}

TEST(BpeTokenizer, ByteLevelKeepsAnyText) {
  const auto tokenizer = given("gpt2");
  EXPECT_TRUE(tokenizer->lossless());
  for (const char* name : {"llama2", "llama3", "prefix", "first"})
    EXPECT_FALSE(given(name)->lossless()) << name;
  EXPECT_TRUE(rc::check("decode(encode(x)) == x", [&] {
    const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        " ", "\n", "the", "é", "漢字", "'s", "12", "\u00A0", "🙂", "...", "\t", "<s>"));
    std::string text;
    for (const std::string& word : words) text += word;
    RC_ASSERT(tokenizer->decode(tokenizer->encode(text)) == text);
  }));
}

TEST(BpeTokenizer, DecodesAsLlamaDoesWithItsFirstSpace) {
  const auto tokenizer = given("llama2");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("the  old\n漢 river ☃")), " the  old\n漢 river ☃");
  std::vector<Token> more;
  tokenizer->encode_more("the ☃", more);
  EXPECT_EQ(tokenizer->decode(more), "the ☃");
}

TEST(BpeTokenizer, KnowsTheEndOfText) {
  const auto gpt2 = given("gpt2"), llama3 = given("llama3"), llama2 = given("llama2");
  EXPECT_EQ(gpt2->encode("a<|endoftext|>").back(), gpt2->end_of_text());
  EXPECT_EQ(llama2->end_of_text(), Token{2});
  EXPECT_EQ(gpt2->bytes_of(*gpt2->end_of_text()), "");
  // The first of the known names that there is.
  EXPECT_EQ(llama3->encode("<|endoftext|>").back(), llama3->end_of_text());
  EXPECT_EQ(llama3->decode(llama3->encode("<|end_of_text|>")), "<|end_of_text|>");
}

TEST(BpeTokenizer, LongWordsDoNotTakeQuadraticTime) {
  for (const std::string& name : names) {
    const auto tokenizer = given(name);
    for (const std::string& part :
         {std::string("a"), std::string("the"), std::string("."), std::string("é漢")}) {
      std::string text;
      while (text.size() < (std::size_t{1} << 20)) text += part;
      EXPECT_GT(tokenizer->encode(text).size(), 1000) << name;
    }
  }
}

/// The definition: again and again the leftmost pair of the lowest rank.
std::vector<Token> merged_naively(const text::BpeMerges& merges, std::vector<Token> word) {
  for (;;) {
    const text::BpeMerge* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const text::BpeMerge* found = merges.find(word[i], word[i + 1]);
      if (found != nullptr && (best == nullptr || found->rank < best->rank)) best = found, at = i;
    }
    if (best == nullptr) return word;
    word[at] = best->result;
    word.erase(word.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(BpeMerges, AreDoneByRank) {
  EXPECT_TRUE(rc::check("as the definition has it", [] {
    text::BpeMerges merges(40);
    for (std::uint32_t rank = 0; rank < 40; ++rank) {
      // A merge's parts come before its result, as in a trained vocabulary.
      const Token result = 3 + rank;
      merges.insert(*rc::gen::inRange<Token>(0, result), *rc::gen::inRange<Token>(0, result), {rank, result});
    }
    const auto word = *rc::gen::container<std::vector<Token>>(rc::gen::inRange<Token>(0, 3));
    std::vector<Token> merged = word;
    text::BpeMerger merger;
    merger.merge(merges, merged);
    RC_ASSERT(merged == merged_naively(merges, word));
  }));
}

TEST(BpeBadInput, WhatIsNotSupportedIsNamed) {
  const auto error = [](const std::string& name, const std::string& patch) {
    Json json = given_json(name + ".json");
    json.merge_patch(Json::parse(patch));
    return error_of([&] { (void)from(json); });
  };
  EXPECT_EQ(error("gpt2", "{}"), "");
  EXPECT_EQ(error("gpt2", R"({"model": {"type": "Unigram"}})"),
            "'t': the model \"Unigram\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"model": {"type": "WordLevel"}})"),
            "'t': the model \"WordLevel\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"model": {"dropout": 0.1}})"), "'t': the model's dropout is not supported");
  EXPECT_EQ(error("gpt2", R"({"model": {"end_of_word_suffix": "</w>"}})"),
            "'t': the model's end_of_word_suffix \"</w>\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"model": {"shuffle": true}})"),
            "'t': the member \"shuffle\" of model is unknown");
  EXPECT_EQ(error("gpt2", R"({"normalizer": {"type": "NFC"}})"),
            "'t': the normalizer \"NFC\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}})"),
            "'t': the normalizer \"Lowercase\" is not supported");
  EXPECT_EQ(error("llama2", R"({"normalizer": {"type": "Replace", "pattern": {"String": "x"}, "content": "y"},
            "pre_tokenizer": null})"),
            "'t': the normalizer \"Replace\" with other than \" \" by \"▁\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"pre_tokenizer": {"type": "Whitespace"}})"),
            "'t': the pre_tokenizer \"Whitespace\" is not supported");
  EXPECT_EQ(error("gpt2",
                  R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Isolated",
            "invert": false, "add_prefix_space": null, "trim_offsets": null, "use_regex": null}})"),
            "'t': the pre_tokenizer \"Split\" with the pattern \"\\\\w+\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"post_processor": {"type": "New"}})"),
            "'t': the post_processor \"New\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"decoder": {"type": "CTC"}})"), "'t': the decoder \"CTC\" is not supported");
  EXPECT_EQ(error("gpt2", R"({"version": "2.0"})"), "'t': expected the version \"1.0\", got \"2.0\"");
  EXPECT_EQ(error("gpt2", R"({"pre_tokenizer": []})"), "'t': expected an object as pre_tokenizer");
}

TEST(BpeBadInput, DamagedVocabulariesGiveOneLine) {
  const auto error = [](const std::string& name, const auto& change) {
    Json json = given_json(name + ".json");
    change(json);
    return error_of([&] { (void)from(json); });
  };
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["vocab"]["the"] = 7; }), HasSubstr("have the same id"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["vocab"]["q!q"] = 900; }),
              HasSubstr("ids have no gaps, got"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["vocab"]["q!q"] = -1; }),
              HasSubstr("ids have no gaps, got"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["merges"].push_back("q!q a"); }),
              HasSubstr("is not in the vocabulary"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["merges"].push_back("a b c"); }),
              HasSubstr("expected \"left right\""));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["merges"].push_back(j["model"]["merges"][0]); }),
              HasSubstr("occurs twice"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"].erase("vocab"); }),
              HasSubstr("expected a member \"vocab\""));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["model"]["unk_token"] = "nowhere"; }),
              HasSubstr("the unk_token \"nowhere\" is not in the vocabulary"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["added_tokens"][0]["id"] = 5; }), HasSubstr("expected the id 0"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["added_tokens"][0]["single_word"] = true; }),
              HasSubstr("single_word is not supported"));
  EXPECT_THAT(error("gpt2", [](Json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }),
              HasSubstr("occurs twice"));
  EXPECT_THAT(error("llama2",
                    [](Json& j) {
                      j["model"]["vocab"]["<0xZZ>"] = j["model"]["vocab"]["<0x41>"];
                      j["model"]["vocab"].erase("<0x41>");
                    }),
              HasSubstr("got no <0x41>"));
  EXPECT_THAT(error("first", [](Json& j) { j["model"]["unk_token"] = nullptr; }), HasSubstr("would vanish"));
  EXPECT_EQ(error("gpt2", [](Json& j) { j["added_tokens"] = nullptr; }), "");
}

TEST(BpeBadInput, DamagedFilesNeverCrash) {
  int refused = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    std::string bytes = read_file(given_folder() / (names[i % names.size()] + ".json"));
    for (std::uint64_t k = 0; k < 1 + i % 3; ++k) {
      bytes[random_below(bytes.size(), 2, i, k)] = static_cast<char>(random_below(128, 3, i, k));
    }
    try {
      const Json json = text::parse_object(bytes, "t");
      (void)text::bpe_tokenizer(bytes, json, "t", false)->encode("the <s> é\n 漢 \u00A0x");
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(BpeBadInput, FoldersSayWhatIsMissing) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(given_folder() / "gpt2.json", folder / "tokenizer.json");
  EXPECT_EQ(load_tokenizer(folder.path())->hash(), given("gpt2")->hash());
  EXPECT_EQ(load_tokenizer(folder / "tokenizer.json")->kind(), "bpe");
  byte_tokenizer()->save(folder.path());
  EXPECT_THAT(error_of([&] { (void)load_tokenizer(folder / "tokenizer.json"); }),
              HasSubstr("expected its folder"));
}

}  // namespace
}  // namespace ecp
