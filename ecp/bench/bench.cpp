#include "ecp/bench/bench.h"

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/machine/undisturbed.h"

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

struct Round {
  Turn ceiling;
  std::vector<Turn> works;
};

}  // namespace

BenchFigures measure(const Bench& bench, int rounds, const std::function<bool()>& undisturbed,
                     const ProgressFunction& progress) {
  const auto done = [&](int round) {
    if (progress) {
      progress(
          {"measuring", static_cast<std::uint64_t>(round), static_cast<std::uint64_t>(rounds), "rounds"});
    }
  };
  done(0);
  take_turn(bench.ceiling, 1);
  for (const Work& work : bench.works) take_turn(work, 1);
  std::vector<Round> all, quiet;
  bool before = undisturbed();
  const auto turn_of = [&](const Work& work, bool& disturbed) {
    constexpr int tries = 4, looks = 100;
    for (int i = 1;; ++i) {
      for (int look = 0; !before && look < looks; ++look) before = undisturbed();
      Turn turn = take_turn(work, work.repeats);
      const bool after = undisturbed(), good = before && after;
      before = after;
      if (!good && i == tries) disturbed = true;
      if (good || i == tries) return turn;
    }
  };
  for (int i = 0; i < rounds; ++i) {
    bool disturbed = false;
    Round round{turn_of(bench.ceiling, disturbed), {}};
    for (const Work& work : bench.works) round.works.push_back(turn_of(work, disturbed));
    if (!disturbed) quiet.push_back(round);
    all.push_back(std::move(round));
    done(i + 1);
  }
  const std::vector<Round>& counted = quiet.size() >= 3 ? quiet : all;
  const auto median_of = [&](const auto& value) {
    std::vector<double> values;
    for (const Round& round : counted) values.push_back(value(round));
    return median(std::move(values));
  };
  BenchFigures figures;
  figures.undisturbed = static_cast<int>(quiet.size());
  figures.counted = static_cast<int>(counted.size());
  figures.ceiling = median_of([](const Round& round) { return round.ceiling.rate; });
  for (std::size_t i = 0; i < bench.works.size(); ++i) {
    Figure figure;
    figure.name = bench.works[i].name;
    figure.seconds = median_of([i](const Round& round) { return round.works[i].seconds; });
    figure.rate = median_of([i](const Round& round) { return round.works[i].rate; });
    figure.share = median_of([i](const Round& round) { return round.works[i].rate / round.ceiling.rate; });
    figure.tokens_per_second = bench.works[i].tokens / figure.seconds;
    figure.facts = all.back().works[i].timing.facts;
    figures.works.push_back(std::move(figure));
  }
  figures.peak_memory = peak_memory();
  return figures;
}

void answer_requests(const Bench& bench, std::istream& requests, std::ostream& answers) {
  std::optional<Undisturbed> undisturbed;  // looks at the machine for a second first
  for (std::string name; requests >> name;) {
    int repeats = 0;
    requests >> repeats;
    if (name == "undisturbed" && repeats == 1) {
      if (!undisturbed) undisturbed.emplace();
      answers << nlohmann::json{{"undisturbed", (*undisturbed)()}} << std::endl;
      continue;
    }
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
