// config.json beside weights.
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const ModelConfig config = parse_model_json(fuzz::text_of(data, size), "input");
    const std::string json = to_json(config);
    fuzz::expect(to_json(parse_model_json(json, "again")) == json, "what is written is read");
    fuzz::accepted([&] { (void)parameter_count(config); });
  });
  return 0;
}
