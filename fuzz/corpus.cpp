// Text as `ecp tokenize` reads it; the first byte says in which format.
#include "ecp/text/corpus.h"

#include <array>

#include "ecp/text/compression.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const fuzz::Folder folder;
  static const std::array formats = {CorpusFormat::text, CorpusFormat::jsonl, CorpusFormat::wikitext,
                                     CorpusFormat::bytes};
  if (size == 0) return 0;
  const std::string_view content = fuzz::text_of(data, size).substr(1);
  const CorpusFormat format = formats[data[0] % formats.size()];
  folder.write("input", content);
  fuzz::accepted([&] {
    CorpusReader reader({folder / "input"}, format);
    if (format == CorpusFormat::bytes) reader.allow_any_bytes();
    std::string all;
    CorpusPiece piece;
    bool ended = true;
    while (reader.next(piece)) {
      all += piece.text;
      ended = piece.ends_document;
    }
    fuzz::expect(ended, "the last piece ends its document");
    const bool plain = compression_of(content.substr(0, magic_bytes)) == Compression::none;
    fuzz::expect(format == CorpusFormat::jsonl || !plain || all == content, "pieces together are the file");
  });
  return 0;
}
