#include "ecp/text/deduplication.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

#include "ecp/base/random.h"

namespace ecp {
namespace {

TEST(HashSet, KnowsWhatItHasMet) {
  EXPECT_TRUE(rc::check("as std::set does", [] {
    const auto numbers =
        *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, 40));
    HashSet set;
    std::set<std::uint64_t> expected;
    for (const std::uint64_t n : numbers) {
      // Many begin at the same slot.
      RC_ASSERT(set.insert({n + 1, n % 3}) == expected.insert(n).second);
    }
    RC_ASSERT(set.size() == expected.size());
  }));
  HashSet set;
  EXPECT_TRUE(set.insert({0, 0}));
  EXPECT_FALSE(set.insert({0, 0}));
  for (const bool first : {true, false}) {
    for (std::uint64_t i = 0; i < 100000; ++i)
      ASSERT_EQ(set.insert({random_bits(1, i), random_bits(2, i)}), first);
  }
}

}  // namespace
}  // namespace ecp
