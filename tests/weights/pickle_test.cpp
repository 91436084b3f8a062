#include "ecp/weights/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "ecp/base/error.h"
#include "tests/support/errors.h"
#include "tests/support/torch_writer.h"

namespace ecp {
namespace {

using test::little;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = PickleValue::Kind;
namespace p = test::pickle;

constexpr std::array<std::string_view, 1> allowed = {"maker.make"};

Pickle read(const std::string& bytes) { return {std::as_bytes(std::span(bytes)), "x", allowed}; }

std::string message_of(const std::string& bytes) {
  return test::error_of([&] { read(bytes); });
}

TEST(Pickle, ReadsNumbers) {
  const std::string bytes = p::whole(
      p::list({"K\xff", "M\xff\xff", "J\xfe\xff\xff\xff", p::integer(INT64_MIN), std::string("\x8a\0", 2),
               "\x8a\x01\xff", std::string("\x8b\x02\0\0\0\0\x80", 7), p::number(-1.5), "\x88", "\x89", "N",
               "\x8a\x09"
               "123456789"}));
  const Pickle pickle = read(bytes);
  EXPECT_EQ(pickle.size(), bytes.size());
  ASSERT_EQ(pickle.root().kind, Kind::list);
  std::vector<std::int64_t> integers;
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(pickle[pickle.root().items[i]].kind, Kind::integer);
    integers.push_back(pickle[pickle.root().items[i]].integer);
  }
  EXPECT_THAT(integers, ElementsAre(255, 65535, -2, INT64_MIN, 0, -1, -32768));
  const auto item = [&](std::size_t i) { return pickle[pickle.root().items[i]]; };
  EXPECT_EQ(item(7).number, -1.5);
  EXPECT_EQ(item(8).kind, Kind::boolean);
  EXPECT_EQ(item(8).integer, 1);
  EXPECT_EQ(item(9).integer, 0);
  EXPECT_EQ(item(10).kind, Kind::none);
  EXPECT_EQ(item(11).kind, Kind::big_integer);
  EXPECT_EQ(item(11).text, "123456789");
}

TEST(Pickle, ReadsTextAndBytesOfAllLengths) {
  const std::string bytes =
      p::whole(p::list({p::text("a"),
                        "\x8c\x02"
                        "bc",
                        "\x8d" + little<std::uint64_t>(1) + "d",
                        "U\x01"
                        "e",
                        "T" + little<std::uint32_t>(1) + "f", "C\x01g", "B" + little<std::uint32_t>(1) + "h",
                        "\x8e" + little<std::uint64_t>(1) + "i"}),
               5);
  const Pickle pickle = read(bytes);
  std::string texts;
  for (const Pickle::Id id : pickle.root().items) {
    texts += pickle[id].text;
    EXPECT_EQ(pickle[id].kind, texts.size() <= 6 ? Kind::text : Kind::bytes);
  }
  EXPECT_EQ(texts, "abcdefghi");
}

TEST(Pickle, ReadsContainers) {
  // {"t": (1, 2, 3, 4), "l": [5], "d": {}} as several instructions would make them, the last key twice.
  const std::string bytes = p::whole("}" + p::text("t") + "(K\1K\2K\3K\4ts" + p::text("l") + "]K\5as" + "(" +
                                     p::text("d") + "N" + p::text("d") + "}u");
  const Pickle pickle = read(bytes);
  EXPECT_EQ(pickle.find(pickle.root(), "t")->items.size(), 4u);
  EXPECT_EQ(pickle[pickle.find(pickle.root(), "l")->items[0]].integer, 5);
  EXPECT_EQ(pickle.find(pickle.root(), "d")->kind, Kind::dict) << "the later one counts";
  EXPECT_EQ(pickle.find(pickle.root(), "x"), nullptr);
  EXPECT_THAT(test::error_of([&] { (void)pickle.find(*pickle.find(pickle.root(), "l"), "x"); }),
              HasSubstr("got a list"));
  const std::string others = p::whole(
      "(K\1K\2l(K\3K\4d\x86"
      "0)");  // a list and a dict in one go, then dropped
  EXPECT_EQ(read(others).root().items.size(), 0u);
}

TEST(Pickle, WhatIsRememberedIsTheSameValue) {
  // l = []; (l, l), of which one is added to afterwards through the memo.
  for (const std::string& remembered : {std::string("q\7"), "r" + little<std::uint32_t>(7)}) {
    const std::string bytes = p::whole("]" + remembered + "h\7\x86h\7K\1a0");
    const Pickle pickle = read(bytes);
    ASSERT_EQ(pickle.root().items.size(), 2u);
    EXPECT_EQ(pickle.root().items[0], pickle.root().items[1]);
    EXPECT_EQ(pickle[pickle.root().items[0]].items.size(), 1u);
  }
  const std::string memoized = p::whole("]\x94j" + little<std::uint32_t>(0) + "\x86", 4);
  EXPECT_EQ(read(memoized).root().items.size(), 2u);
}

TEST(Pickle, AListWithinItselfIsNoTrouble) {
  const std::string bytes = p::whole("]q\1h\1a");
  const Pickle pickle = read(bytes);
  EXPECT_EQ(&pickle[pickle.root().items[0]], &pickle.root());
}

TEST(Pickle, DepthIsNoTrouble) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "(";
  EXPECT_THAT(message_of("\x80\2" + deep), HasSubstr("truncated"));
  deep = ")";
  for (int i = 0; i < 200'000; ++i) deep += "\x85";
  const std::string bytes = p::whole(deep);
  EXPECT_EQ(read(bytes).values().size(), 200'001u);
}

TEST(Pickle, OrderedDictsAreDictsAndTheirAttributesAreDropped) {
  const std::string made = p::call(p::global("collections", "OrderedDict"), {});
  const std::string bytes = p::whole(made + p::text("k") + "K\1s" + p::dict({{"_metadata", made}}) + "b");
  const Pickle pickle = read(bytes);
  EXPECT_EQ(pickle.find(pickle.root(), "k")->integer, 1);
  EXPECT_EQ(pickle.root().items.size(), 2u);
  EXPECT_THAT(message_of(p::whole(p::call(p::global("collections", "OrderedDict"), {"]"}))),
              HasSubstr("it is given 1 arguments"));
}

TEST(Pickle, CallsOfKnownNamesAreValues) {
  for (const std::string& name : {p::global("maker", "make"), p::text("maker") + p::text("make") + "\x93"}) {
    const std::string bytes = p::whole(p::call(name, {"K\1", p::text("id") + "Q"}), 4);
    const Pickle pickle = read(bytes);
    ASSERT_EQ(pickle.root().kind, Kind::call);
    EXPECT_EQ(pickle[pickle.root().items[0]].text, "maker.make");
    const auto& arguments = pickle[pickle.root().items[1]].items;
    ASSERT_EQ(arguments.size(), 2u);
    EXPECT_EQ(pickle[arguments[1]].kind, Kind::persistent);
    EXPECT_EQ(pickle[pickle[arguments[1]].items[0]].text, "id");
  }
}

TEST(Pickle, OtherNamesAreRefusedByName) {
  const std::string command = p::text("rm -rf /");
  for (const auto& [module, name] :
       {std::pair("posix", "system"), {"builtins", "eval"}, {"os", "system"}, {"maker", "make2"}}) {
    const std::string full = "'" + std::string(module) + "." + name + "', refused";
    EXPECT_THAT(message_of(p::whole(p::call(p::global(module, name), {command}))), HasSubstr(full));
    EXPECT_THAT(message_of(p::whole(p::text(module) + p::text(name) + "\x93" + command + "\x85R", 4)),
                HasSubstr(full));
    EXPECT_THAT(message_of('(' + command + 'i' + module + '\n' + name + "\n."),
                HasSubstr("INST of '" + std::string(module) + "." + name));
  }
  EXPECT_THAT(message_of(std::string("cposix\nsystem\n(S'id'\ntR.")), HasSubstr("'posix.system', refused"))
      << "protocol 0";
  EXPECT_THAT(message_of(p::whole(p::global("a\x1b[2J", "b"))), HasSubstr("'a\\x1b[2J.b'"))
      << "terminals aren't steered";
}

TEST(Pickle, OtherInstructionsAreRefusedByName) {
  for (const auto& [instruction, name] :
       std::initializer_list<std::pair<std::string, std::string>>{{"S'a'\n", "STRING"},
                                                                  {"I1\n", "INT"},
                                                                  {"P1\n", "PERSID"},
                                                                  {"(o", "OBJ"},
                                                                  {")\x81", "NEWOBJ"},
                                                                  {"\x82\1", "EXT1"},
                                                                  {"\x8f", "EMPTY_SET"},
                                                                  {"\x92", "NEWOBJ_EX"},
                                                                  {"\x97", "NEXT_BUFFER"}}) {
    EXPECT_THAT(message_of(p::whole(instruction)), HasSubstr(": " + name + ", refused")) << name;
  }
  EXPECT_THAT(message_of(p::whole("\xff")), HasSubstr("0xff is not an instruction of a pickle"));
  EXPECT_THAT(message_of(p::whole(p::call(p::global("maker", "make"), {}) + "}b")),
              HasSubstr("BUILD of a call, refused"));
  EXPECT_THAT(message_of(p::whole("]}b")), HasSubstr("BUILD of a list, refused"));
  EXPECT_THAT(message_of(p::whole("])R")),
              HasSubstr("expected a name called with a tuple, got a list and a tuple"));
  EXPECT_THAT(message_of(p::whole("N", 6)), HasSubstr("protocol 2 to 5, got 6"));
  EXPECT_THAT(message_of(p::whole("N", 1)), HasSubstr("protocol 2 to 5, got 1"));
}

TEST(Pickle, WhatIsNotThereIsMissed) {
  for (const char* value : {"0", "a", "(a", "K\1a", "]K\1(a", "s", "}K\1s", "R", ")R", "\x85", "\x93",
                            "Q", "b", "2",  "q\1",  "t",      "u", "e",     "l", "d",  "1"}) {
    EXPECT_THAT(message_of(p::whole(value)), HasSubstr("lacks its ")) << value;
  }
  EXPECT_THAT(message_of(p::whole("h\1")), HasSubstr("expected a value remembered as 1"));
  EXPECT_THAT(message_of(p::whole("(K\1d")), HasSubstr("a key without a value"));
  EXPECT_THAT(message_of(p::whole("}K\1a")), HasSubstr("expected a list to add to, got dict"));
  EXPECT_THAT(message_of(p::whole("")), HasSubstr("it ends with 0 values"));
  EXPECT_THAT(message_of(p::whole("NN")), HasSubstr("it ends with 2 values"));
  EXPECT_THAT(message_of(p::whole("N(")), HasSubstr("it ends with"));
  EXPECT_THAT(message_of(p::whole("\x93")), HasSubstr("lacks its value"));
  EXPECT_THAT(message_of(p::whole("NN\x93")), HasSubstr("expected a name"));
}

TEST(Pickle, SizesAreCheckedBeforeUse) {
  const std::string huge = little<std::uint64_t>(UINT64_MAX), large = little<std::uint32_t>(UINT32_MAX);
  for (const std::string& value : std::initializer_list<std::string>{
           "X" + large, "\x8d" + huge, "B" + large, "\x8e" + huge, "\x8b" + large, "T" + large,
           "\x8c\xff"
           "a"}) {
    EXPECT_THAT(message_of(p::whole(value)), HasSubstr("truncated"));
  }
  EXPECT_THAT(message_of(p::whole("\x95" + huge + "N")), HasSubstr("a frame of 18446744073709551615 bytes"));
  EXPECT_THAT(message_of(p::whole("c" + std::string(100000, 'a'))),
              HasSubstr("expected a name of at most 200 bytes"));
  EXPECT_THAT(message_of(p::whole(p::text(std::string(300, 'a')) + p::text("b") + "\x93")),
              HasSubstr("expected a name of at most 200 bytes"));
  EXPECT_THAT(message_of("\x80\2" + std::string(2'200'000, 'N')), HasSubstr("more than 2097152 values"));
  EXPECT_THAT(message_of("\x80\2" + p::text(std::string(65 << 20, 'a')) + "."),
              HasSubstr("a pickle of more than 67108864 bytes"));
}

TEST(Pickle, EveryCutIsRefused) {
  const std::string bytes =
      p::whole(p::dict({{"a", p::list({p::integer(1), p::number(2)})}, {"b", p::tuple({"N"})}}));
  EXPECT_EQ(message_of(bytes), "");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(message_of(bytes.substr(0, size)), HasSubstr("x: it ends at byte")) << size;
  }
}

}  // namespace
}  // namespace ecp
