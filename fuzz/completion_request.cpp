// The body of a request for completions, or, behind a first byte of 'c', for chat completions.
#include "ecp/serve/completion_request.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const auto tokenizer = byte_tokenizer();
  std::string_view input = fuzz::text_of(data, size);
  const bool chat = input.starts_with('c');
  if (chat) input.remove_prefix(1);
  fuzz::accepted([&] {
    const serve::CompletionLimits limits{.max_tokens = 1000, .prompt_tokens = 5000, .context = 0, .texts = 8};
    const serve::CompletionRequest request = serve::parse_completion(input, chat, *tokenizer, limits);
    request.sampling.validate();
    fuzz::expect(!request.prompts.empty(), "there is a prompt");
    std::size_t tokens = 0;
    for (const auto& prompt : request.prompts) {
      fuzz::expect(!prompt.empty(), "a prompt has tokens");
      tokens += prompt.size();
      for (const Token token : prompt) fuzz::expect(token < 256, "tokens are of the vocabulary");
    }
    fuzz::expect(tokens <= 5000, "prompts have a limit");
    fuzz::expect(
        request.choices >= 1 && static_cast<std::int64_t>(request.prompts.size()) * request.choices <= 8,
        "texts have a limit");
    fuzz::expect(request.sampling.max_tokens >= 0 && request.sampling.max_tokens <= 1000, "so have tokens");
  });
  return 0;
}
