#include "ecp/text/bpe.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/bpe_file.h"
#include "ecp/text/per_thread.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/tokenizer_parts.h"
#include "ecp/text/unicode.h"
#include "ecp/text/utf8.h"
#include "ecp/text/word_cache.h"

namespace ecp::text {
namespace {

constexpr Token no_token = UINT32_MAX;

/// The bytes that ByteLevel's alphabet spells as `token`; none for a token of other characters.
std::optional<std::string> spelled_bytes(std::string_view token) {
  std::string bytes;
  for (std::size_t i = 0; i < token.size();) {
    const Character c = character_at(token, i);
    const int byte = character_byte(c.code);
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    i += c.bytes;
  }
  return bytes;
}

/// Where a word ends that begins at `begin` > the last end: before a mark that follows another character.
/// `each`: every mark begins one.
std::size_t marked_word_end(std::string_view text, std::size_t begin, bool each) {
  std::size_t end = begin;
  if (!each) {
    while (text.substr(end).starts_with(space_mark)) end += space_mark.size();
  } else if (text.substr(end).starts_with(space_mark)) {
    end += space_mark.size();
  }
  return std::min(text.find(space_mark, end), text.size());
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(std::string bytes, const nlohmann::json& json, const std::string& name, bool verified)
      : json_(std::move(bytes)),
        hash_(hash_bytes(json_)),
        verified_(verified),
        file_(read_bpe_file(json, name)) {
    const bool byte_level = file_.words == BpeWords::byte_level;
    for (Token id = 0; id < file_.tokens.size(); ++id) add_token(file_.tokens[id], id, byte_level);
    if (file_.byte_fallback) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        const auto found = ids_.find(fmt::format("<0x{:02X}>", byte));
        byte_ids_[byte] = found->second;
        bytes_[found->second] = std::string(1, static_cast<char>(byte));
      }
    }
    for (const AddedToken& token : file_.added) add_added(token);
    // Merges that reach over the beginning of a word keep text together.
    one_word_ =
        file_.words == BpeWords::whole && (file_.ignore_merges || !ids_.contains(std::string(space_mark)));
    for (const std::string& token : file_.tokens) {
      if (file_.words == BpeWords::whole && marked_word_end(token, 0, false) < token.size()) one_word_ = true;
    }
    any_length_ = byte_level && !file_.pattern;
    lossless_ = lossless_ && byte_level && !file_.prefix_space &&
                std::find(byte_ids_.begin(), byte_ids_.end(), no_token) == byte_ids_.end();
    cuts_at_line_ends_ = cuts_at_line_ends_ && byte_level;
  }

  std::string kind() const override { return "bpe"; }
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::optional<Token> end_of_text() const override { return end_of_text_; }
  bool verified() const override { return verified_; }
  bool lossless() const override { return lossless_; }
  std::string hash() const override { return hash_; }
  void encode(std::string_view text, std::vector<Token>& ids) const override { encode(text, false, ids); }
  void encode_more(std::string_view text, std::vector<Token>& ids) const override { encode(text, true, ids); }

  std::size_t last_cut(std::string_view text) const override {
    if (one_word_ || any_length_) return 0;
    for (std::size_t i = text.size(); i > 0; --i) {
      if (!is_word_cut(text, i)) continue;
      if (text[i] == ' ' ? raw_.allow_cut(text, i) && normalized_.allow_cut(text, i) : cuts_at_line_ends_)
        return i;
    }
    return 0;
  }

  std::string_view bytes_of(Token token) const override { return entry_of(bytes_, token); }

  void save(const Path& folder) const override {
    write_file(folder / "huggingface.json", json_);
    nlohmann::ordered_json json = description(*this);
    json["end_of_text"] = end_of_text_ ? nlohmann::ordered_json(*end_of_text_) : nlohmann::ordered_json();
    write_file(folder / "tokenizer.json", json.dump(2) + "\n");
  }

 private:
  struct State {
    WordCache cache;
    BpeMerger merger;
    std::vector<Token> word;
    std::string section;
    std::vector<AddedTokens::Match> raw, normalized;
  };

  void add_token(const std::string& token, Token id, bool byte_level) {
    if (byte_level) {
      const auto spelled = spelled_bytes(token);
      bytes_.push_back(spelled ? *spelled : token);
      if (spelled) ids_.emplace(*spelled, id);
      if (spelled && spelled->size() == 1) byte_ids_[static_cast<unsigned char>(spelled->front())] = id;
      return;
    }
    ids_.emplace(token, id);
    const Character first = character_at(token, 0);
    if (first.bytes == token.size() && first.code < ascii_ids_.size()) ascii_ids_[first.code] = id;
    bytes_.push_back(with_spaces(token));
  }

  void add_added(const AddedToken& token) {
    if (token.id == bytes_.size()) bytes_.emplace_back();
    bytes_[token.id] = token.content;
    if (!token.normalized) {
      raw_.add(token);
    } else {
      AddedToken normal = token;
      normal.content = normalize(token.content, file_.prepend_mark);
      normalized_.add(normal);
    }
    lossless_ = lossless_ && !token.left_strip && !token.right_strip;
    // Such a token could reach over a line end.
    if (token.content.find('\n') != std::string::npos || token.left_strip || token.right_strip)
      cuts_at_line_ends_ = false;
    static constexpr std::array<std::string_view, 4> ends = {"<|endoftext|>", "<|end_of_text|>", "</s>",
                                                             "<eos>"};
    const auto rank =
        static_cast<std::size_t>(std::find(ends.begin(), ends.end(), token.content) - ends.begin());
    if (!token.special || rank >= end_rank_) return;
    if (end_of_text_) bytes_[*end_of_text_] = ends[end_rank_];
    end_rank_ = rank;
    end_of_text_ = token.id;
    bytes_[token.id].clear();
  }

  [[nodiscard]] std::string normalize(std::string_view text, bool prepend) const {
    std::string result = file_.mark_spaces ? with_marks(text) : std::string(text);
    if (prepend && !text.empty()) result.insert(0, space_mark);
    return result;
  }

  /// Calls section(text, is_first) for what stands between matches, which become ids.
  template <class Section>
  static void between(std::string_view text, const std::vector<AddedTokens::Match>& matches,
                      std::vector<Token>& ids, const Section& section) {
    std::size_t done = 0;
    for (const AddedTokens::Match& match : matches) {
      if (done < match.begin) section(text.substr(done, match.begin - done), done == 0);
      ids.push_back(match.id);
      done = match.end;
    }
    if (done < text.size()) section(text.substr(done), done == 0);
  }

  void encode(std::string_view text, bool continues, std::vector<Token>& ids) const {
    const std::size_t valid = utf8_prefix(text).length;
    require(valid == text.size(), "text: not UTF-8 at byte {}", valid);
    auto lent = states_.lend();
    State& state = *lent;
    state.raw.clear();
    raw_.find(text, state.raw);
    between(text, state.raw, ids, [&](std::string_view part, bool is_first) {
      std::string normal;
      if (file_.mark_spaces || file_.prepend_mark) {
        normal = normalize(part, file_.prepend_mark && !(is_first && continues));
        part = normal;
      }
      state.normalized.clear();
      normalized_.find(part, state.normalized);
      between(part, state.normalized, ids, [&](std::string_view section, bool begins) {
        encode_section(section, is_first && begins, continues, state, ids);
      });
    });
  }

  void encode_section(std::string_view text, bool is_first, bool continues, State& state,
                      std::vector<Token>& ids) const {
    const bool may_prepend = !(is_first && continues);
    if (file_.prefix_space && may_prepend && !text.starts_with(' ')) {
      state.section.assign(" ").append(text);
      text = state.section;
    }
    if (file_.metaspace) {
      state.section = with_marks(text);
      const bool wanted = file_.prepend_scheme == BpeFile::Prepend::always ||
                          (file_.prepend_scheme == BpeFile::Prepend::first && is_first);
      if (wanted && may_prepend && !state.section.starts_with(space_mark))
        state.section.insert(0, space_mark);
      text = state.section;
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = word_end(text, begin);
      encode_word(text.substr(begin, end - begin), state, ids);
      begin = end;
    }
  }

  [[nodiscard]] std::size_t word_end(std::string_view text, std::size_t begin) const {
    if (file_.pattern) return begin + match_length(*file_.pattern, text, begin);
    if (one_word_ || any_length_) return text.size();
    return marked_word_end(text, begin, file_.words == BpeWords::marks);
  }

  void encode_word(std::string_view text, State& state, std::vector<Token>& ids) const {
    if (state.cache.find(text, ids)) return;
    require(text.size() < UINT32_MAX, "text: expected words below 4 GiB, got one of {} bytes", text.size());
    state.word.clear();
    const auto known = file_.ignore_merges ? ids_.find(text) : ids_.end();
    if (known != ids_.end()) {
      state.word.push_back(known->second);
    } else {
      file_.words == BpeWords::byte_level ? add_bytes(text, state.word) : add_characters(text, state.word);
      state.merger.merge(file_.merges, state.word);
    }
    state.cache.insert(text, state.word);
    ids.insert(ids.end(), state.word.begin(), state.word.end());
  }

  void add_bytes(std::string_view text, std::vector<Token>& word) const {
    bool unknown = false;
    for (const char c : text) {
      const Token id = byte_ids_[static_cast<unsigned char>(c)];
      add_known(id, unknown, word);
    }
  }

  void add_characters(std::string_view text, std::vector<Token>& word) const {
    bool unknown = false;
    for (std::size_t i = 0; i < text.size();) {
      const Character c = character_at(text, i);
      const std::string_view character = text.substr(i, c.bytes);
      const Token id = id_of(c, character);
      if (id == no_token && file_.byte_fallback) {
        for (const char byte : character) word.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      } else {
        add_known(id, unknown, word);
      }
      i += c.bytes;
    }
  }

  /// A character's token, or the unknown token: one for a run of unknown characters if they are fused.
  void add_known(Token id, bool& unknown, std::vector<Token>& word) const {
    const bool fused = id == no_token && unknown && file_.fuse_unknown;
    unknown = id == no_token;
    if (!fused) word.push_back(unknown ? *file_.unknown : id);
  }

  [[nodiscard]] Token id_of(Character c, std::string_view bytes) const {
    if (c.code < ascii_ids_.size()) return ascii_ids_[c.code];
    const auto found = ids_.find(bytes);
    return found != ids_.end() ? found->second : no_token;
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  template <class T>
  static T filled(Token id) {
    T ids{};
    ids.fill(id);
    return ids;
  }

  std::string json_, hash_;
  bool verified_;
  BpeFile file_;
  std::unordered_map<std::string, Token, Hash, std::equal_to<>>
      ids_;  // of words: bytes for ByteLevel, else marked
  std::array<Token, 256> byte_ids_ = filled<std::array<Token, 256>>(no_token);
  std::array<Token, 128> ascii_ids_ = filled<std::array<Token, 128>>(no_token);
  std::vector<std::string> bytes_;
  AddedTokens raw_, normalized_;
  std::optional<Token> end_of_text_;
  std::size_t end_rank_ = 4;  // of it in the list of names
  bool lossless_ = true, cuts_at_line_ends_ = true;
  bool one_word_ = false;    // text without spaces between its words, for merges
  bool any_length_ = false;  // ByteLevel without a pattern
  mutable PerThread<State> states_;
};

}  // namespace

std::shared_ptr<const Tokenizer> bpe_tokenizer(std::string bytes, const nlohmann::json& json,
                                               const std::string& name, bool verified) {
  return std::make_shared<const BpeTokenizer>(std::move(bytes), json, name, verified);
}

}  // namespace ecp::text
