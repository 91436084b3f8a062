// Timing beside a ceiling of the machine's own: what is measured and what bounds it take turns, and medians
// are taken. What others do on the same cores doesn't meet both alike: a product of matrices, which the units
// for numbers bound, hardly notices what halves a step. So turns that were disturbed are taken again, and
// rounds in which one stayed so are left out.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/progress.h"

namespace ecp {

/// What some repeats of a work took, without their preparation.
struct Timing {
  double seconds = 0;                                 // of all of them
  std::vector<std::pair<std::string, double>> facts;  // found beside: {"loss", 5.5}
};

struct Work {
  std::string name;   // "forward"
  double amount = 0;  // what a repeat does: operations, or bytes
  double tokens = 0;  // of a repeat; 0: it has none
  int repeats = 1;    // of a turn
  std::function<Timing(int repeats)> run;
};

struct Bench {
  std::string about;  // "ECP, sequence 8192, ..."
  std::string unit;   // of amounts per second: "FLOP/s", "B/s"
  Work ceiling;       // its name says what bounds: "matrix product"
  std::vector<Work> works;
};

/// Medians over the rounds that count.
struct Figure {
  std::string name;
  double seconds = 0;                                 // of a repeat
  double rate = 0;                                    // amount per second
  double share = 0;                                   // of the ceiling in the same round
  double tokens_per_second = 0;                       // 0: it has none
  std::vector<std::pair<std::string, double>> facts;  // of the last round
};

struct BenchFigures {
  double ceiling = 0;  // amount per second
  std::vector<Figure> works;
  std::uint64_t peak_memory = 0;  // of the process, in bytes
  int undisturbed = 0;            // rounds
  int counted = 0;                // the undisturbed ones if they are three at least, else all
};

/// Each once to warm up, then `rounds` rounds of the ceiling and each work. A turn waits for a moment until
/// `undisturbed` holds, and is taken up to four times until it holds after it as well. Stops at Interrupted.
BenchFigures measure(const Bench& bench, int rounds, const std::function<bool()>& undisturbed,
                     const ProgressFunction& progress = {});

/// For programs that time this beside others in turns: each line "NAME REPEATS" of `requests` is answered by
/// a line of JSON, {"seconds": of a repeat, "rate": amount per second, "tokens_per_second": ...,
/// "peak_memory":
/// ...} and what else the work tells. The ceiling's NAME is "ceiling". "undisturbed 1" is answered by
/// {"undisturbed": whether it is} (machine/undisturbed.h). Fails on any other line.
void answer_requests(const Bench& bench, std::istream& requests, std::ostream& answers);

}  // namespace ecp
