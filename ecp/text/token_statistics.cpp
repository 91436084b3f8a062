#include "ecp/text/token_statistics.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "ecp/base/interrupt.h"
#include "ecp/text/pieces.h"
#include "ecp/text/utf8.h"

namespace ecp {
namespace {

constexpr std::uint64_t block = std::uint64_t{1} << 18;

std::size_t bin_of(std::uint64_t number) { return static_cast<std::size_t>(std::bit_width(number)); }

void add_document(TokenStatistics& statistics, std::uint64_t length) {
  ++statistics.lengths[bin_of(length)];
  statistics.shortest = statistics.documents == 0 ? length : std::min(statistics.shortest, length);
  statistics.longest = std::max(statistics.longest, length);
  ++statistics.documents;
}

}  // namespace

std::uint64_t TokenStatistics::distinct() const {
  return static_cast<std::uint64_t>(
      std::count_if(occurrences.begin(), occurrences.end(), [](std::uint64_t n) { return n > 0; }));
}

Histogram TokenStatistics::frequencies() const {
  Histogram histogram{};
  for (const std::uint64_t count : occurrences) ++histogram[bin_of(count)];
  return histogram;
}

std::vector<Token> TokenStatistics::most_frequent(std::size_t most) const {
  std::vector<Token> ids(occurrences.size());
  std::iota(ids.begin(), ids.end(), Token{0});
  const auto kept = ids.begin() + static_cast<std::ptrdiff_t>(std::min(most, ids.size()));
  std::partial_sort(ids.begin(), kept, ids.end(), [&](Token a, Token b) {
    return occurrences[a] != occurrences[b] ? occurrences[a] > occurrences[b] : a < b;
  });
  ids.erase(kept, ids.end());
  while (!ids.empty() && occurrences[ids.back()] == 0) ids.pop_back();
  return ids;
}

TokenStatistics statistics_of(const TokenFile& file, const ProgressFunction& progress) {
  const TokenFileInfo& info = file.info();
  TokenStatistics statistics;
  statistics.words = info.words;
  statistics.bytes = info.bytes;
  statistics.tokens = info.tokens;
  statistics.occurrences.resize(static_cast<std::size_t>(info.vocab_size));
  std::vector<std::int64_t> ids;
  for (std::uint64_t begin = 0; begin < info.tokens; begin += ids.size()) {
    check_interrupt();
    ids.resize(static_cast<std::size_t>(std::min(block, info.tokens - begin)));
    file.read(begin, ids);
    for (const std::int64_t id : ids) ++statistics.occurrences[static_cast<std::size_t>(id)];
    if (progress) progress({"counting", begin + ids.size(), info.tokens, "tokens"});
  }
  for (std::size_t i = 0; i < info.documents.size(); ++i) {
    const std::uint64_t end = i + 1 < info.documents.size() ? info.documents[i + 1] : info.tokens;
    add_document(statistics, end - info.documents[i]);
  }
  return statistics;
}

TokenStatistics statistics_of(CorpusReader& corpus, const Tokenizer* tokenizer,
                              const ProgressFunction& progress) {
  TokenStatistics statistics;
  std::shared_ptr<const Tokenizer> for_wikitext;
  if (tokenizer != nullptr && corpus.format() == CorpusFormat::wikitext)
    for_wikitext = tokenizer->for_wikitext();
  if (for_wikitext) tokenizer = for_wikitext.get();
  std::optional<PieceReader> pieces;
  if (tokenizer != nullptr) pieces.emplace(corpus, *tokenizer);
  if (tokenizer != nullptr) statistics.occurrences.resize(static_cast<std::size_t>(tokenizer->vocab_size()));
  std::vector<Token> ids;
  std::uint64_t length = 0;
  for (CorpusPiece piece; pieces ? pieces->next(piece) : corpus.next(piece);) {
    statistics.words += piece.words;
    statistics.bytes += piece.text.size();
    if (tokenizer != nullptr) {
      ids.clear();
      piece.continues ? tokenizer->encode_more(piece.text, ids) : tokenizer->encode(piece.text, ids);
      for (const Token id : ids) ++statistics.occurrences[id];
      statistics.tokens += ids.size();
    }
    length += tokenizer != nullptr ? ids.size() : piece.text.size();
    if (piece.ends_document) {
      add_document(statistics, length);
      length = 0;
    }
    if (progress) progress({"counting", corpus.bytes_read(), corpus.bytes_total(), "B"});
  }
  return statistics;
}

std::optional<TextCounts> count_text(const TokenFile& file, std::uint64_t size) {
  const auto tokenizer = file.tokenizer();
  if (!tokenizer->lossless()) return std::nullopt;
  const std::vector<std::uint64_t>& documents = file.info().documents;
  WordCounter counter(file.info().corpus_format == "wikitext");
  TextCounts counts;
  auto next_document = documents.begin();
  for (std::uint64_t i = 0; i < size; ++i) {
    if (i % block == 0) check_interrupt();
    for (; next_document != documents.end() && *next_document == i; ++next_document) counter.end_document();
    const std::string_view bytes = tokenizer->bytes_of(file[i]);
    counter.add(bytes);
    counts.bytes += bytes.size();
  }
  counts.words = counter.words();
  return counts;
}

}  // namespace ecp
