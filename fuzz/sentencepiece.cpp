// A SentencePiece model without a recorded hash, as a stranger may send it: looked through (`check_model`),
// then used.
#include "ecp/text/sentencepiece.h"

#include "ecp/text/utf8.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  const std::string_view input = fuzz::text_of(data, size);
  fuzz::accepted([&] {
    const auto tokenizer = text::sentencepiece_tokenizer(std::string(input), "input", false);
    std::string pieces;
    for (Token id = 0; id < tokenizer->vocab_size(); ++id) pieces += tokenizer->bytes_of(id);
    pieces.resize(utf8_prefix(pieces).length);
    for (const std::string& text : {pieces, std::string("It is a truth, \u00e9\u2581 \u65e5\n  a\0b", 29),
                                    std::string(500, 'a'), std::string()}) {
      if (!is_utf8(text)) continue;
      const std::vector<Token> ids = tokenizer->encode(text);
      fuzz::expect(tokenizer->decode(ids) == text, "decode(encode(x)) == x");
    }
  });
  return 0;
}
