#include "ecp/text/documents.h"

#include <utility>

#include "ecp/base/error.h"
#include "ecp/text/json.h"
#include "ecp/text/utf8.h"

namespace ecp {
namespace {

constexpr std::size_t longest_json_line = std::size_t{256} << 20;
constexpr std::size_t longest_heading = 4096;

/// A whole file is one document.
class WholeFile final : public DocumentReader {
 public:
  using DocumentReader::DocumentReader;

  bool next(CorpusPiece& piece) override {
    if (ended_) return false;
    while (buffer_.size() < piece_bytes && !ended_) ended_ = !file_->read_block(buffer_);
    take(buffer_, ended_ ? buffer_.size() : last_segment_boundary(buffer_), ended_, piece);
    return true;
  }

 private:
  std::string buffer_;
  bool ended_ = false;
};

/// One JSON object a line.
class JsonLines final : public DocumentReader {
 public:
  using DocumentReader::DocumentReader;

  bool next(CorpusPiece& piece) override {
    if (given_ == document_.size() && !next_document()) return false;
    std::string_view rest = std::string_view(document_).substr(given_);
    piece.ends_document = rest.size() <= piece_bytes;
    if (!piece.ends_document) rest = rest.substr(0, last_segment_boundary(rest.substr(0, piece_bytes)));
    piece.text = rest;
    given_ += rest.size();
    return true;
  }

 private:
  bool next_document() {
    for (std::string_view line; next_line(line);) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string place = file_->name() + ":" + std::to_string(line_number_);
      nlohmann::json json = text::parse_object(line, place);
      const auto found = json.find("text");
      require(found != json.end() && found->is_string(), "'{}': expected a string \"text\"", place);
      document_ = std::move(found->get_ref<std::string&>());
      given_ = 0;
      return true;
    }
    return false;
  }

  /// The line is valid until the next call.
  bool next_line(std::string_view& line) {
    std::size_t searched = 0;
    for (;;) {
      const std::size_t end = buffer_.find('\n', start_ + searched);
      if (end != std::string::npos) {
        line = std::string_view(buffer_).substr(start_, end - start_);
        start_ = end + 1;
        ++line_number_;
        return true;
      }
      searched = buffer_.size() - start_;
      require(searched <= longest_json_line, "'{}:{}': expected lines of at most {} bytes", file_->name(),
              line_number_ + 1, longest_json_line);
      buffer_.erase(0, std::exchange(start_, 0));
      if (file_->read_block(buffer_)) continue;
      line = buffer_;
      start_ = buffer_.size();
      ++line_number_;
      return !line.empty();
    }
  }

  std::string buffer_;
  std::size_t start_ = 0;  // of the next line in the buffer
  std::uint64_t line_number_ = 0;
  std::string document_;
  std::size_t given_ = 0;  // bytes of it passed on
};

enum class Line { blank, heading, other };

Line line_kind(std::string_view line) {
  if (line.size() > longest_heading) return Line::other;
  const std::size_t begin = line.find_first_not_of(" \r\n\t");
  if (begin == std::string_view::npos) return Line::blank;
  line = line.substr(begin, line.find_last_not_of(" \r\n\t") + 1 - begin);
  const bool heading = line.size() >= 5 && line.starts_with("= ") && line.ends_with(" =") &&
                       !line.starts_with("= = ") && !line.ends_with(" = =");
  return heading ? Line::heading : Line::other;
}

/// Articles in WikiText. Lines are looked at as they come in; a blank line, and a heading after one, are held
/// back until it is known whether an article begins there.
class WikiText final : public DocumentReader {
 public:
  using DocumentReader::DocumentReader;

  bool next(CorpusPiece& piece) override {
    while (!ended_ || !buffer_.empty() || begun_) {
      if (const std::size_t begin = next_article(); begin != std::string::npos) {
        emit(begin, true, piece);
        return true;
      }
      if (ended_) {
        emit(buffer_.size(), true, piece);
        return true;
      }
      if (buffer_.size() - line_ > longest_heading) previous_ = before_ = {Line::other, line_};
      if (buffer_.size() >= piece_bytes) {
        const std::size_t held = previous_.kind == Line::blank ? previous_.begin
                                 : before_.kind == Line::blank && previous_.kind == Line::heading
                                     ? before_.begin
                                     : line_;
        emit(held > 0 ? held : last_segment_boundary(buffer_), false, piece);
        return true;
      }
      ended_ = !file_->read_block(buffer_);
    }
    return false;
  }

 private:
  struct Seen {
    Line kind = Line::other;
    std::size_t begin = 0;
  };

  /// Looks at the lines that are whole by now; returns where a new article begins, or npos.
  std::size_t next_article() {
    for (std::size_t end = buffer_.find('\n', line_); end != std::string::npos;
         end = buffer_.find('\n', line_)) {
      const Seen line{
          middle_of_line_ ? Line::other : line_kind(std::string_view(buffer_).substr(line_, end - line_)),
          line_};
      const Seen before = std::exchange(before_, std::exchange(previous_, line));
      line_ = end + 1;
      middle_of_line_ = false;
      const bool article =
          before.kind == Line::blank && before_.kind == Line::heading && line.kind == Line::blank;
      if (article && (before.begin > 0 || begun_)) return before.begin;
    }
    return std::string::npos;
  }

  void emit(std::size_t size, bool ends_document, CorpusPiece& piece) {
    take(buffer_, size, ends_document, piece);
    begun_ = !ends_document;
    middle_of_line_ = size > line_ || (middle_of_line_ && size == line_);
    for (std::size_t* position : {&line_, &previous_.begin, &before_.begin})
      *position -= std::min(*position, size);
  }

  std::string buffer_;
  std::size_t line_ = 0;         // begin of the first line that isn't whole yet
  bool middle_of_line_ = false;  // the buffer begins within a line
  bool begun_ = false;           // a part of this document was given out
  bool ended_ = false;
  Seen previous_, before_;  // the last line and the one before it
};

}  // namespace

void DocumentReader::take(std::string& buffer, std::size_t size, bool ends_document, CorpusPiece& piece) {
  piece.text.assign(buffer, 0, size);
  piece.ends_document = ends_document;
  buffer.erase(0, size);
}

std::unique_ptr<DocumentReader> make_document_reader(const Path& path, CorpusFormat format, bool any_bytes) {
  // Raw bytes may begin as compressed ones do; text can't.
  auto file = std::make_unique<InputFile>(
      path, InputOptions{.check_utf8 = !any_bytes, .by_name = format == CorpusFormat::bytes});
  if (format == CorpusFormat::jsonl) return std::make_unique<JsonLines>(std::move(file));
  if (format == CorpusFormat::wikitext) return std::make_unique<WikiText>(std::move(file));
  return std::make_unique<WholeFile>(std::move(file));
}

}  // namespace ecp
