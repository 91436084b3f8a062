#include "ecp/text/bpe_file.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "ecp/base/error.h"
#include "ecp/text/json.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/unicode.h"
#include "ecp/text/utf8.h"

namespace ecp::text {
namespace {

using Json = nlohmann::json;

constexpr std::size_t longest_token = 1024;  // bytes
constexpr std::size_t most_tokens = std::size_t{1} << 24;
constexpr std::size_t most_added = std::size_t{1} << 16;

/// ByteLevel's alphabet: printable bytes of Latin-1 stand for themselves, others for U+0100 and on.
struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::array<int, 0x144> bytes{};

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      characters[byte] = printable ? byte : next++;
      bytes[characters[byte]] = static_cast<int>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

/// A part of the file: an object with its "type". Members that aren't asked for could change ids unnoticed,
/// so `known` lists them all.
class Component {
 public:
  Component(const Json& json, std::string where, const std::string& name)
      : json_(json), where_(std::move(where)), name_(name) {
    require(json.is_object(), "'{}': expected an object as {}", name_, where_);
  }

  [[nodiscard]] std::string type() const {
    const auto found = json_.find("type");
    require(found != json_.end() && found->is_string(), "'{}': expected a string \"type\" in {}", name_,
            where_);
    return found->get<std::string>();
  }
  [[noreturn]] void refuse(std::string_view what = "") const {
    fail("'{}': the {} {}{}{} is not supported", name_, where_, in_quotes(type()),
         what.empty() ? "" : " with ", what);
  }
  void known(std::initializer_list<std::string_view> members) const {
    for (const auto& [key, value] : json_.items()) {
      require(std::find(members.begin(), members.end(), key) != members.end(),
              "'{}': the member {} of {} is unknown", name_, in_quotes(key), where_);
    }
  }
  [[nodiscard]] bool flag(const char* key, bool otherwise) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return otherwise;
    require(found->is_boolean(), "'{}': expected true or false as \"{}\" in {}", name_, key, where_);
    return found->get<bool>();
  }
  /// "" where it is absent or null.
  [[nodiscard]] std::string text(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return "";
    require(found->is_string(), "'{}': expected a string \"{}\" in {}", name_, key, where_);
    return found->get<std::string>();
  }
  [[nodiscard]] bool has(const char* key) const {
    const auto found = json_.find(key);
    return found != json_.end() && !found->is_null();
  }
  [[nodiscard]] const Json& member(const char* key) const { return json_.at(key); }
  /// The components of a Sequence, or this one.
  [[nodiscard]] std::vector<Component> parts(const char* list) const {
    if (type() != "Sequence") return {*this};
    std::vector<Component> parts;
    const auto found = json_.find(list);
    require(found != json_.end() && found->is_array(), "'{}': expected a list \"{}\" in {}", name_, list,
            where_);
    for (const Json& part : *found) parts.emplace_back(part, where_, name_);
    for (const Component& part : parts) {
      if (part.type() == "Sequence") part.refuse("another one around it");
    }
    return parts;
  }
  /// {"String": ...} or {"Regex": ...}.
  [[nodiscard]] std::pair<std::string, std::string> pattern() const {
    const auto found = json_.find("pattern");
    const bool good =
        found != json_.end() && found->is_object() && found->size() == 1 && found->begin()->is_string();
    require(good, "'{}': expected a \"pattern\" of one String or Regex in {}", name_, where_);
    return {found->begin().key(), found->begin()->get<std::string>()};
  }

 private:
  const Json& json_;
  std::string where_;
  const std::string& name_;
};

std::optional<Component> component(const Json& json, const char* key, const char* where,
                                   const std::string& name) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return std::nullopt;
  return Component(*found, where, name);
}

void read_normalizer(const Json& json, const std::string& name, BpeFile& file) {
  const auto normalizer = component(json, "normalizer", "normalizer", name);
  if (!normalizer) return;
  for (const Component& part : normalizer->parts("normalizers")) {
    if (part.type() == "Prepend" && part.text("prepend") == space_mark && !file.prepend_mark) {
      file.prepend_mark = true;
    } else if (part.type() == "Replace") {
      const auto [kind, from] = part.pattern();
      if (kind != "String" || from != " " || part.text("content") != space_mark) {
        part.refuse("other than \" \" by \"\u2581\"");
      }
      file.mark_spaces = true;
    } else {
      part.refuse();
    }
  }
}

void read_byte_level(const Component& part, BpeFile& file, bool split_before) {
  part.known({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  file.words = BpeWords::byte_level;
  file.prefix_space = part.flag("add_prefix_space", true);
  const bool own_pattern = part.flag("use_regex", true);
  if (split_before && (own_pattern || file.prefix_space))
    part.refuse("a Split before it and use_regex or add_prefix_space");
  if (own_pattern) file.pattern = SplitPattern::gpt2;
}

void read_metaspace(const Component& part, BpeFile& file) {
  part.known({"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  if (part.text("replacement") != space_mark) part.refuse("another replacement than \"\u2581\"");
  const std::string scheme = part.text("prepend_scheme");
  using Prepend = BpeFile::Prepend;
  if (scheme == "first") {
    file.prepend_scheme = Prepend::first;
  } else if (scheme == "never") {
    file.prepend_scheme = Prepend::never;
  } else if (scheme == "always") {
    file.prepend_scheme = Prepend::always;
  } else if (scheme.empty()) {
    file.prepend_scheme = part.flag("add_prefix_space", true) ? Prepend::always : Prepend::never;
  } else {
    part.refuse("the prepend_scheme " + in_quotes(scheme));
  }
  file.words = part.flag("split", true) ? BpeWords::marks : BpeWords::whole;
  file.metaspace = true;
}

void read_pre_tokenizer(const Json& json, const std::string& name, BpeFile& file) {
  const auto pre_tokenizer = component(json, "pre_tokenizer", "pre_tokenizer", name);
  if (!pre_tokenizer) return;
  const std::vector<Component> parts = pre_tokenizer->parts("pretokenizers");
  bool split = false, done = false;
  for (const Component& part : parts) {
    const std::string type = part.type();
    if (done) part.refuse("another one before it");
    if (type == "ByteLevel") {
      read_byte_level(part, file, split);
      done = true;
    } else if (type == "Metaspace" && !split) {
      read_metaspace(part, file);
      done = true;
    } else if (type == "Split" && !split) {
      part.known({"type", "pattern", "behavior", "invert"});
      split = true;
      const auto [kind, pattern] = part.pattern();
      // After the normaliser there are no spaces to split at.
      if (kind == "String" && pattern == " " && file.mark_spaces && parts.size() == 1) continue;
      file.pattern = kind == "Regex" ? split_pattern(pattern) : std::nullopt;
      if (!file.pattern) part.refuse("the pattern " + in_quotes(pattern));
      if (part.text("behavior") != "Isolated" || part.flag("invert", false)) part.refuse("this behavior");
    } else {
      part.refuse();
    }
  }
  if (file.pattern && !done) pre_tokenizer->refuse("a Split and no ByteLevel after it");
}

/// These add nothing when text is encoded without special tokens.
void check_post_processor(const Json& json, const std::string& name) {
  const auto post_processor = component(json, "post_processor", "post_processor", name);
  if (!post_processor) return;
  for (const Component& part : post_processor->parts("processors")) {
    const std::string type = part.type();
    if (type != "ByteLevel" && type != "TemplateProcessing" && type != "RobertaProcessing" &&
        type != "BertProcessing") {
      part.refuse();
    }
  }
}

/// What tokens decode to follows from how text is encoded; a decoder that says otherwise is refused.
void check_decoder(const Json& json, const std::string& name, const BpeFile& file) {
  const auto decoder = component(json, "decoder", "decoder", name);
  if (!decoder) return;
  for (const Component& part : decoder->parts("decoders")) {
    const std::string type = part.type();
    const bool good = file.words == BpeWords::byte_level
                          ? type == "ByteLevel"
                          : type == "Replace" || type == "ByteFallback" || type == "Fuse" ||
                                type == "Strip" || type == "Metaspace";
    if (!good) part.refuse();
  }
}

using Ids = std::unordered_map<std::string_view, Token>;

void check_token(std::string_view token, const std::string& name) {
  require(!token.empty(), "'{}': expected no empty token", name);
  require(token.size() <= longest_token, "'{}': expected tokens of at most {} bytes, got {}", name,
          longest_token, in_quotes(token));
}

Token read_id(const Json& value, std::string_view token, std::size_t below, const std::string& name) {
  require(value.is_number_unsigned() && value.get<std::uint64_t>() < below,
          "'{}': the token {}: expected an id below {}, as ids have no gaps, got {}", name, in_quotes(token),
          below, in_quotes(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return value.get<Token>();
}

Ids read_vocab(const Json& model, const std::string& name, BpeFile& file) {
  const Json& vocab = object_member(model, "vocab", name);
  require(!vocab.empty() && vocab.size() <= most_tokens,
          "'{}': expected a vocabulary of 1 to {} tokens, got {}", name, most_tokens, vocab.size());
  file.tokens.resize(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    check_token(token, name);
    std::string& place = file.tokens[read_id(value, token, vocab.size(), name)];
    require(place.empty(), "'{}': the tokens {} and {} have the same id", name, in_quotes(place),
            in_quotes(token));
    place = token;
  }
  Ids ids;
  for (Token id = 0; id < file.tokens.size(); ++id) ids.emplace(file.tokens[id], id);
  return ids;
}

/// "left right" or ["left", "right"].
std::pair<std::string, std::string> read_pair(const Json& merge, std::size_t index, const std::string& name) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  const std::string text = merge.is_string() ? merge.get<std::string>() : "";
  const std::size_t space = text.find(' ');
  require(space != std::string::npos && text.find(' ', space + 1) == std::string::npos,
          "'{}': merge {}: expected \"left right\" or [\"left\", \"right\"]", name, index);
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_merges(const Json& model, const std::string& name, const Ids& ids, BpeFile& file) {
  const Json& merges = array_member(model, "merges", name);
  file.merges = BpeMerges(merges.size());
  const auto id_of = [&](const std::string& token, std::size_t index) {
    const auto found = ids.find(token);
    require(found != ids.end(), "'{}': merge {}: {} is not in the vocabulary", name, index, in_quotes(token));
    return found->second;
  };
  std::uint32_t rank = 0;
  for (const Json& merge : merges) {
    const auto [left, right] = read_pair(merge, rank, name);
    const BpeMerge made{rank, id_of(left + right, rank)};
    require(file.merges.insert(id_of(left, rank), id_of(right, rank), made),
            "'{}': merge {}: {} {} occurs twice", name, rank, in_quotes(left), in_quotes(right));
    ++rank;
  }
}

void read_model(const Json& json, const std::string& name, BpeFile& file) {
  const Component model(object_member(json, "model", name), "model", name);
  if (model.has("type") && model.type() != "BPE") model.refuse();
  model.known({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges", "vocab", "merges"});
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    require(model.text(key).empty(), "'{}': the model's {} {} is not supported", name, key,
            in_quotes(model.text(key)));
  }
  require(!model.has("dropout") || model.member("dropout") == 0.0,
          "'{}': the model's dropout is not supported", name);
  file.fuse_unknown = model.flag("fuse_unk", false);
  file.byte_fallback = model.flag("byte_fallback", false);
  file.ignore_merges = model.flag("ignore_merges", false);
  const Json& members = object_member(json, "model", name);
  const Ids ids = read_vocab(members, name, file);
  read_merges(members, name, ids, file);
  if (const std::string unknown = model.text("unk_token"); !unknown.empty()) {
    const auto found = ids.find(unknown);
    require(found != ids.end(), "'{}': the unk_token {} is not in the vocabulary", name, in_quotes(unknown));
    file.unknown = found->second;
  }
}

void read_added(const Json& json, const std::string& name, BpeFile& file) {
  const auto list = json.find("added_tokens");
  if (list == json.end() || list->is_null()) return;
  require(list->is_array() && list->size() <= most_added,
          "'{}': expected a list of at most {} \"added_tokens\"", name, most_added);
  std::unordered_map<std::string, Token> ids;
  for (Token id = 0; id < file.tokens.size(); ++id) ids.emplace(file.tokens[id], id);
  std::unordered_map<std::string, bool> seen;
  std::size_t next = file.tokens.size();
  for (const Json& member : *list) {
    const Component token(member, "an added token", name);
    token.known({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken added;
    added.content = token.text("content");
    require(!added.content.empty() && added.content.size() <= AddedTokens::longest && is_utf8(added.content),
            "'{}': expected added tokens of 1 to {} bytes, got {}", name, AddedTokens::longest,
            in_quotes(added.content));
    require(seen.emplace(added.content, true).second, "'{}': the added token {} occurs twice", name,
            in_quotes(added.content));
    require(!token.flag("single_word", false), "'{}': the added token {}: single_word is not supported", name,
            in_quotes(added.content));
    added.special = token.flag("special", false);
    added.left_strip = token.flag("lstrip", false);
    added.right_strip = token.flag("rstrip", false);
    added.normalized = token.flag("normalized", !added.special);
    const auto in_model = ids.find(added.content);
    const std::size_t expected = in_model != ids.end() ? in_model->second : next++;
    require(token.has("id") && token.member("id").is_number_unsigned() && token.member("id") == expected,
            "'{}': the added token {}: expected the id {}, as ids have no gaps", name,
            in_quotes(added.content), expected);
    added.id = static_cast<Token>(expected);
    file.added.push_back(std::move(added));
  }
}

/// Every character must have a token, or text would vanish.
void check_alphabet(const std::string& name, const BpeFile& file) {
  const std::unordered_map<std::string_view, Token> ids = [&] {
    std::unordered_map<std::string_view, Token> made;
    for (Token id = 0; id < file.tokens.size(); ++id) made.emplace(file.tokens[id], id);
    return made;
  }();
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string character;
    append_character(byte_character(static_cast<unsigned char>(byte)), character);
    require(file.words != BpeWords::byte_level || file.unknown || ids.contains(character),
            "'{}': expected a token for every byte or an unk_token, got none for the byte {}", name, byte);
    require(!file.byte_fallback || ids.contains(fmt::format("<0x{:02X}>", byte)),
            "'{}': expected a token for every byte, as byte_fallback is set, got no <0x{:02X}>", name, byte);
  }
  require(file.words == BpeWords::byte_level || file.byte_fallback || file.unknown,
          "'{}': expected byte_fallback or an unk_token: other characters would vanish", name);
}

}  // namespace

char32_t byte_character(unsigned char byte) { return alphabet().characters[byte]; }

int character_byte(char32_t code) { return code < alphabet().bytes.size() ? alphabet().bytes[code] : -1; }

BpeFile read_bpe_file(const Json& json, const std::string& name) {
  BpeFile file;
  const Component whole(json, "the file", name);
  whole.known({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
               "post_processor", "decoder", "model"});
  require(!whole.has("version") || whole.text("version") == "1.0",
          "'{}': expected the version \"1.0\", got {}", name, in_quotes(whole.text("version")));
  read_model(json, name, file);
  read_added(json, name, file);
  read_normalizer(json, name, file);
  read_pre_tokenizer(json, name, file);
  check_post_processor(json, name);
  check_decoder(json, name, file);
  check_alphabet(name, file);
  if (file.words == BpeWords::byte_level) {
    require(!file.mark_spaces && !file.prepend_mark, "'{}': the normalizer is not supported with ByteLevel",
            name);
    require(!file.byte_fallback, "'{}': byte_fallback is not supported with ByteLevel", name);
  }
  return file;
}

}  // namespace ecp::text
