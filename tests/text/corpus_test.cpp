#include "ecp/text/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/base/system.h"
#include "tests/text/compressed.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_text;
using ::ecp::test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  std::vector<std::string> documents;
  std::uint64_t words = 0;
  std::size_t longest_piece = 0;
  std::vector<SourceFile> sources;

  [[nodiscard]] std::string all() const {
    return std::accumulate(documents.begin(), documents.end(), std::string());
  }
};

Read read_corpus(const std::vector<Path>& inputs, CorpusFormat format = CorpusFormat::automatic,
                 bool any_bytes = false, std::uint64_t streamed = 0) {
  CorpusReader reader(inputs, format);
  if (any_bytes) reader.allow_any_bytes();
  Read read;
  bool begun = false;
  for (CorpusPiece piece; reader.next(piece);) {
    if (!std::exchange(begun, true)) read.documents.emplace_back();
    read.documents.back() += piece.text;
    read.words += piece.words;
    read.longest_piece = std::max(read.longest_piece, piece.text.size());
    if (piece.ends_document) begun = false;
  }
  EXPECT_FALSE(begun) << "the last document was not ended";
  EXPECT_EQ(reader.bytes_total(), streamed > 0 ? 0 : reader.bytes_read());
  if (streamed > 0) {
    EXPECT_EQ(reader.bytes_read(), streamed);
  }
  read.sources = reader.sources();
  return read;
}

class Corpus : public ::testing::Test {
 protected:
  Path write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, content);
    return folder_ / name;
  }

  TemporaryFolder folder_;
};

using CorpusBadInput = Corpus;

TEST_F(Corpus, EachFileIsADocument) {
  const Path a = write("a.txt", " first\r\nfile \n"), b = write("b", "second");
  const Read read = read_corpus({b, a});
  EXPECT_THAT(read.documents, ElementsAre("second", " first\r\nfile \n"));
  EXPECT_EQ(read.words, 3);
  ASSERT_EQ(read.sources.size(), 2);
  EXPECT_EQ(read.sources[1], (SourceFile{a.string(), 14, hash_file(a)}));
}

TEST_F(Corpus, FoldersAreReadSortedAndRecursively) {
  write("books/b.txt", "b");
  write("books/a/z.txt", "z");
  write("books/c.md", "c");
  write("books/.hidden.txt", "h");
  write("books/.git/x.txt", "x");
  write("books/picture.png", "\x89PNG");
  EXPECT_THAT(read_corpus({folder_ / "books"}).documents, ElementsAre("z", "b", "c"));
  EXPECT_THAT(error_of([&] { read_corpus({folder_ / "books"}, CorpusFormat::text); }),
              HasSubstr("picture.png': not UTF-8 at byte 0"));
}

TEST_F(Corpus, LongDocumentsComeInBoundedPieces) {
  const std::string lines = sample_text(200000);
  std::string no_breaks(1 << 20, 'x');
  for (std::size_t i = 0; i + 3 < no_breaks.size(); i += 7) no_breaks.replace(i, 3, "日");
  for (const std::string& text : {lines, no_breaks, std::string(1 << 20, ' '), std::string(1 << 20, '\n')}) {
    const Path path = write("long.txt", text);
    for (const CorpusFormat format : {CorpusFormat::text, CorpusFormat::bytes, CorpusFormat::wikitext}) {
      const Read read = read_corpus({path}, format);
      EXPECT_EQ(read.documents.size(), 1);
      EXPECT_TRUE(read.all() == text);
      EXPECT_LE(read.longest_piece, 256u << 10);
    }
    const Path jsonl = write("long.jsonl", nlohmann::json({{"text", text}}).dump() + "\n");
    const Read read = read_corpus({jsonl});
    EXPECT_TRUE(read.all() == text);
    EXPECT_LE(read.longest_piece, 256u << 10);
  }
}

TEST_F(Corpus, JsonLines) {
  const Path path = write("a.jsonl",
                          "{\"text\": \"one\\ntwo \\u00e9 \\ud83d\\ude00\", \"id\": {\"deep\": [1, 2]}}\n"
                          "\n"
                          "{\"id\": 3, \"text\": \"\"}\r\n"
                          "{\"text\": \"last\"}");
  const Read read = read_corpus({path});
  EXPECT_THAT(read.documents, ElementsAre("one\ntwo é 😀", "", "last"));
  EXPECT_EQ(read.words, 5);
}

TEST_F(Corpus, WikiTextArticlesAreDocuments) {
  const std::string first = " \n = One = \n \n Text of one . \n \n = = Section = = \n \n More = text = \n";
  const std::string second =
      " \n = Two = 2 = \n \n = Not a heading = \n text \n \n = Neither this = \n text\n";
  const std::string third = " \n = Three = \n \n";
  const Path path = write("wiki.tokens", first + second + third);
  const Read read = read_corpus({path});
  EXPECT_THAT(read.documents, ElementsAre(first, second, third));
  const std::string all = read.all();
  const auto lines = std::count(all.begin(), all.end(), '\n');
  EXPECT_EQ(read.words, read_corpus({path}, CorpusFormat::text).words + static_cast<std::uint64_t>(lines));
}

TEST_F(Corpus, WikiTextBeforeTheFirstHeadingIsADocument) {
  const Path path = write("wiki.tokens", "preface \n \n = One = \n \n text \n");
  EXPECT_THAT(read_corpus({path}).documents, ElementsAre("preface \n", " \n = One = \n \n text \n"));
}

TEST_F(Corpus, WikiTextKeepsEveryByteWhereverBlocksEnd) {
  EXPECT_TRUE(rc::check("documents concatenated are the file", [&] {
    const auto parts = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        " \n", "\n", " = Title = \n", " = = Section = = \n", "words and words \n", " = ", "é",
        std::string(70000, 'x'), std::string(5000, ' '), std::string(60000, 'y') + "\n", " \n = T = \n \n"));
    std::string text = "x";
    for (const std::string& part : parts) text += part;
    const Read read = read_corpus({write("wiki.tokens", text)});
    RC_ASSERT(read.all() == text);
    for (std::size_t i = 1; i < read.documents.size(); ++i) {
      const std::string& document = read.documents[i];
      RC_ASSERT(document.find(" = ") < 5001);  // each begins with an empty line and a heading
    }
  }));
}

TEST_F(Corpus, WikiTextArticlesDontDependOnBlocks) {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += " \n = Article " + std::to_string(i) + " = \n \n" +
            std::string(static_cast<std::size_t>(i) * 37 % 3000, 'w') + " \n";
  }
  const Read read = read_corpus({write("wiki.tokens", text)});
  EXPECT_EQ(read.documents.size(), 400);
  EXPECT_EQ(read.all(), text);
}

TEST_F(Corpus, BytesTakeAnything) {
  std::string text = "word \xFF\xFE\x80 word\n";
  const Path path = write("enwik", text);
  EXPECT_EQ(read_corpus({path}, CorpusFormat::bytes, true).all(), text);
  EXPECT_EQ(read_corpus({path}, CorpusFormat::bytes, true).words, 3);
  EXPECT_THAT(error_of([&] { read_corpus({path}, CorpusFormat::bytes); }), HasSubstr("not UTF-8 at byte 5"));
  EXPECT_THAT(error_of([&] { read_corpus({path}, CorpusFormat::text, true); }),
              HasSubstr("not UTF-8 at byte 5"));
}

TEST_F(Corpus, CompressedFilesAreTheFilesInThem) {
  using ::ecp::test::compressed;
  const std::string wiki = " \n = One = \n \n text \n \n = Two = \n \n more \n";
  for (const Compression kind : {Compression::gzip, Compression::xz, Compression::zstd}) {
    const std::string extension = kind == Compression::gzip ? ".gz"
                                  : kind == Compression::xz ? ".xz"
                                                            : ".zst";
    const Path path = write("in/novel.txt" + extension, compressed(kind, "one ") + compressed(kind, "two\n"));
    const Read novel = read_corpus({path});
    EXPECT_THAT(novel.documents, ElementsAre("one two\n"));
    EXPECT_EQ(novel.sources.at(0), (SourceFile{path.string(), 8, hash_bytes("one two\n")}));
    EXPECT_THAT(
        read_corpus({write("x.jsonl" + extension, compressed(kind, "{\"text\": \"a b\"}\n"))}).documents,
        ElementsAre("a b"));
    EXPECT_EQ(read_corpus({write("wiki.tokens" + extension, compressed(kind, wiki))}).documents.size(), 2);
    // The first bytes tell, whatever the name.
    EXPECT_EQ(read_corpus({write("nameless", compressed(kind, wiki))}).all(), wiki);
    EXPECT_THAT(
        error_of([&] { read_corpus({write("cut.txt" + extension, compressed(kind, wiki).substr(0, 30))}); }),
        HasSubstr("cut.txt" + extension + "': truncated"));
    EXPECT_THAT(error_of([&] { read_corpus({write("none.txt" + extension, compressed(kind, ""))}); }),
                HasSubstr("': the file is empty"));
    EXPECT_THAT(error_of([&] { read_corpus({write("plain.txt" + extension, "plain text")}); }),
                HasSubstr("as its name says; it begins otherwise"));
    // Raw bytes are decompressed where the name asks for it.
    const std::string stored = compressed(kind, "\xFF\xFE");
    EXPECT_EQ(read_corpus({write("raw", stored)}, CorpusFormat::bytes, true).all(), stored);
    EXPECT_EQ(read_corpus({write("raw" + extension, stored)}, CorpusFormat::bytes, true).all(), "\xFF\xFE");
  }
  EXPECT_EQ(read_corpus({folder_ / "in"}).documents.size(), 3) << "in a folder, too";
  EXPECT_THAT(error_of([&] { read_corpus({write("books.tar.xz", "")}); }), HasSubstr("an archive"));
}

TEST_F(Corpus, NamedPipesAreStreams) {
  const Path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << "from a pipe"; });
  const Read read = read_corpus({pipe}, CorpusFormat::text, false, 11);
  writer.join();
  EXPECT_EQ(read.all(), "from a pipe");
}

TEST_F(Corpus, MemoryIsBounded) {
  const std::string line = sample_text(1000);
  const Path path = folder_ / "large.txt";
  FileWriter file(path);
  while (file.size() < (200u << 20)) file.write(line);
  file.commit();
  const std::uint64_t before = peak_memory();
  CorpusReader reader({path}, CorpusFormat::text);
  std::uint64_t bytes = 0;
  for (CorpusPiece piece; reader.next(piece);) bytes += piece.text.size();
  EXPECT_EQ(bytes, reader.bytes_total());
  EXPECT_LT(peak_memory() - before, 20u << 20);
}

TEST_F(Corpus, OfficialWikiTextCounts) {
  const Path shared = ::ecp::test::shared_folder();
  if (shared.empty()) GTEST_SKIP() << "no shared data (ECP_SHARED)";
  const Read valid = read_corpus({shared / "data/wikitext-103/wiki.valid.tokens"});
  EXPECT_EQ(valid.words, 217646);
  EXPECT_EQ(valid.documents.size(), 60);
  const Read test = read_corpus({shared / "data/wikitext-103/wiki.test.tokens"});
  EXPECT_EQ(test.words, 245569);
  EXPECT_EQ(test.documents.size(), 60);
  EXPECT_EQ(test.all(), read_file(shared / "data/wikitext-103/wiki.test.tokens"));
}

TEST_F(CorpusBadInput, OneLinePerFault) {
  const auto error = [](const std::vector<Path>& inputs, CorpusFormat format = CorpusFormat::automatic) {
    const std::string message = error_of([&] { read_corpus(inputs, format); });
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  };
  EXPECT_THAT(error({folder_ / "none.txt"}), HasSubstr("none.txt': no such file or folder"));
  EXPECT_THAT(error({}), HasSubstr("no input files"));
  EXPECT_THAT(error({write("empty.txt", "")}), HasSubstr("empty.txt': the file is empty"));
  std::filesystem::create_directory(folder_ / "bare");
  EXPECT_THAT(error({folder_ / "bare"}), HasSubstr("no text files in it"));
  EXPECT_THAT(error({"/dev/null"}), HasSubstr("expected a file or a folder"));
  EXPECT_THAT(error({write("a.txt", "a"), write("b.jsonl", "{}")}), HasSubstr("inputs of different formats"));

  EXPECT_THAT(error({write("bad.txt", "good é \xE9 bad")}), HasSubstr("bad.txt': not UTF-8 at byte 8"));
  EXPECT_THAT(error({write("cut.txt", "good \xE2\x82")}), HasSubstr("not UTF-8 at byte 5"));
  EXPECT_THAT(error({write("far.txt", std::string(65535, 'a') + "é" + std::string(100000, 'a') + "\xFF")}),
              HasSubstr("not UTF-8 at byte 165537"));

  EXPECT_THAT(error({write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": 5}\n")}),
              HasSubstr("a.jsonl:2': expected a string \"text\""));
  EXPECT_THAT(error({write("b.jsonl", "\n{\"title\": \"a\"}\n")}),
              HasSubstr("b.jsonl:2': expected a string \"text\""));
  EXPECT_THAT(error({write("c.jsonl", "{\"text\": \"a\"\n")}), HasSubstr("c.jsonl:1': not JSON at byte"));
  EXPECT_THAT(error({write("d.jsonl", "[\"text\"]\n")}), HasSubstr("d.jsonl:1': expected a JSON object"));
  EXPECT_THAT(error({write("e.jsonl", "{\"text\": \"\\ud800\"}\n")}), HasSubstr("e.jsonl:1': not JSON"));
  EXPECT_THAT(error({write("f.jsonl", "\n\n")}), HasSubstr("f.jsonl': no documents"));
  EXPECT_THAT(error({write("g.jsonl", std::string(100000, '['))}), HasSubstr("g.jsonl:1': nested deeper"));

  EXPECT_THAT(error_of([] { (void)parse_corpus_format("jsn"); }),
              HasSubstr("got 'jsn' (did you mean 'jsonl'?)"));
}

}  // namespace
}  // namespace ecp
