#include "ecp/base/hash.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

// XXH3's own test vectors (128 bits, no seed), as `xxhsum -H2` prints them.
TEST(Hash, KnownVectors) {
  EXPECT_EQ(hash_bytes(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_bytes("a"), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(hash_bytes("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(Hash, PiecesAndFilesAgreeWithTheWhole) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>(i * 7);
  for (const std::size_t cut : {0u, 1u, 240u, 241u, 1024u, 2999u, 3000u}) {
    Hasher hasher;
    hasher.update(std::string_view(text).substr(0, cut));
    hasher.update(text.data() + cut, text.size() - cut);
    EXPECT_EQ(hasher.digest(), hash_bytes(text)) << "cut at " << cut;
  }
  const test::TemporaryFolder folder;
  write_file(folder / "a", text);
  EXPECT_EQ(hash_file(folder / "a"), hash_bytes(text));
  write_file(folder / "a", "");
  EXPECT_EQ(hash_file(folder / "a"), hash_bytes(""));
}

TEST(Hash, EveryByteCounts) {
  const std::string text(500, 'x');
  for (const std::size_t at : {0u, 17u, 250u, 499u}) {
    std::string changed = text;
    changed[at] = 'y';
    EXPECT_NE(hash_bytes(changed), hash_bytes(text)) << at;
  }
}

TEST(Hasher, CopiesGoOnFromWhereTheyWereMade) {
  Hasher a;
  a.update("one ");
  Hasher b = a, c;
  a.update("two");
  b.update("three");
  EXPECT_EQ(a.digest(), hash_bytes("one two"));
  EXPECT_EQ(b.digest(), hash_bytes("one three"));
  a = b;
  EXPECT_EQ(a.value(), b.value());
  EXPECT_NE(a.value(), c.value());
  a.reset();
  EXPECT_EQ(a.digest(), c.digest());
}

}  // namespace
}  // namespace ecp
