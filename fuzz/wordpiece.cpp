// BERT's vocab.txt as a stranger may send it, then texts through it.
#include "ecp/text/wordpiece.h"

#include "ecp/text/utf8.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  if (size == 0) return 0;
  const std::string_view input = fuzz::text_of(data, size).substr(1);
  fuzz::accepted([&] {
    const auto tokenizer = text::wordpiece_tokenizer(std::string(input), "input", data[0] % 2 == 0, false);
    for (const std::string_view text :
         {input, std::string_view("It is a Truth, \u00e9 \u65e5\n <unk> x\u0301\n")}) {
      if (!is_utf8(text)) continue;
      for (const Token id : tokenizer->encode(text)) {
        fuzz::expect(id < static_cast<std::uint64_t>(tokenizer->vocab_size()),
                     "ids are below the vocabulary's size");
        fuzz::expect(is_utf8(tokenizer->bytes_of(id)), "pieces are text");
      }
    }
  });
  return 0;
}
