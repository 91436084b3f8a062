// A Hugging Face tokenizer.json as a stranger may send it, then texts through it.
#include "ecp/text/tokenizer.h"

#include <algorithm>

#include "ecp/text/utf8.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const fuzz::Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  folder.write("tokenizer.json", input);
  fuzz::accepted([&] {
    const auto tokenizer = load_tokenizer(folder / "tokenizer.json");
    for (const std::string_view text : {input, std::string_view("It's a truth, \u00e9 \u65e5\n  12 <s> a")}) {
      if (!is_utf8(text)) continue;
      std::vector<Token> ids;
      if (!fuzz::accepted([&] { ids = tokenizer->encode(text); })) continue;
      const std::string decoded = tokenizer->decode(ids);
      // A text that spells the end-of-text token becomes it, and it stands for nothing.
      const auto end = tokenizer->end_of_text();
      if (end && std::find(ids.begin(), ids.end(), *end) != ids.end()) continue;
      fuzz::expect(!tokenizer->lossless() || decoded == text, "decode(encode(x)) == x");
    }
  });
  return 0;
}
