// A run's configuration (TOML); behind a NUL, overrides as `--set` takes them, one a line.
#include "ecp/config/config_file.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  const auto parts = fuzz::split(fuzz::text_of(data, size), std::string_view("\0", 1));
  std::string_view rest = parts.second;
  std::vector<std::string> overrides;
  while (!rest.empty()) {
    const auto [line, after] = fuzz::split(rest, "\n");
    overrides.emplace_back(line);
    rest = after;
  }
  fuzz::accepted([&] {
    const Config config = parse_config(parts.first, "input", overrides);
    const std::string text = to_toml(config);
    fuzz::expect(to_toml(parse_config(text, "again")) == text, "what is written is read");
  });
  return 0;
}
