#include "ecp/base/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Example {
  bool on = false;
  std::int64_t count = 3;
  double rate = 0.5;
  std::string mode = "slow";
  std::string name;
  std::vector<std::string> files;
  std::vector<double> weights;

  template <class Visitor>
  void visit(Visitor& v) {
    v.flag("on", on, "a switch");
    v.integer("count", count, {1, 10}, "how many");
    v.number("rate", rate, {0, 1}, "how fast");
    v.choice("mode", mode, {"slow", "fast"}, "how");
    v.text("name", name, "any text");
    v.texts("files", files, "paths");
    v.numbers("weights", weights, {0, 100}, "shares");
  }
};

class Fields : public ::testing::Test {
 protected:
  const Field& field(const std::string& name) { return find_field(fields_, "example", name, "f.toml:1"); }
  /// Assigns a value; returns what the error says, or "".
  template <class Value>
  std::string set(const std::string& name, Value value) {
    return error_of([&] { assign(field(name), "example", {value, "f.toml:7"}); });
  }
  std::string override_with(const std::string& name, std::string_view text) {
    return error_of([&] { assign(field(name), "example", parse_override(field(name), "example", text)); });
  }

  Example example_;
  std::vector<Field> fields_ = FieldList(example_).fields;
};

TEST_F(Fields, ValuesOfTheirTypeAreStored) {
  EXPECT_EQ(set("on", true), "");
  EXPECT_EQ(set("count", std::int64_t{10}), "");
  EXPECT_EQ(set("rate", 1.0), "");
  EXPECT_EQ(set("mode", std::string("fast")), "");
  EXPECT_EQ(set("files", std::vector<std::string>{"a", "b"}), "");
  EXPECT_EQ(set("weights", std::vector<double>{0, 100}), "");
  EXPECT_TRUE(example_.on);
  EXPECT_EQ(example_.count, 10);
  EXPECT_EQ(example_.rate, 1.0);
  EXPECT_EQ(example_.mode, "fast");
  EXPECT_THAT(example_.files, ElementsAre("a", "b"));
  EXPECT_THAT(example_.weights, ElementsAre(0, 100));
}

TEST_F(Fields, WholeNumbersServeAsNumbersAndOneStringAsAList) {
  EXPECT_EQ(set("rate", std::int64_t{1}), "");
  EXPECT_EQ(example_.rate, 1.0);
  EXPECT_EQ(set("files", std::string("one")), "");
  EXPECT_THAT(example_.files, ElementsAre("one"));
  EXPECT_EQ(set("files", std::vector<double>{}), "") << "an empty list has no type";
  EXPECT_THAT(example_.files, IsEmpty());
}

TEST_F(Fields, WrongTypesSayWhatWasExpected) {
  EXPECT_EQ(set("on", std::int64_t{1}), "f.toml:7: example.on: expected true or false, got 1");
  EXPECT_EQ(set("count", 3.5), "f.toml:7: example.count: expected a whole number, got 3.5");
  EXPECT_EQ(set("count", 3.0), "f.toml:7: example.count: expected a whole number, got 3");
  EXPECT_EQ(set("rate", std::string("x")), "f.toml:7: example.rate: expected a number, got 'x'");
  EXPECT_EQ(set("name", true), "f.toml:7: example.name: expected a string, got true");
  EXPECT_EQ(set("files", std::vector<double>{1}),
            "f.toml:7: example.files: expected a list of strings, got a list of numbers");
  EXPECT_EQ(set("weights", 1.0), "f.toml:7: example.weights: expected a list of numbers, got 1");
  EXPECT_EQ(example_.count, 3) << "a refused value changes nothing";
}

TEST_F(Fields, RangesAreInclusiveAndRefuseWhatIsNotFinite) {
  EXPECT_EQ(set("count", std::int64_t{1}), "");
  EXPECT_EQ(set("count", std::int64_t{0}), "f.toml:7: example.count: expected 1 to 10, got 0");
  EXPECT_EQ(set("count", std::int64_t{11}), "f.toml:7: example.count: expected 1 to 10, got 11");
  EXPECT_NE(set("count", std::numeric_limits<std::int64_t>::min()), "");
  EXPECT_EQ(set("rate", -0.001), "f.toml:7: example.rate: expected 0 to 1, got -0.001");
  EXPECT_EQ(set("rate", std::nan("")), "f.toml:7: example.rate: expected 0 to 1, got nan");
  EXPECT_EQ(set("rate", std::numeric_limits<double>::infinity()),
            "f.toml:7: example.rate: expected 0 to 1, got inf");
  EXPECT_EQ(set("weights", std::vector<double>{1, -1}),
            "f.toml:7: example.weights: expected 0 to 100, got -1");
}

TEST_F(Fields, UnknownNamesAndChoicesAreGuessed) {
  EXPECT_EQ(error_of([&] { field("cuont"); }),
            "f.toml:1: unknown key 'example.cuont' (did you mean 'count'?)");
  EXPECT_EQ(error_of([&] { field("zzzzzz"); }),
            "f.toml:1: unknown key 'example.zzzzzz' (keys: on, count, rate, mode, name, files, weights)");
  EXPECT_EQ(set("mode", std::string("fsat")),
            "f.toml:7: example.mode: expected slow or fast, got 'fsat' (did you mean 'fast'?)");
}

TEST_F(Fields, OverridesAreReadAsTheFieldsType) {
  EXPECT_EQ(override_with("on", "true"), "");
  EXPECT_EQ(override_with("count", "7"), "");
  EXPECT_EQ(override_with("rate", "2.5e-1"), "");
  EXPECT_EQ(override_with("name", "true"), "");
  EXPECT_EQ(override_with("files", "a.npy, \"b.npy\""), "");
  EXPECT_EQ(override_with("weights", "[1, 2.5]"), "");
  EXPECT_TRUE(example_.on);
  EXPECT_EQ(example_.count, 7);
  EXPECT_EQ(example_.rate, 0.25);
  EXPECT_EQ(example_.name, "true");
  EXPECT_THAT(example_.files, ElementsAre("a.npy", "b.npy"));
  EXPECT_THAT(example_.weights, ElementsAre(1, 2.5));
  EXPECT_EQ(override_with("files", "[]"), "");
  EXPECT_THAT(example_.files, IsEmpty());
  EXPECT_EQ(override_with("name", "\"a b\""), "");
  EXPECT_EQ(example_.name, "a b");
  EXPECT_EQ(override_with("name", "\"\""), "");
  EXPECT_EQ(example_.name, "");
}

TEST_F(Fields, OverridesMustBeWholeValues) {
  EXPECT_EQ(override_with("on", "yes"), "--set: example.on: expected true or false, got 'yes'");
  EXPECT_EQ(override_with("count", "7x"), "--set: example.count: expected a whole number, got '7x'");
  EXPECT_EQ(override_with("count", ""), "--set: example.count: expected a whole number, got ''");
  EXPECT_EQ(override_with("count", "99999999999999999999"),
            "--set: example.count: expected a whole number, got '99999999999999999999'");
  EXPECT_EQ(override_with("rate", "fast"), "--set: example.rate: expected a number, got 'fast'");
  EXPECT_EQ(override_with("rate", "nan"), "--set: example.rate: expected 0 to 1, got nan");
  EXPECT_EQ(override_with("weights", "1,,2"),
            "--set: example.weights: expected a list of numbers, got '1,,2'");
}

TEST_F(Fields, TomlKeepsTypesApartAndEscapes) {
  example_.rate = 1;
  example_.name = "tab\there \"quoted\" back\\slash\nline \x01 \x7f é";
  example_.files = {"a", "b\"c"};
  example_.weights = {1, 0.1, 1e300, 1e-9};
  EXPECT_EQ(to_toml(field("on")), "false");
  EXPECT_EQ(to_toml(field("count")), "3");
  EXPECT_EQ(to_toml(field("rate")), "1.0");
  EXPECT_EQ(to_toml(field("name")), R"("tab\there \"quoted\" back\\slash\nline \u0001 \u007f é")");
  EXPECT_EQ(to_toml(field("files")), R"(["a", "b\"c"])");
  EXPECT_EQ(to_toml(field("weights")), "[1.0, 0.1, 1e+300, 1e-09]");
}

}  // namespace
}  // namespace ecp
