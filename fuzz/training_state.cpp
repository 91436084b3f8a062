// state.json of a checkpoint that training goes on from.
#include "ecp/train/training_state.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const TrainingState state = parse_training_state(fuzz::text_of(data, size), "input");
    const std::string json = to_json(state);
    fuzz::expect(to_json(parse_training_state(json, "again")) == json, "what is written is read");
  });
  return 0;
}
