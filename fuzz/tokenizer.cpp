// A tokenizer's folder: tokenizer.json; behind a NUL, tokenizer.model.
#include "ecp/text/tokenizer.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const fuzz::Folder folder;
  const auto [json, model] = fuzz::split(fuzz::text_of(data, size), std::string_view("\0", 1));
  folder.write("tokenizer.json", json);
  folder.write("tokenizer.model", model);
  fuzz::accepted([&] {
    const auto tokenizer = load_tokenizer(folder.path());
    fuzz::expect(tokenizer->verified(), "a folder's tokenizer was compared with its hash");
    for (const std::string_view text : {"It is a truth\n", "", " \u2581 \n\n"}) {
      fuzz::expect(tokenizer->decode(tokenizer->encode(text)) == text, "decode(encode(x)) == x");
    }
  });
  return 0;
}
