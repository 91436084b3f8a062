#include "ecp/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <string>
#include <utility>

#include "ecp/base/error.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Files, WriteReplacesTheWholeFileAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "a longer first version");
  write_file(folder / "a.txt", "short");
  EXPECT_EQ(read_file(folder / "a.txt"), "short");
  EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(Files, BinaryAndEmptyContentsSurvive) {
  const TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  write_file(folder / "bytes", bytes);
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "bytes"), bytes);
  EXPECT_EQ(read_file(folder / "empty"), "");
  EXPECT_EQ(MappedFile(folder / "bytes").text(), bytes);
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
}

TEST(Files, WritersShowNothingBeforeTheyCommit) {
  const TemporaryFolder folder;
  {
    FileWriter writer(folder / "out");
    writer.write("half of it");
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  }
  EXPECT_THAT(folder.names(), IsEmpty()) << "an abandoned file leaves nothing behind";

  write_file(folder / "out", "old");
  FileWriter writer(folder / "out");
  writer.write("new");
  EXPECT_EQ(read_file(folder / "out"), "old") << "readers see the old file until the commit";
  writer.commit();
  EXPECT_EQ(read_file(folder / "out"), "new");
  EXPECT_THAT(folder.names(), ElementsAre("out"));
}

TEST(Files, PiecesOfAllSizesArriveInOrder) {
  const TemporaryFolder folder;
  std::string expected;
  FileWriter writer(folder / "pieces");
  // Around the writer's buffer of 1 MiB: small pieces, one that fills it, one beyond it.
  for (const std::size_t size : {1u, 7u, 0u, (1u << 20) - 8u, 1u, 1u << 20, 3u, 3u << 20, 5u}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    writer.write(piece);
    expected += piece;
    EXPECT_EQ(writer.size(), expected.size());
  }
  writer.commit();
  EXPECT_EQ(read_file(folder / "pieces"), expected);
}

TEST(Files, WriteAtOverwritesWhatIsWrittenOnly) {
  const TemporaryFolder folder;
  FileWriter writer(folder / "header");
  writer.write("count=?? and the rest");
  writer.write_at(6, "42");
  writer.write("!");
  EXPECT_THAT(error_of([&] { writer.write_at(20, "too far"); }), HasSubstr("beyond its 22 bytes"));
  EXPECT_THAT(error_of([&] { writer.write_at(UINT64_MAX, "ab"); }), HasSubstr("beyond its 22 bytes"))
      << "an offset whose end overflows";
  writer.commit();
  EXPECT_EQ(read_file(folder / "header"), "count=42 and the rest!");
}

TEST(Files, MovedWritersCommitOnce) {
  const TemporaryFolder folder;
  FileWriter first(folder / "moved");
  first.write("content");
  {
    FileWriter second(std::move(first));
    second.commit();
  }
  EXPECT_EQ(read_file(folder / "moved"), "content");
  EXPECT_THAT(folder.names(), ElementsAre("moved"));
}

TEST(Files, AppendAddsWholeLines) {
  const TemporaryFolder folder;
  append_lines(folder / "log.jsonl", "{\"step\": 1}\n");
  append_lines(folder / "log.jsonl", "");
  append_lines(folder / "log.jsonl", "{\"step\": 2}\n");
  sync_file(folder / "log.jsonl");
  EXPECT_EQ(read_file(folder / "log.jsonl"), "{\"step\": 1}\n{\"step\": 2}\n");
}

TEST(Files, SmallFilesHaveALimit) {
  const TemporaryFolder folder;
  write_file(folder / "config", "0123456789");
  EXPECT_EQ(read_small_file(folder / "config", 10), "0123456789");
  EXPECT_THAT(error_of([&] { read_small_file(folder / "config", 9); }),
              HasSubstr("expected at most 9 bytes"));
}

TEST(Files, ErrorsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const auto missing = folder / "missing";
  EXPECT_EQ(error_of([&] { read_file(missing); }),
            "cannot read '" + missing.string() + "': No such file or directory");
  EXPECT_EQ(error_of([&] { MappedFile{missing}; }),
            "cannot read '" + missing.string() + "': No such file or directory");
  EXPECT_EQ(error_of([&] { read_file(folder.path()); }),
            "cannot read '" + folder.path().string() + "': it is a folder");
  EXPECT_THAT(error_of([&] { write_file(missing / "deep", "x"); }),
              AllOf(HasSubstr("cannot write"), HasSubstr("deep"), HasSubstr("No such file or directory")));
  EXPECT_THAT(error_of([&] { append_lines(folder.path(), "x"); }), HasSubstr("cannot append to"));
  EXPECT_THAT(error_of([&] { sync_folder(missing); }), HasSubstr("cannot open folder"));
}

TEST(Files, FullDisksAreReported) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this machine";
  EXPECT_THAT(error_of([] { append_lines("/dev/full", "x"); }), HasSubstr("No space left on device"));
  EXPECT_THROW(append_lines("/dev/full", "x"), NoSpace);
}

TEST(Files, AFailedAppendLeavesNothing) {
  const TemporaryFolder folder;
  const Path path = folder / "log";
  append_lines(path, "one\n");
  // A limit on the size of files stands for a full disk: the beginning still fits.
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit low { 10, before.rlim_max };
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const std::string error = error_of([&] { append_lines(path, "a longer line\n"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(error, HasSubstr("cannot write"));
  EXPECT_EQ(read_file(path), "one\n");
}

TEST(Files, TemporaryNamesAreKnown) {
  for (const char* name : {".a.tmp-1", "folder/.step-00000002.tmp-4711"})
    EXPECT_TRUE(is_temporary(name)) << name;
  for (const char* name : {"a.tmp-1", ".a.tmp-", ".a.tmp-1x", ".a", ".tmp-x/a"})
    EXPECT_FALSE(is_temporary(name)) << name;
  const TemporaryFolder folder;
  const FileWriter writer(folder / "a");
  EXPECT_TRUE(is_temporary(folder.names().front()));
}

TEST(Files, SpaceIsToldOfTheNearestFolder) {
  EXPECT_GT(free_space(TemporaryFolder().path() / "not/there/yet"), 0U);
}

TEST(Files, FoldersAreReplacedInOneStep) {
  const TemporaryFolder folder;
  for (const char* content : {"old", "new"}) {
    FolderWriter writer(folder / "run");
    write_file(writer.path() / content, content);
    if (std::filesystem::exists(folder / "run")) {
      if (!writer.try_replace()) GTEST_SKIP() << "this file system can't exchange folders";
    } else {
      writer.commit();
    }
  }
  EXPECT_THAT(folder.names(), ElementsAre("run"));
  EXPECT_EQ(read_file(folder / "run/new"), "new");
  EXPECT_FALSE(std::filesystem::exists(folder / "run/old"));
  FolderWriter writer(folder / "other");
  EXPECT_FALSE(writer.try_replace()) << "nothing is there";
}

TEST(Files, FoldersAppearWhole) {
  const TemporaryFolder folder;
  const auto target = folder / "deep/run";
  {
    FolderWriter writer(target);
    write_file(writer.path() / "a", "1");
    EXPECT_FALSE(std::filesystem::exists(target));
    writer.commit();
  }
  EXPECT_EQ(read_file(target / "a"), "1");
  { FolderWriter abandoned(folder / "abandoned"); }
  EXPECT_THAT(folder.names(), ElementsAre("deep"));

  FolderWriter slash(folder / "deep/other/");
  EXPECT_FALSE(std::filesystem::exists(folder / "deep/other"));
  slash.commit();
  EXPECT_TRUE(std::filesystem::is_directory(folder / "deep/other"));
}

TEST(Files, FoldersAreNeverOverwritten) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "run");
  write_file(folder / "run/precious", "1");
  {
    FolderWriter writer(folder / "run");
    EXPECT_THAT(error_of([&] { writer.commit(); }), HasSubstr("it exists"));
  }
  EXPECT_EQ(read_file(folder / "run/precious"), "1");
  EXPECT_THAT(folder.names(), ElementsAre("run"));
}

TEST(Files, MapsMove) {
  const TemporaryFolder folder;
  write_file(folder / "a", "first");
  write_file(folder / "b", "second");
  MappedFile a(folder / "a");
  MappedFile b(std::move(a));
  EXPECT_EQ(b.text(), "first");
  b = MappedFile(folder / "b");
  EXPECT_EQ(b.text(), "second");
}

TEST(FileWriter, TakesBackWhatWasWritten) {
  for (const std::size_t kept : {std::size_t{0}, std::size_t{10}, std::size_t{3} << 20}) {
    for (const std::size_t more : {std::size_t{0}, std::size_t{10}, std::size_t{3} << 20}) {
      const test::TemporaryFolder folder;
      FileWriter file(folder / "a");
      file.write(std::string(kept, 'k'));
      file.write(std::string(more / 2, 'm'));
      file.write(std::string(more - more / 2, 'm'));
      file.truncate(kept);
      EXPECT_EQ(file.size(), kept);
      file.write("end");
      file.commit();
      EXPECT_TRUE(read_file(folder / "a") == std::string(kept, 'k') + "end");
      EXPECT_THROW(FileWriter(folder / "b").truncate(1), Error);
    }
  }
}

}  // namespace
}  // namespace ecp
