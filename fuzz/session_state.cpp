// The state in a session's file.
#include "ecp/runtime/session_state.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const runtime::SessionState state = runtime::parse_session_state(fuzz::text_of(data, size), "input");
    const std::string json = runtime::to_json(state);
    fuzz::expect(runtime::to_json(runtime::parse_session_state(json, "again")) == json,
                 "what is written is read");
  });
  return 0;
}
