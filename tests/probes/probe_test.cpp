// Generated examples, read back by rules written down a second time.
#include "ecp/probes/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "ecp/probes/tasks.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::int64_t at(const std::vector<std::int64_t>& values, std::int64_t row) {
  return values.at(static_cast<std::size_t>(row));
}

std::vector<std::int64_t> asked(const ProbeExample& example) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < example.targets.size(); ++i)
    if (example.targets[i] >= 0) rows.push_back(static_cast<std::int64_t>(i));
  return rows;
}

ProbeSettings settings_of(const std::string& task, std::int64_t n, std::int64_t items = 0,
                          std::int64_t nearest = 0, std::int64_t farthest = 0) {
  return {task, n, nearest, farthest, items};
}

/// Settings whose distances leave some choice, and any number of an example.
ProbeSettings any_settings(const std::string& task, std::int64_t least_items, std::int64_t most_items) {
  const auto items = *rc::gen::inRange(least_items, most_items + 1);
  const auto n = *rc::gen::inRange<std::int64_t>(4 * items + 8, 300);
  const auto probe = make_probe(settings_of(task, n, items));
  const auto a = *rc::gen::inRange(probe->facts().least_distance, probe->facts().most_distance + 1),
             b = *rc::gen::inRange(probe->facts().least_distance, probe->facts().most_distance + 1);
  return settings_of(task, n, items, std::min(a, b), std::max(a, b));
}

/// Checks what every example must be; the rows that are asked.
std::vector<std::int64_t> check_example(const Probe& probe, const ProbeExample& example) {
  const auto n = static_cast<std::size_t>(probe.settings().sequence);
  RC_ASSERT(example.tokens.size() == n);
  RC_ASSERT(example.targets.size() == n);
  for (const std::int64_t token : example.tokens) RC_ASSERT(token >= 0 && token < probe.facts().vocab);
  for (const std::int64_t target : example.targets) RC_ASSERT(target >= -1 && target < probe.facts().vocab);
  const auto rows = asked(example);
  RC_ASSERT(!rows.empty());
  RC_ASSERT(rows.back() == probe.settings().sequence - 1);
  return rows;
}

constexpr std::int64_t key_mark = 10, question_mark = 11;

/// Checks the question whose last row is `last`; its distance.
std::int64_t check_passkey(const ProbeExample& example, std::int64_t items, std::int64_t last) {
  const std::int64_t first = last - items + 1;
  RC_ASSERT(at(example.tokens, first) == question_mark);
  std::int64_t mark = first - 1;
  while (at(example.tokens, mark) != key_mark) --mark;  // the last key before the question
  for (std::int64_t i = 0; i < items; ++i) {
    const std::int64_t digit = at(example.tokens, mark + 1 + i);
    RC_ASSERT(digit < 10);
    RC_ASSERT(at(example.targets, first + i) == digit);
    if (i + 1 < items) RC_ASSERT(at(example.tokens, first + i + 1) == digit);
  }
  for (std::int64_t row = mark + 1 + items; row < first; ++row)
    RC_ASSERT(at(example.tokens, row) > question_mark);  // no mark and no digit between
  return first - (mark + 1);
}

RC_GTEST_PROP(Passkey, AsksForTheLastKeysDigits, ()) {
  const auto probe = make_probe(any_settings("passkey", 1, 8));
  const auto number = *rc::gen::arbitrary<std::uint64_t>();
  ProbeExample example = probe->training(1, number);
  std::vector<std::int64_t> rows = check_example(*probe, example);
  RC_ASSERT(rows.size() % static_cast<std::size_t>(probe->settings().items) == 0);
  for (std::size_t i = static_cast<std::size_t>(probe->settings().items) - 1; i < rows.size();
       i += static_cast<std::size_t>(probe->settings().items)) {
    const std::int64_t distance = check_passkey(example, probe->settings().items, rows[i]);
    RC_ASSERT(distance >= probe->settings().nearest && distance <= probe->settings().farthest);
  }
  const auto distance = *rc::gen::inRange(probe->facts().least_distance, probe->facts().most_distance + 1);
  example = probe->at(distance, 1, number);
  rows = check_example(*probe, example);
  RC_ASSERT(static_cast<std::int64_t>(rows.size()) == probe->facts().answers);
  RC_ASSERT(rows.front() >= probe->settings().sequence - probe->facts().rows_asking);
  RC_ASSERT(check_passkey(example, probe->settings().items, rows.back()) == distance);
}

/// Checks that `row` asks for the value of a key that stands once before, and is asked for once; how far
/// back the value is.
std::int64_t check_recall(const ProbeExample& example, std::int64_t row) {
  const std::int64_t key = at(example.tokens, row);
  RC_ASSERT(std::count(example.tokens.begin(), example.tokens.end(), key) == 2);
  const auto place = std::find(example.tokens.begin(), example.tokens.end(), key) - example.tokens.begin();
  RC_ASSERT(place + 1 < row);
  RC_ASSERT(at(example.targets, place) == -1);
  RC_ASSERT(at(example.targets, row) == at(example.tokens, place + 1));
  return row - (place + 1);
}

RC_GTEST_PROP(Recall, AsksForTheValuesOfKeys, ()) {
  const auto probe = make_probe(any_settings("recall", 1, 12));
  const auto number = *rc::gen::arbitrary<std::uint64_t>();
  ProbeExample example = probe->training(1, number);
  for (const std::int64_t row : check_example(*probe, example)) {
    const std::int64_t distance = check_recall(example, row);
    RC_ASSERT(distance >= probe->settings().nearest && distance <= probe->settings().farthest);
  }
  const auto distance = *rc::gen::inRange(probe->facts().least_distance, probe->facts().most_distance + 1);
  example = probe->at(distance, 1, number);
  const auto rows = check_example(*probe, example);
  RC_ASSERT(static_cast<std::int64_t>(rows.size()) == probe->settings().items);
  RC_ASSERT(rows.front() >= probe->settings().sequence - probe->facts().rows_asking);
  for (const std::int64_t row : rows) RC_ASSERT(check_recall(example, row) == distance);
}

/// Reads an expression from its first token on.
struct Reader {
  const std::vector<std::int64_t>& tokens;
  std::size_t place = 0;
  std::int64_t deepest = 0, most_arguments = 0;
  std::set<std::int64_t> operations = {};

  std::int64_t read(std::int64_t depth = 0) {
    const std::int64_t token = tokens.at(place++);
    if (token < 10) return token;
    deepest = std::max(deepest, depth + 1);
    operations.insert(token);
    std::vector<std::int64_t> arguments;
    while (tokens.at(place) != listops::close) arguments.push_back(read(depth + 1));
    ++place;
    const auto count = static_cast<std::int64_t>(arguments.size());
    RC_ASSERT(count >= 2);
    most_arguments = std::max(most_arguments, count);
    if (token == listops::minimum) return *std::min_element(arguments.begin(), arguments.end());
    if (token == listops::maximum) return *std::max_element(arguments.begin(), arguments.end());
    if (token == listops::sum)
      return std::accumulate(arguments.begin(), arguments.end(), std::int64_t{0}) % 10;
    RC_ASSERT(token == listops::median);
    std::sort(arguments.begin(), arguments.end());
    return (arguments[static_cast<std::size_t>((count - 1) / 2)] +
            arguments[static_cast<std::size_t>(count / 2)]) /
           2;
  }
};

RC_GTEST_PROP(ListOps, AsksForTheExpressionsValue, ()) {
  const auto probe = make_probe(any_settings("listops", 4, 12));
  const auto number = *rc::gen::arbitrary<std::uint64_t>();
  const auto distance = *rc::gen::inRange(probe->facts().least_distance, probe->facts().most_distance + 1);
  const ProbeExample example = probe->at(distance, 1, number);
  RC_ASSERT(check_example(*probe, example).size() == 1U);
  const auto n = static_cast<std::size_t>(probe->settings().sequence),
             length = static_cast<std::size_t>(distance);
  for (std::size_t i = 0; i < n - 1 - length; ++i) RC_ASSERT(example.tokens[i] == listops::padding);
  RC_ASSERT(example.tokens.back() == listops::equals);
  Reader reader{example.tokens, n - 1 - length};
  RC_ASSERT(reader.read() == example.targets.back());
  RC_ASSERT(reader.place == n - 1);
  RC_ASSERT(reader.deepest <= 10);
  RC_ASSERT(reader.most_arguments <= probe->settings().items);

  const ProbeExample training = probe->training(1, number);
  check_example(*probe, training);
  const auto begin = std::find_if(training.tokens.begin(), training.tokens.end(),
                                  [](std::int64_t token) { return token != listops::padding; });
  const auto trained = training.tokens.end() - begin - 1;
  RC_ASSERT(trained >= probe->settings().nearest && trained <= probe->settings().farthest);
}

TEST(ListOps, EveryLengthHasAnExpressionUpToTheLongest) {
  for (const std::int64_t items : {4, 10}) {
    const auto probe = make_probe(settings_of("listops", 200, items));
    EXPECT_EQ(probe->facts().most_distance, 199);
    std::set<std::int64_t> seen;
    for (std::int64_t length = 4; length <= 199; ++length)
      for (const std::int64_t token : probe->at(length, 3, static_cast<std::uint64_t>(length)).tokens)
        seen.insert(token);
    EXPECT_EQ(seen.size(), 17U) << "every token there is";
  }
  const auto far = make_probe(settings_of("listops", 100'000));
  EXPECT_EQ(asked(far->at(99'999, 1, 1)).size(), 1U);
}

TEST(Probe, ExamplesAreFunctionsOfSeedAndNumber) {
  for (const char* task : {"passkey", "recall", "listops"}) {
    const auto probe = make_probe(settings_of(task, 128));
    const auto one = probe->training(1, 5), again = probe->training(1, 5);
    EXPECT_EQ(one.tokens, again.tokens);
    EXPECT_EQ(one.targets, again.targets);
    EXPECT_NE(one.tokens, probe->training(1, 6).tokens);
    EXPECT_NE(one.tokens, probe->training(2, 5).tokens);
    EXPECT_NE(probe->at(40, 1, 5).tokens, probe->at(40, 1, 6).tokens);
  }
}

TEST(Probe, AnswersAreSpreadEvenly) {
  for (const char* task : {"passkey", "recall"}) {
    const auto probe = make_probe(settings_of(task, 64));
    std::vector<std::int64_t> seen(static_cast<std::size_t>(probe->facts().vocab), 0);
    std::int64_t all = 0;
    for (std::uint64_t number = 0; number < 500; ++number)
      for (const std::int64_t target : probe->training(1, number).targets)
        if (target >= 0) ++seen[static_cast<std::size_t>(target)], ++all;
    const auto most = static_cast<double>(*std::max_element(seen.begin(), seen.end()));
    EXPECT_LT(most / static_cast<double>(all), 2 * probe->facts().chance) << task;
  }
}

TEST(Probe, MistakesAreTold) {
  const auto message = [](const ProbeSettings& settings) { return error_of([&] { make_probe(settings); }); };
  EXPECT_THAT(message(settings_of("pasky", 64)),
              HasSubstr("unknown probe 'pasky' (did you mean 'passkey'?)"));
  EXPECT_THAT(message(settings_of("passkey", 10)), HasSubstr("with 5 items doesn't fit into 10 tokens"));
  EXPECT_EQ(make_probe(settings_of("passkey", 11))->description(),
            "passkey of 5 items at distances 5 to 5 in 11 tokens");
  EXPECT_THAT(
      message(settings_of("passkey", 64, 5, 4)),
      HasSubstr("data.probe_nearest: expected 5 to 58 (\"passkey\" with 5 items in 64 tokens), got 4"));
  EXPECT_THAT(message(settings_of("recall", 64, 0, 20, 19)),
              HasSubstr("data.probe_farthest: expected 20 to 48"));
  EXPECT_THAT(message(settings_of("listops", 64, 3)), HasSubstr("at least 4 arguments of a list, got 3"));
  EXPECT_THAT(message(settings_of("recall", INT64_MAX)), HasSubstr("expected sizes of 0 to 2147483647"));
  const auto probe = make_probe(settings_of("passkey", 64));
  EXPECT_THAT(error_of([&] { (void)probe->at(59, 1, 1); }), HasSubstr("distance: expected 5 to 58"));
}

TEST(Probe, EvenDistances) {
  EXPECT_THAT(even_distances(5, 5, 16), ElementsAre(5));
  EXPECT_THAT(even_distances(1, 4, 16), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(even_distances(10, 20, 3), ElementsAre(10, 15, 20));
  EXPECT_THAT(even_distances(10, 20, 1), ElementsAre(10));
}

}  // namespace
}  // namespace ecp
