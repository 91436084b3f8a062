#include "ecp/text/tokenizer.h"

#include <array>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/json.h"
#include "ecp/text/sentencepiece.h"

namespace ecp {
namespace {

constexpr std::size_t largest_description = std::size_t{1} << 20;
constexpr std::size_t largest_model = std::size_t{256} << 20;

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
  std::string_view bytes_of(Token token) const override {
    require(token < bytes_.size(), "token {}: expected one below the vocabulary's size, {}", token,
            bytes_.size());
    return {&bytes_[token], 1};
  }
  std::string hash() const override { return hash_bytes("ecp byte tokenizer"); }
  void save(const Path& folder) const override {
    const nlohmann::ordered_json json = {{"format", "ecp-tokenizer"},
                                         {"version", 1},
                                         {"kind", kind()},
                                         {"vocab_size", vocab_size()},
                                         {"hash", hash()}};
    write_file(folder / "tokenizer.json", json.dump(2) + "\n");
  }

 private:
  std::array<char, 256> bytes_{};
};

std::shared_ptr<const Tokenizer> load_folder(const Path& folder) {
  const Path path = folder / "tokenizer.json";
  require(std::filesystem::exists(path),
          "tokenizer '{}': expected a tokenizer.json in it, as `ecp tokenize` writes it", folder.string());
  const std::string name = path.string();
  const nlohmann::json json = text::parse_object(read_small_file(path, largest_description), name);
  text::check_format(json, "ecp-tokenizer", 1, name);
  const std::string kind = text::string_member(json, "kind", name);
  const std::string hash = text::string_member(json, "hash", name);
  const std::uint64_t vocab_size = text::count_member(json, "vocab_size", name);
  std::shared_ptr<const Tokenizer> tokenizer;
  if (kind == "bytes") {
    tokenizer = byte_tokenizer();
    require(tokenizer->hash() == hash, "'{}': expected the hash {}, got {}", name, tokenizer->hash(), hash);
  } else if (kind == "sentencepiece") {
    const Path model = folder / "tokenizer.model";
    std::string bytes = read_small_file(model, largest_model);
    const std::string found = hash_bytes(bytes);
    require(found == hash, "'{}': damaged: expected the hash {} recorded in tokenizer.json, got {}",
            model.string(), hash, found);
    tokenizer = text::sentencepiece_tokenizer(std::move(bytes), model.string(), true);
  } else {
    fail("'{}': expected the kind \"bytes\" or \"sentencepiece\", got \"{}\"", name, kind);
  }
  require(vocab_size == static_cast<std::uint64_t>(tokenizer->vocab_size()),
          "'{}': expected a vocab_size of {}, got {}", name, tokenizer->vocab_size(), vocab_size);
  return tokenizer;
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

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto tokenizer = std::make_shared<const ByteTokenizer>();
  return tokenizer;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const Path& path) {
  if (std::filesystem::is_directory(path)) return load_folder(path);
  require(std::filesystem::exists(path), "tokenizer '{}': no such file or folder", path.string());
  require(path.filename() != "tokenizer.json", "tokenizer '{}': expected its folder", path.string());
  return text::sentencepiece_tokenizer(read_small_file(path, largest_model), path.string(), false);
}

}  // namespace ecp
