#include "ecp/bench/bench.h"

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"

namespace ecp {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Turn {
  double seconds = 0;  // of a repeat
  double rate = 0;
  Timing timing;
};

Turn take_turn(const Work& work, int repeats) {
  check_interrupt();
  Turn turn;
  turn.timing = work.run(repeats);
  turn.seconds = std::max(turn.timing.seconds / repeats, 1e-9);
  turn.rate = work.amount / turn.seconds;
  return turn;
}

}  // namespace

BenchFigures measure(const Bench& bench, int rounds, const ProgressFunction& progress) {
  const auto done = [&](int round) {
    if (progress) {
      progress(
          {"measuring", static_cast<std::uint64_t>(round), static_cast<std::uint64_t>(rounds), "rounds"});
    }
  };
  done(0);
  take_turn(bench.ceiling, 1);
  for (const Work& work : bench.works) take_turn(work, 1);
  std::vector<double> ceiling;
  std::vector<std::vector<Turn>> turns(bench.works.size());
  for (int round = 0; round < rounds; ++round) {
    ceiling.push_back(take_turn(bench.ceiling, bench.ceiling.repeats).rate);
    for (std::size_t i = 0; i < bench.works.size(); ++i) {
      turns[i].push_back(take_turn(bench.works[i], bench.works[i].repeats));
    }
    done(round + 1);
  }
  BenchFigures figures;
  figures.ceiling = median(ceiling);
  for (std::size_t i = 0; i < bench.works.size(); ++i) {
    const Work& work = bench.works[i];
    std::vector<double> seconds, rates, shares;
    for (std::size_t round = 0; round < turns[i].size(); ++round) {
      seconds.push_back(turns[i][round].seconds);
      rates.push_back(turns[i][round].rate);
      shares.push_back(turns[i][round].rate / ceiling[round]);
    }
    Figure figure{work.name, median(seconds), median(rates), median(shares), 0, turns[i].back().timing.facts};
    figure.tokens_per_second = work.tokens / figure.seconds;
    figures.works.push_back(std::move(figure));
  }
  figures.peak_memory = peak_memory();
  return figures;
}

void answer_requests(const Bench& bench, std::istream& requests, std::ostream& answers) {
  for (std::string name; requests >> name;) {
    int repeats = 0;
    requests >> repeats;
    const Work* chosen = name == "ceiling" ? &bench.ceiling : nullptr;
    std::string names = "ceiling";
    for (const Work& work : bench.works) {
      if (work.name == name) chosen = &work;
      names += ", " + work.name;
    }
    require(chosen != nullptr && repeats > 0,
            "standard input: expected one of {} and a number of repeats, got '{}'", names, name);
    const Turn turn = take_turn(*chosen, repeats);
    nlohmann::ordered_json answer = {{"seconds", turn.seconds}, {"rate", turn.rate}};
    if (chosen->tokens > 0) answer["tokens_per_second"] = chosen->tokens / turn.seconds;
    answer["peak_memory"] = peak_memory();
    for (const auto& [fact, value] : turn.timing.facts) answer[fact] = value;
    answers << answer << std::endl;
  }
}

}  // namespace ecp
