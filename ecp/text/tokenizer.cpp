#include "ecp/text/tokenizer.h"

#include <array>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/bpe.h"
#include "ecp/text/json.h"
#include "ecp/text/sentencepiece.h"
#include "ecp/text/tokenizer_parts.h"
#include "ecp/text/utf8.h"
#include "ecp/text/wordpiece.h"

namespace ecp {
namespace {

constexpr std::size_t largest_model = std::size_t{256} << 20;
constexpr std::size_t largest_json = std::size_t{64} << 20;
constexpr const char* description_file = "tokenizer.json";
constexpr const char* model_file = "tokenizer.model";  // SentencePiece's
constexpr const char* vocab_file = "vocab.txt";        // WordPiece's
constexpr const char* bpe_file = "huggingface.json";   // Hugging Face's tokenizer.json under another name

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }

  std::string kind() const override { return "bytes"; }
  std::int64_t vocab_size() const override { return 256; }
  std::optional<Token> end_of_text() const override { return std::nullopt; }
  void encode(std::string_view text, std::vector<Token>& ids) const override {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    ids.insert(ids.end(), bytes, bytes + text.size());
  }
  std::size_t last_cut(std::string_view text) const override { return text.size(); }
  std::string_view bytes_of(Token token) const override {
    require(token < bytes_.size(), "token {}: expected one below the vocabulary's size, {}", token,
            bytes_.size());
    return {&bytes_[token], 1};
  }
  std::string hash() const override { return hash_bytes("ecp byte tokenizer"); }
  void save(const Path& folder) const override {
    write_file(folder / description_file, text::description(*this).dump(2) + "\n");
  }

 private:
  std::array<char, 256> bytes_{};
};

/// A folder that `save` wrote; `json` is its tokenizer.json.
std::shared_ptr<const Tokenizer> load_saved(const nlohmann::json& json, const Path& folder,
                                            const std::string& name) {
  text::check_format(json, "ecp-tokenizer", 1, name);
  const std::string kind = text::string_member(json, "kind", name);
  const std::string hash = text::string_member(json, "hash", name);
  const std::uint64_t vocab_size = text::count_member(json, "vocab_size", name);
  const auto read = [&](const char* file, const std::string& before) {
    std::string bytes = read_small_file(folder / file, largest_model);
    Hasher hasher;
    hasher.update(before);
    hasher.update(bytes);
    const std::string found = hasher.digest();
    require(found == hash, "'{}': damaged: expected the hash {} recorded in tokenizer.json, got {}",
            (folder / file).string(), hash, found);
    return bytes;
  };
  std::shared_ptr<const Tokenizer> tokenizer;
  if (kind == "bytes") {
    tokenizer = byte_tokenizer();
    require(tokenizer->hash() == hash, "'{}': expected the hash {}, got {}", name, tokenizer->hash(), hash);
  } else if (kind == "sentencepiece") {
    tokenizer = text::sentencepiece_tokenizer(read(model_file, ""), (folder / model_file).string(), true);
  } else if (kind == "wordpiece") {
    const bool wikitext = text::flag_member(json, "wikitext", name);
    tokenizer = text::wordpiece_tokenizer(read(vocab_file, text::wordpiece_hash_prefix(wikitext)),
                                          (folder / vocab_file).string(), wikitext, true);
  } else if (kind == "bpe") {
    std::string bytes = read(bpe_file, "");
    const std::string model_name = (folder / bpe_file).string();
    const nlohmann::json model = text::parse_object(bytes, model_name);
    tokenizer = text::bpe_tokenizer(std::move(bytes), model, model_name, true);
  } else {
    fail("'{}': expected the kind \"bytes\", \"sentencepiece\", \"wordpiece\" or \"bpe\", got \"{}\"", name,
         kind);
  }
  require(vocab_size == static_cast<std::uint64_t>(tokenizer->vocab_size()),
          "'{}': expected a vocab_size of {}, got {}", name, tokenizer->vocab_size(), vocab_size);
  return tokenizer;
}

/// Whether a tokenizer.json is Hugging Face's: it has a model, which ours hasn't.
bool is_hugging_face(const nlohmann::json& json) {
  return !json.contains("format") && json.contains("model");
}

std::shared_ptr<const Tokenizer> load_folder(const Path& folder) {
  const Path path = folder / description_file;
  require(std::filesystem::exists(path),
          "tokenizer '{}': expected a tokenizer.json in it, as `ecp tokenize` writes it, or Hugging Face's",
          folder.string());
  const std::string name = path.string();
  std::string text = read_small_file(path, largest_json);
  const nlohmann::json json = text::parse_object(text, name);
  return is_hugging_face(json) ? text::bpe_tokenizer(std::move(text), json, name, false)
                               : load_saved(json, folder, name);
}

}  // namespace

std::vector<Token> Tokenizer::encode(std::string_view text) const {
  std::vector<Token> ids;
  encode(text, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const Token> ids) const {
  std::string text;
  for (const Token id : ids) text += bytes_of(id);
  return text;
}

std::size_t Tokenizer::last_cut(std::string_view text) const { return last_segment_boundary(text); }

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto tokenizer = std::make_shared<const ByteTokenizer>();
  return tokenizer;
}

std::span<const std::string_view> tokenizer_files() {
  static constexpr std::array<std::string_view, 4> files = {description_file, model_file, vocab_file,
                                                            bpe_file};
  return files;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const Path& path) {
  if (std::filesystem::is_directory(path)) return load_folder(path);
  const std::string name = path.string();
  require(std::filesystem::exists(path), "tokenizer '{}': no such file or folder, nor \"bytes\"", name);
  const bool is_json = path.extension() == ".json";
  std::string bytes = read_small_file(path, is_json ? largest_json : largest_model);
  if (path.extension() == ".txt") return text::wordpiece_tokenizer(std::move(bytes), name, false, false);
  if (!is_json) return text::sentencepiece_tokenizer(std::move(bytes), name, false);
  const nlohmann::json json = text::parse_object(bytes, name);
  require(!json.contains("format"), "tokenizer '{}': expected its folder", name);
  return text::bpe_tokenizer(std::move(bytes), json, name, false);
}

}  // namespace ecp
