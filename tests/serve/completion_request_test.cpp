// Requests: what every field becomes, and what is refused, with which status, code and field.
#include "ecp/serve/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ecp::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CompletionRequest parsed(const std::string& body, bool chat = false, const CompletionLimits& limits = {}) {
  return parse_completion(body, chat, *byte_tokenizer(), limits);
}

struct Refusal {
  int status = 0;
  std::string code, field, message;
};

Refusal refused(const std::string& body, bool chat = false, const CompletionLimits& limits = {}) {
  try {
    parsed(body, chat, limits);
  } catch (const BadRequest& error) {
    return {error.status(), error.code(), error.field(), error.what()};
  }
  ADD_FAILURE() << "accepted: " << body;
  return {};
}

TEST(CompletionRequestTest, FieldsBecomeSampling) {
  const CompletionRequest request = parsed(R"({
    "model": "m", "prompt": "ab", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1,
    "n": 2, "stream": true, "stream_options": {"include_usage": true}, "logprobs": 4, "echo": true,
    "stop": ["x", "yz"], "seed": 9, "presence_penalty": 1, "frequency_penalty": -0.5, "repetition_penalty": 1.5,
    "logit_bias": {"65": -100}, "ignore_eos": true, "return_token_ids": true, "best_of": 2, "user": "somebody", "suffix": null})");
  EXPECT_EQ(request.model, "m");
  EXPECT_THAT(request.prompts, ElementsAre(ElementsAre('a', 'b')));
  EXPECT_EQ(request.sampling.max_tokens, 7);
  EXPECT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_EQ(request.sampling.top_p, 0.9f);
  EXPECT_EQ(request.sampling.top_k, 3);
  EXPECT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.choices, 2);
  EXPECT_TRUE(request.stream && request.include_usage && request.echo && request.has_seed);
  EXPECT_EQ(request.sampling.logprobs, 4);
  EXPECT_THAT(request.sampling.stop, ElementsAre("x", "yz"));
  EXPECT_EQ(request.sampling.seed, 9u);
  EXPECT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_EQ(request.sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.5f);
  EXPECT_TRUE(request.sampling.ignore_end_of_text && request.token_ids);
  ASSERT_EQ(request.sampling.logit_bias.size(), 1u);
  EXPECT_EQ(request.sampling.logit_bias[0], std::pair(Token{65}, -100.0f));
}

TEST(CompletionRequestTest, WhatIsAbsentIsAsOpenAiHasIt) {
  const CompletionRequest request = parsed(R"({"prompt": "a", "temperature": null})");
  EXPECT_EQ(request.sampling.max_tokens, 16);
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.logprobs, -1);
  EXPECT_FALSE(request.stream || request.echo || request.has_seed || request.token_ids);
  EXPECT_THAT(parsed("{}").prompts, ElementsAre(ElementsAre('\n')));  // a document's beginning
  EXPECT_EQ(parsed(R"({"prompt": "a", "top_p": 0, "top_k": 5})").sampling.top_k, 1);
  EXPECT_EQ(refused(R"({"prompt": "a", "top_p": 0, "top_k": -5})").field, "top_k");
}

TEST(CompletionRequestTest, PromptsAreTextOrTokensOneOrMany) {
  EXPECT_THAT(parsed(R"({"prompt": ["a", "bc"]})").prompts,
              ElementsAre(ElementsAre('a'), ElementsAre('b', 'c')));
  EXPECT_THAT(parsed(R"({"prompt": [5, 6]})").prompts, ElementsAre(ElementsAre(5, 6)));
  EXPECT_THAT(parsed(R"({"prompt": [[5], [6, 7]]})").prompts, ElementsAre(ElementsAre(5), ElementsAre(6, 7)));
  for (const char* prompt : {"5", "{}", "[256]", "[-1]", "[1.5]", "[[1], 2]", "[[\"a\"]]", "true"}) {
    const Refusal refusal = refused(fmt::format(R"({{"prompt": {}}})", prompt));
    EXPECT_EQ(refusal.field, "prompt") << prompt;
    EXPECT_EQ(refusal.status, 400);
  }
}

TEST(CompletionRequestTest, ConversationsBecomeText) {
  EXPECT_EQ(chat_text({{"developer", "Be brief."}, {"user", "Hi"}, {"assistant", "Yes?"}, {"user", "No."}}),
            "System: Be brief.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: No.\n\nAssistant:");
  const CompletionRequest request = parsed(R"({"messages": [{"role": "user", "content": [
    {"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}], "max_completion_tokens": 3, "stop": "x",
    "logprobs": true, "top_logprobs": 2})",
                                           true);
  EXPECT_EQ(byte_tokenizer()->decode(request.prompts.at(0)), "User: Hi\n\nAssistant:");
  EXPECT_THAT(request.sampling.stop, ElementsAre("x", "\n\nUser:"));
  EXPECT_EQ(request.sampling.max_tokens, 3);
  EXPECT_EQ(request.sampling.logprobs, 2);
  for (const char* messages :
       {"[]", "5", "[5]", R"([{"content": "a"}])", R"([{"role": "king", "content": "a"}])",
        R"([{"role": "user", "content": 5}])", R"([{"role": "user", "content": [{"type": "image_url"}]}])"}) {
    EXPECT_EQ(refused(fmt::format(R"({{"messages": {}}})", messages), true).field, "messages") << messages;
  }
  EXPECT_EQ(refused("{}", true).field, "messages");
  EXPECT_EQ(refused(R"({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2})", true).field,
            "top_logprobs");
}

TEST(CompletionRequestTest, AbsurdValuesAreRefusedByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"temperature", "-1"},
      {"temperature", "\"hot\""},
      {"temperature", "101"},
      {"top_p", "1.5"},
      {"top_p", "-0.1"},
      {"min_p", "2"},
      {"top_k", "-1"},
      {"top_k", "1.5"},
      {"max_tokens", "-1"},
      {"max_tokens", "1000000000"},
      {"max_tokens", "18446744073709551615"},
      {"n", "0"},
      {"n", "17"},
      {"logprobs", "101"},
      {"logprobs", "true"},
      {"presence_penalty", "3"},
      {"frequency_penalty", "-3"},
      {"repetition_penalty", "0"},
      {"stop", "5"},
      {"stop", "[\"\"]"},
      {"stop", "[1]"},
      {"stream", "1"},
      {"stop", R"(["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])"},
      {"stream_options", "5"},
      {"logit_bias", "[]"},
      {"logit_bias", R"({"x": 1})"},
      {"logit_bias", R"({"256": 1})"},
      {"logit_bias", R"({"5": 101})"},
      {"logit_bias", R"({"5": "a"})"},
      {"best_of", "2"},
      {"suffix", "\"end\""},
      {"seed", "1.5"},
      {"echo", "\"yes\""},
      {"model", "5"}};
  for (const auto& [field, value] : cases) {
    const Refusal refusal = refused(fmt::format(R"({{"prompt": "a", "{}": {}}})", field, value));
    EXPECT_EQ(refusal.field, field) << value;
    EXPECT_EQ(refusal.code, "invalid_value");
    EXPECT_THAT(refusal.message, HasSubstr(field));
  }
}

TEST(CompletionRequestTest, WhatIsNoRequestIsRefused) {
  for (const char* body : {"", "{", "[]", "5", "NaN", R"({"prompt": NaN})", R"({"temperature": 1e309})",
                           "{\"prompt\": \"\xff\"}", R"({"prompt": "\ud800"})"}) {
    EXPECT_EQ(refused(body).code, "invalid_json") << body;
  }
  EXPECT_EQ(refused(std::string(100000, '[')).code, "invalid_json");
  const Refusal unknown = refused(R"({"prompt": "a", "temprature": 1})");
  EXPECT_EQ(unknown.code, "unknown_parameter");
  EXPECT_THAT(unknown.message, HasSubstr("did you mean 'temperature'?"));
  EXPECT_EQ(refused(R"({"prompt": "a", "stream_options": {"usage": true}})").code, "unknown_parameter");
}

TEST(CompletionRequestTest, SizesHaveLimits) {
  const CompletionLimits limits{.max_tokens = 100, .prompt_tokens = 10, .context = 12, .texts = 4};
  EXPECT_EQ(parsed(R"({"prompt": "abcdefgh", "max_tokens": 4})", false, limits).prompts[0].size(), 8u);
  const Refusal context = refused(R"({"prompt": "abcdefgh", "max_tokens": 5})", false, limits);
  EXPECT_EQ(context.code, "context_length_exceeded");
  EXPECT_THAT(context.message, HasSubstr("8 of the prompt and 5 of max_tokens are 13"));
  EXPECT_EQ(refused(R"({"prompt": "abcdefghijk", "max_tokens": 0})", false, limits).code,
            "context_length_exceeded");
  EXPECT_EQ(refused(R"({"prompt": ["a", "b", "c"], "n": 2, "max_tokens": 1})", false, limits).field,
            "prompt");
}

TEST(RequestBody, DeepNestingIsRefusedBeforeAnythingWalksThroughIt) {
  for (const std::size_t levels : {17u, 100000u, 1000000u}) {
    for (const std::string_view field : {"prompt", "temperature", "messages", "unknown"}) {
      const std::string body =
          "{\"" + std::string(field) + "\":" + std::string(levels, '[') + std::string(levels, ']') + "}";
      EXPECT_THAT([&] { parse_body(body); },
                  testing::ThrowsMessage<BadRequest>(testing::HasSubstr("nested deeper")));
    }
    std::string objects;
    for (std::size_t i = 0; i < levels; ++i) objects += "{\"a\":";
    EXPECT_THROW(parse_body(objects + "1" + std::string(levels, '}')), BadRequest);
    EXPECT_THROW(parse_body(objects), BadRequest);
  }
  EXPECT_NO_THROW(parse_body("{\"a\":" + std::string(15, '[') + std::string(15, ']') + "}"));
}

TEST(RequestBody, LongNamesAndValuesAreCut) {
  const nlohmann::json object = {{std::string(100000, 'x'), 1}};
  const Fields fields(object);
  try {
    fields.require_known();
    FAIL();
  } catch (const BadRequest& error) {
    EXPECT_LT(std::string(error.what()).size(), 200u);
    EXPECT_LT(error.field().size(), 60u);
  }
  EXPECT_LT(kind_of(std::string(100000, 'y')).size(), 60u);
}

}  // namespace
}  // namespace ecp::serve
