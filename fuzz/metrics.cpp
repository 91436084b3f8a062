// metrics.jsonl of a run, which a killed program may have cut off.
#include "ecp/experiment/run_log.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const RunLog log = parse_metrics(fuzz::text_of(data, size), "input");
    std::int64_t step = -1;
    for (const TrainPoint& point : log.train)
      fuzz::expect(std::exchange(step, point.step) < point.step, "steps rise");
  });
  return 0;
}
