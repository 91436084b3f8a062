#include "ecp/base/shuffle.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>
#include <vector>

#include "ecp/base/error.h"

namespace ecp {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  for (std::uint64_t size = 1; size < 300; ++size) {
    const Permutation permutation(size, size * 7);
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t image = permutation(i);
      ASSERT_LT(image, size);
      ASSERT_FALSE(seen[image]) << size;
      seen[image] = true;
    }
  }
}

TEST(Permutation, IsABijectionForAnyKey) {
  EXPECT_TRUE(rc::check("bijection", [] {
    const auto size = *rc::gen::inRange<std::uint64_t>(1, 5000);
    const Permutation permutation(size, *rc::gen::arbitrary<std::uint64_t>());
    std::set<std::uint64_t> images;
    for (std::uint64_t i = 0; i < size; ++i) images.insert(permutation(i));
    RC_ASSERT(images.size() == size);
    RC_ASSERT(*images.rbegin() == size - 1);
  }));
}

TEST(Permutation, HugeSizesStayInRange) {
  for (const std::uint64_t size :
       {std::uint64_t{1} << 62, (std::uint64_t{1} << 61) + 1, std::uint64_t{1} << 40}) {
    const Permutation permutation(size, 5);
    std::set<std::uint64_t> images;
    for (std::uint64_t i = 0; i < 1000; ++i) images.insert(permutation(size - 1 - i));
    EXPECT_EQ(images.size(), 1000);
    EXPECT_LT(*images.rbegin(), size);
  }
  EXPECT_THROW(Permutation(0, 1), Error);
  EXPECT_THROW(Permutation((std::uint64_t{1} << 62) + 1, 1), Error);
  EXPECT_THROW((void)Permutation(5, 1)(5), Error);
}

TEST(Permutation, KeysGiveDifferentOrdersThatLookRandom) {
  constexpr std::uint64_t size = 1000;
  const Permutation a(size, 1), b(size, 2);
  std::uint64_t equal = 0, ascending = 0;
  for (std::uint64_t i = 0; i + 1 < size; ++i) {
    equal += a(i) == b(i) ? 1 : 0;
    ascending += a(i) < a(i + 1) ? 1 : 0;
  }
  EXPECT_LT(equal, 10);  // expected: 1
  EXPECT_GT(ascending, 440);
  EXPECT_LT(ascending, 560);
}

}  // namespace
}  // namespace ecp
