// A comparison file (TOML).
#include "ecp/config/comparison_config.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  const std::string_view input = fuzz::text_of(data, size);
  fuzz::accepted([&] {
    is_comparison(input, "input");
    const std::string text = to_toml(parse_comparison(input, "input"));
    fuzz::expect(is_comparison(text, "again"), "what is written is a comparison");
    fuzz::expect(to_toml(parse_comparison(text, "again")) == text, "what is written is read");
  });
  return 0;
}
