#include "ecp/text/wordpiece.h"

#include <array>
#include <unordered_map>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/bert_characters.h"
#include "ecp/text/json.h"
#include "ecp/text/per_thread.h"
#include "ecp/text/tokenizer_parts.h"
#include "ecp/text/unicode.h"
#include "ecp/text/utf8.h"
#include "ecp/text/word_cache.h"

namespace ecp::text {
namespace {

constexpr std::size_t most_characters = 100;  // of a word
constexpr std::size_t longest_token = 1024;   // bytes
constexpr std::size_t most_tokens = std::size_t{1} << 24;
constexpr std::string_view continues_mark = "##";

/// Tokens of the lines of a vocab.txt, without white space at their ends.
std::vector<std::string> read_vocab(std::string_view vocab, std::string_view name) {
  const std::size_t valid = utf8_prefix(vocab).length;
  require(valid == vocab.size(), "'{}': expected a vocabulary in UTF-8, got other bytes at {}", name, valid);
  std::vector<std::string> tokens;
  while (!vocab.empty()) {
    const std::size_t line_end = std::min(vocab.find('\n'), vocab.size());
    std::size_t end = line_end;
    while (end > 0) {
      const std::size_t last = previous_character(vocab, end);
      if (!is_white_space(character_at(vocab, last).code)) break;
      end = last;
    }
    const std::size_t line = tokens.size() + 1;
    require(end > 0, "'{}:{}': expected a token, got an empty line", name, line);
    require(end <= longest_token, "'{}:{}': expected a token of at most {} bytes, got {}", name, line,
            longest_token, end);
    require(tokens.size() < most_tokens, "'{}': expected at most {} tokens", name, most_tokens);
    tokens.emplace_back(vocab.substr(0, end));
    vocab.remove_prefix(std::min(line_end + 1, vocab.size()));
  }
  require(!tokens.empty(), "'{}': expected a vocabulary, got an empty file", name);
  return tokens;
}

class WordPieceTokenizer final : public Tokenizer {
 public:
  WordPieceTokenizer(std::string vocab, const std::string& name, bool wikitext, bool verified)
      : vocab_(std::move(vocab)), name_(name), wikitext_(wikitext), verified_(verified) {
    tokens_ = read_vocab(vocab_, name);
    for (Token id = 0; id < tokens_.size(); ++id) {
      const std::string_view token = tokens_[id];
      const auto [first, is_new] = whole_.emplace(token, id);
      require(is_new, "'{}:{}': the token {} stands on line {} already", name, id + 1, in_quotes(token),
              first->second + 1);
      longest_ = std::max(longest_, token.size());
      if (token.starts_with(continues_mark)) continuing_.emplace(token.substr(continues_mark.size()), id);
    }
    for (const char* special : {"[UNK]", "[SEP]", "[CLS]", "[PAD]", "[MASK]"}) {
      if (const auto found = whole_.find(special); found != whole_.end())
        specials_.emplace_back(special, found->second);
    }
    unknown_ = required("[UNK]");
    if (const auto found = whole_.find("[SEP]"); found != whole_.end()) separator_ = found->second;
    if (wikitext) {
      required("[SEP]");
      specials_.emplace_back("<unk>", unknown_);
      specials_.emplace_back("\n", *separator_);
    }
    for (const auto& special : specials_)
      special_begin_[static_cast<unsigned char>(special.first.front())] = true;
    for (unsigned c = 0; c < ascii_.size(); ++c) {
      ascii_[c] = bert_class(c);
      plain_[c] = ascii_[c] == BertClass::word;
    }
    make_bytes();
  }

  std::string kind() const override { return "wordpiece"; }
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  std::optional<Token> end_of_text() const override { return wikitext_ ? std::nullopt : separator_; }
  bool verified() const override { return verified_; }
  bool lossless() const override { return false; }
  std::string hash() const override { return hash_bytes(wordpiece_hash_prefix(wikitext_) + vocab_); }
  std::shared_ptr<const Tokenizer> for_wikitext() const override {
    return verified_ || wikitext_ ? nullptr : wordpiece_tokenizer(vocab_, name_, true, false);
  }

  void encode(std::string_view text, std::vector<Token>& ids) const override {
    const std::size_t valid = utf8_prefix(text).length;
    require(valid == text.size(), "text: not UTF-8 at byte {}", valid);
    auto lent = caches_.lend();
    WordCache& cache = *lent;
    std::string joined;  // a word from which characters were removed, so far
    std::size_t begin = 0, i = 0;
    enum { none, plain, with_gaps } word = none;
    const auto end_word = [&] {
      if (word != none) encode_word(word == plain ? text.substr(begin, i - begin) : joined, cache, ids);
      word = none;
    };
    while (i < text.size()) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (special_begin_[byte]) {
        if (const auto* special = special_at(text.substr(i))) {
          end_word();
          ids.push_back(special->second);
          i += special->first.size();
          continue;
        }
      }
      if (byte < 0x80 && plain_[byte]) {
        std::size_t end = i + 1;
        while (end < text.size() && is_plain(text[end])) ++end;
        if (word == none) begin = i, word = plain;
        if (word == with_gaps) joined += text.substr(i, end - i);
        i = end;
        continue;
      }
      const Character c = character_at(text, i);
      switch (byte < 0x80 ? ascii_[byte] : bert_class(c.code)) {
        case BertClass::word:
          if (word == none) begin = i, word = plain;
          if (word == with_gaps) joined += text.substr(i, c.bytes);
          break;
        case BertClass::removed:
          if (word == plain) joined = text.substr(begin, i - begin), word = with_gaps;
          break;
        case BertClass::space:
          end_word();
          break;
        case BertClass::alone:
          end_word();
          encode_word(text.substr(i, c.bytes), cache, ids);
          break;
      }
      i += c.bytes;
    }
    end_word();
  }

  std::size_t last_cut(std::string_view text) const override {
    for (std::size_t i = text.size(); i > 0; --i) {
      if (text[i - 1] == '\n' || text[i - 1] == ' ') return i;
    }
    return 0;
  }

  std::string_view bytes_of(Token token) const override { return entry_of(bytes_, token); }

  void save(const Path& folder) const override {
    write_file(folder / "vocab.txt", vocab_);
    nlohmann::ordered_json json = description(*this);
    json["wikitext"] = wikitext_;
    write_file(folder / "tokenizer.json", json.dump(2) + "\n");
  }

 private:
  using Special = std::pair<std::string_view, Token>;

  Token required(std::string_view token) const {
    const auto found = whole_.find(token);
    require(found != whole_.end(), "'{}': expected a vocabulary with the token {}", name_, token);
    return found->second;
  }

  void make_bytes() {
    for (const std::string& token : tokens_) {
      const bool continues = token.starts_with(continues_mark) && token.size() > continues_mark.size();
      bytes_.push_back(continues ? token.substr(continues_mark.size()) : " " + token);
    }
    if (separator_) bytes_[*separator_] = wikitext_ ? " \n" : "";
    if (wikitext_) bytes_[unknown_] = " <unk>";
  }

  [[nodiscard]] bool is_plain(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x80 && plain_[byte];
  }

  [[nodiscard]] const Special* special_at(std::string_view rest) const {
    for (const Special& special : specials_) {
      if (rest.starts_with(special.first)) return &special;
    }
    return nullptr;
  }

  void encode_word(std::string_view word, WordCache& cache, std::vector<Token>& ids) const {
    if (cache.find(word, ids)) return;
    const std::size_t before = ids.size();
    take_apart(word, ids);
    cache.insert(word, std::span(ids).subspan(before));
  }

  /// The longest piece first, at most 100 characters of word: at most some thousand look-ups.
  void take_apart(std::string_view word, std::vector<Token>& ids) const {
    const std::size_t before = ids.size();
    std::size_t characters = 0;
    for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    bool known = characters <= most_characters;
    for (std::size_t begin = 0; known && begin < word.size();) {
      const auto& pieces = begin == 0 ? whole_ : continuing_;
      std::size_t end = utf8_floor(word, std::min(word.size(), begin + longest_));
      auto found = pieces.end();
      for (; end > begin; end = previous_character(word, end)) {
        found = pieces.find(word.substr(begin, end - begin));
        if (found != pieces.end()) break;
      }
      known = end > begin;
      if (known) ids.push_back(found->second);
      begin = end;
    }
    if (known) return;
    ids.resize(before);
    ids.push_back(unknown_);
  }

  std::string vocab_, name_;
  bool wikitext_, verified_;
  std::vector<std::string> tokens_, bytes_;
  std::unordered_map<std::string_view, Token> whole_, continuing_;  // those after "##"
  std::size_t longest_ = 0;
  std::vector<Special> specials_;
  Token unknown_ = 0;
  std::optional<Token> separator_;
  std::array<BertClass, 128> ascii_{};
  std::array<bool, 128> plain_{};
  std::array<bool, 256> special_begin_{};
  mutable PerThread<WordCache> caches_;
};

}  // namespace

std::shared_ptr<const Tokenizer> wordpiece_tokenizer(std::string vocab, const std::string& name,
                                                     bool wikitext, bool verified) {
  return std::make_shared<const WordPieceTokenizer>(std::move(vocab), name, wikitext, verified);
}

std::string wordpiece_hash_prefix(bool wikitext) {
  return wikitext ? "wordpiece, wikitext\n" : "wordpiece\n";
}

}  // namespace ecp::text
