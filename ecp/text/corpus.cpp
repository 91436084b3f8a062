#include "ecp/text/corpus.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/text/documents.h"

namespace ecp {
namespace {

using Format = CorpusFormat;

constexpr std::array<std::pair<Format, std::string_view>, 5> names = {{{Format::automatic, "auto"},
                                                                       {Format::text, "text"},
                                                                       {Format::jsonl, "jsonl"},
                                                                       {Format::wikitext, "wikitext"},
                                                                       {Format::bytes, "bytes"}}};

std::optional<Format> known_extension(const Path& path) {
  const std::string extension = without_compression(path).extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return Format::jsonl;
  if (extension == ".tokens") return Format::wikitext;
  if (extension == ".txt" || extension == ".text" || extension == ".md") return Format::text;
  return std::nullopt;
}

/// An archive of text files is UTF-8 more often than not, headers, padding and all.
void refuse_archive(const Path& path) {
  const std::string extension = without_compression(path).extension().string();
  require(extension != ".tar" && extension != ".tgz" && extension != ".txz" && extension != ".tzst",
          "'{}': an archive: unpack it first and name the folder", path.string());
}

std::vector<Path> files_in(const Path& folder, Format format) {
  namespace fs = std::filesystem;
  std::vector<Path> files;
  std::error_code error;
  auto entry = fs::recursive_directory_iterator(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (hidden && entry->is_directory()) entry.disable_recursion_pending();
    if (hidden || !entry->is_regular_file()) continue;
    if (format == Format::automatic && !known_extension(entry->path())) continue;
    files.push_back(entry->path());
  }
  require(!error, "cannot read folder '{}': {}", folder.string(), error.message());
  std::sort(files.begin(), files.end());
  require(!files.empty(),
          "folder '{}': no text files in it (.txt, .md, .jsonl, .tokens, also as .gz, .xz or .zst; an "
          "explicit --format takes all)",
          folder.string());
  return files;
}

std::vector<Path> list_files(const std::vector<Path>& inputs, Format format) {
  require(!inputs.empty(), "corpus: no input files");
  std::vector<Path> files;
  for (const Path& input : inputs) {
    if (is_standard_input(input)) {
      require(std::find(files.begin(), files.end(), input) == files.end(),
              "'-': standard input can be read once only");
      files.push_back(input);
      continue;
    }
    require(std::filesystem::exists(input), "'{}': no such file or folder", input.string());
    if (std::filesystem::is_directory(input)) {
      const std::vector<Path> found = files_in(input, format);
      files.insert(files.end(), found.begin(), found.end());
    } else {
      require(std::filesystem::is_regular_file(input) || is_stream(input),
              "'{}': expected a file or a folder", input.string());
      if (format != Format::bytes) refuse_archive(input);
      files.push_back(input);
    }
  }
  return files;
}

Format common_format(const std::vector<Path>& files) {
  const auto format_of = [](const Path& path) { return known_extension(path).value_or(Format::text); };
  const Format first = format_of(files.front());
  for (const Path& file : files) {
    require(format_of(file) == first,
            "inputs of different formats: '{}' is {}, '{}' is {}; tokenize them apart or choose one with "
            "--format",
            files.front().string(), name_of(first), file.string(), name_of(format_of(file)));
  }
  return first;
}

}  // namespace

std::string_view name_of(CorpusFormat format) {
  return std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == format; })
      ->second;
}

CorpusFormat parse_corpus_format(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [format, text] : names) {
    if (text == name) return format;
    known.emplace_back(text);
  }
  fail("corpus format: expected {}, got '{}'{}", alternatives(known), name, did_you_mean(name, known));
}

bool is_separated(CorpusFormat format) { return format == Format::text || format == Format::jsonl; }

CorpusReader::CorpusReader(const std::vector<Path>& inputs, CorpusFormat format)
    : files_(list_files(inputs, format)),
      format_(format == Format::automatic ? common_format(files_) : format),
      counter_(format_ == Format::wikitext) {
  const bool streams = std::any_of(files_.begin(), files_.end(), is_stream);
  for (const Path& file : files_) {
    if (is_stream(file)) continue;
    const std::uint64_t size = std::filesystem::file_size(file);
    require(size > 0, "'{}': the file is empty", file.string());
    bytes_total_ += size;
  }
  if (streams) bytes_total_ = 0;
}

CorpusReader::~CorpusReader() = default;

std::uint64_t CorpusReader::bytes_read() const {
  return bytes_done_ + (reader_ ? reader_->file().stored_bytes() : 0);
}

bool CorpusReader::next(CorpusPiece& piece) {
  for (;;) {
    if (!reader_) {
      if (next_file_ == files_.size()) {
        require(documents_ > 0, "'{}': no documents", sources_.front().name);
        return false;
      }
      reader_ = make_document_reader(files_[next_file_++], format_, any_bytes_ && format_ == Format::bytes);
    }
    if (reader_->next(piece)) break;
    sources_.push_back(reader_->file().source());
    bytes_done_ += reader_->file().stored_bytes();
    reader_.reset();
  }
  const std::uint64_t before = counter_.words();
  counter_.add(piece.text);
  if (piece.ends_document) counter_.end_document();
  piece.words = counter_.words() - before;
  documents_ += piece.ends_document ? 1 : 0;
  return true;
}

}  // namespace ecp
