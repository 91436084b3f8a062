#include "ecp/text/sentencepiece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <array>
#include <mutex>
#include <span>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/json.h"
#include "ecp/text/per_thread.h"
#include "ecp/text/sentencepiece_bpe.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/tokenizer_parts.h"
#include "ecp/text/utf8.h"
#include "ecp/text/word_cache.h"

namespace sentencepiece::logging {
void SetMinLogLevel(int level);  // exported by the library, declared in a header that isn't installed
}

namespace ecp::text {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, const std::string& name, bool verified)
      : model_(std::move(model)), hash_(hash_bytes(model_)), verified_(verified) {
    silence_sentencepiece();
    const SafeModel safe = check_model(model_, name);
    const auto status = processor_.LoadFromSerializedProto({safe.bytes.data(), safe.bytes.size()});
    require(status.ok(), "'{}': SentencePiece cannot use this model: {}", name, status.message());
    if (!safe.not_applied.empty())
      differences_ = fmt::format("text is encoded as it is written; of this model aren't applied: {}",
                                 fmt::join(safe.not_applied, ", "));
    require(processor_.GetPieceSize() == static_cast<int>(safe.pieces.size()),
            "'{}': not a SentencePiece model, or damaged", name);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const int id = processor_.PieceToId(fmt::format("<0x{:02X}>", byte));
      require(processor_.IsByte(id), "'{}': expected a model with byte fallback (a piece for every byte)",
              name);
      byte_ids_[byte] = static_cast<Token>(id);
    }
    // Without a piece of its own a space would be encoded as the bytes of its mark, and decoded as that.
    const Piece& space = safe.pieces[static_cast<std::size_t>(processor_.PieceToId(std::string(space_mark)))];
    require(space.text == space_mark &&
                (space.type == PieceType::normal || space.type == PieceType::user_defined),
            "'{}': expected a model with a piece for the space", name);
    for (const Piece& piece : safe.pieces) bytes_.push_back(bytes_for(piece));
    for (std::size_t byte = 0; byte < 256; ++byte)
      bytes_[byte_ids_[byte]] = std::string(1, static_cast<char>(byte));
    bpe_ = SentencePieceBpe::make(safe, byte_ids_);
    const int newline = processor_.PieceToId("\n");
    newline_ = safe.pieces[static_cast<std::size_t>(newline)].text == "\n" ? static_cast<Token>(newline)
                                                                           : byte_ids_['\n'];
    if (const int id = processor_.eos_id(); id >= 0) end_of_text_ = static_cast<Token>(id);
  }

  std::string kind() const override { return "sentencepiece"; }
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::optional<Token> end_of_text() const override { return end_of_text_; }
  bool verified() const override { return verified_; }
  std::string hash() const override { return hash_; }
  std::string differences() const override { return differences_; }

  void encode(std::string_view text, std::vector<Token>& ids) const override {
    const std::size_t valid = utf8_prefix(text).length;
    require(valid == text.size(), "text: not UTF-8 at byte {}", valid);
    auto lent = caches_.lend();
    WordCache& cache = *lent;
    while (!text.empty()) {
      const std::string_view segment = text.substr(0, next_segment(text));
      text.remove_prefix(segment.size());
      if (segment == "\n") {
        ids.push_back(newline_);
      } else if (!cache.find(segment, ids)) {
        const std::size_t before = ids.size();
        encode_segment(segment, ids);
        cache.insert(segment, std::span(ids).subspan(before));
      }
    }
  }

  std::string_view bytes_of(Token token) const override { return entry_of(bytes_, token); }

  void save(const Path& folder) const override {
    write_file(folder / "tokenizer.model", model_);
    nlohmann::ordered_json json = description(*this);
    json["end_of_text"] = end_of_text_ ? nlohmann::ordered_json(*end_of_text_) : nlohmann::ordered_json();
    json["model_bytes"] = model_.size();
    write_file(folder / "tokenizer.json", json.dump(2) + "\n");
  }

 private:
  static std::string bytes_for(const Piece& piece) {
    const bool is_text = piece.type != PieceType::control && piece.type != PieceType::unknown;
    return is_text ? with_spaces(piece.text) : "";
  }

  /// A space mark that stands in the text itself would come back as a space, and NUL ends strings in too many
  /// places: both are written as bytes.
  void encode_segment(std::string_view segment, std::vector<Token>& ids) const {
    while (!segment.empty()) {
      const std::size_t mark = segment.find(space_mark), zero = segment.find('\0');
      const std::size_t plain = std::min({mark, zero, segment.size()});
      if (plain > 0) encode_plain(segment.substr(0, plain), ids);
      segment.remove_prefix(plain);
      if (segment.empty()) break;
      const std::size_t special = segment.front() == '\0' ? 1 : space_mark.size();
      for (const char c : segment.substr(0, special)) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      segment.remove_prefix(special);
    }
  }

  void encode_plain(std::string_view text, std::vector<Token>& ids) const {
    if (bpe_) {
      bpe_->encode(text, ids);
      return;
    }
    std::vector<int> found;
    const auto status = processor_.Encode({text.data(), text.size()}, &found);
    require(status.ok(), "SentencePiece cannot encode text of {} bytes: {}", text.size(), status.message());
    for (const int id : found) ids.push_back(static_cast<Token>(id));
  }

  std::string model_, hash_, differences_;
  bool verified_;
  sentencepiece::SentencePieceProcessor processor_;
  std::array<Token, 256> byte_ids_{};
  std::optional<SentencePieceBpe> bpe_;
  std::vector<std::string> bytes_;
  Token newline_ = 0;
  std::optional<Token> end_of_text_;
  mutable PerThread<WordCache> caches_;
};

}  // namespace

void silence_sentencepiece() {
  constexpr int fatal = 3;
  static std::once_flag once;
  std::call_once(once, [] { sentencepiece::logging::SetMinLogLevel(fatal); });
}

std::shared_ptr<const Tokenizer> sentencepiece_tokenizer(std::string model, const std::string& name,
                                                         bool verified) {
  return std::make_shared<const SentencePieceTokenizer>(std::move(model), name, verified);
}

}  // namespace ecp::text
