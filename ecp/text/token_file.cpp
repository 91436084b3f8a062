#include "ecp/text/token_file.h"

#include <array>
#include <bit>
#include <cstring>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/text/json.h"
#include "ecp/text/npy.h"

namespace ecp {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are");

constexpr std::size_t largest_sidecar = std::size_t{4} << 30;

Path beside(const Path& npy, const char* extension) { return Path(npy).replace_extension(extension); }

std::vector<std::uint64_t> read_documents(const nlohmann::json& json, std::uint64_t tokens,
                                          const std::string& name) {
  std::vector<std::uint64_t> documents;
  for (const nlohmann::json& value : text::array_member(json, "documents", name)) {
    const std::uint64_t least = documents.empty() ? 0 : documents.back();
    require(value.is_number_unsigned(), "'{}': damaged: documents[{}] is not a whole number", name,
            documents.size());
    const auto offset = value.get<std::uint64_t>();
    require(offset >= least && offset <= tokens && (!documents.empty() || offset == 0),
            "'{}': damaged: documents[{}] is out of order or beyond the {} tokens", name, documents.size(),
            tokens);
    documents.push_back(offset);
  }
  require(!documents.empty(), "'{}': damaged: no documents", name);
  return documents;
}

TokenFileInfo read_sidecar(const Path& path) {
  const std::string name = path.string();
  const nlohmann::json json = text::parse_object(read_small_file(path, largest_sidecar), name);
  text::check_format(json, "ecp-tokens", 1, name);
  TokenFileInfo info;
  info.corpus_format = text::string_member(json, "corpus_format", name);
  info.tokens = text::count_member(json, "tokens", name);
  info.words = text::count_member(json, "words", name);
  info.bytes = text::count_member(json, "bytes", name);
  info.hash = text::string_member(json, "hash", name);
  const nlohmann::json& tokenizer = text::object_member(json, "tokenizer", name);
  info.tokenizer_kind = text::string_member(tokenizer, "kind", name);
  info.tokenizer_hash = text::string_member(tokenizer, "hash", name);
  info.vocab_size =
      static_cast<std::int64_t>(text::count_member(tokenizer, "vocab_size", name, std::uint64_t{1} << 32));
  require(info.vocab_size > 0, "'{}': damaged: an empty vocabulary", name);
  const auto end = tokenizer.find("end_of_text");
  if (end != tokenizer.end() && !end->is_null()) {
    const auto last = static_cast<std::uint64_t>(info.vocab_size) - 1;
    info.end_of_text = static_cast<Token>(text::count_member(tokenizer, "end_of_text", name, last));
  }
  const auto separated = json.find("separated");
  require(separated != json.end() && separated->is_boolean(),
          "'{}': expected true or false for \"separated\"", name);
  info.separated = separated->get<bool>();
  require(!info.separated || info.end_of_text,
          "'{}': damaged: separated documents without an end-of-text token", name);
  info.documents = read_documents(json, info.tokens, name);
  for (const nlohmann::json& source : text::array_member(json, "sources", name)) {
    require(source.is_object(), "'{}': expected objects in \"sources\"", name);
    info.sources.push_back({text::string_member(source, "name", name),
                            text::count_member(source, "bytes", name),
                            text::string_member(source, "hash", name)});
  }
  return info;
}

std::string write_sidecar(const TokenFileInfo& info) {
  nlohmann::ordered_json json = {
      {"format", "ecp-tokens"}, {"version", 1},        {"corpus_format", info.corpus_format},
      {"tokens", info.tokens},  {"words", info.words}, {"bytes", info.bytes},
      {"hash", info.hash}};
  nlohmann::ordered_json tokenizer = {
      {"kind", info.tokenizer_kind}, {"hash", info.tokenizer_hash}, {"vocab_size", info.vocab_size}};
  tokenizer["end_of_text"] =
      info.end_of_text ? nlohmann::ordered_json(*info.end_of_text) : nlohmann::ordered_json();
  json["tokenizer"] = tokenizer;
  json["separated"] = info.separated;
  json["sources"] = nlohmann::ordered_json::array();
  for (const SourceFile& source : info.sources) {
    json["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}, {"hash", source.hash}});
  }
  // A long list of offsets reads better, and costs less memory, on one line.
  std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize(text.size() - 2);
  text += ",\n  \"documents\": [";
  for (std::size_t i = 0; i < info.documents.size(); ++i)
    fmt::format_to(std::back_inserter(text), "{}{}", i > 0 ? "," : "", info.documents[i]);
  return text + "]\n}\n";
}

/// Makes room for a new tokenizer folder; never deletes what isn't one.
void remove_tokenizer(const Path& folder) {
  if (!std::filesystem::exists(folder)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const Path file = entry.path().filename();
    require(file == "tokenizer.json" || file == "tokenizer.model",
            "cannot replace '{}': it holds '{}', which is no part of a tokenizer", folder.string(),
            file.string());
  }
  std::filesystem::remove_all(folder);
}

}  // namespace

Path sidecar_path(const Path& npy) { return beside(npy, ".json"); }
Path tokenizer_path(const Path& npy) { return beside(npy, ".tokenizer"); }

TokenFile::TokenFile(const Path& path) : path_(path) {
  const std::string name = path.string();
  require(path.extension() == ".npy", "token file '{}': expected a name that ends in .npy", name);
  require(std::filesystem::exists(path), "token file '{}': no such file", name);
  const Path sidecar = sidecar_path(path);
  require(std::filesystem::exists(sidecar),
          "token file '{}': expected its sidecar '{}', as `ecp tokenize` writes it", name, sidecar.string());
  info_ = read_sidecar(sidecar);
  file_ = MappedFile(path);
  const NpyHeader header = parse_npy_header(file_.bytes(), name, 0);
  wide_ = info_.vocab_size > 65536;
  const std::string dtype = wide_ ? "<u4" : "<u2";
  require(header.dtype == dtype, "token file '{}': expected the dtype {} for a vocabulary of {}, got {}",
          name, dtype, info_.vocab_size, header.dtype);
  require(!header.fortran_order && header.shape.size() == 1,
          "token file '{}': expected one dimension in C order", name);
  parse_npy_header(file_.bytes(), name, wide_ ? 4 : 2);
  require(header.shape[0] == info_.tokens,
          "token file '{}': expected the {} tokens that its sidecar names, got {}", name, info_.tokens,
          header.shape[0]);
  require(info_.tokens > 0, "token file '{}': no tokens", name);
  data_ = file_.bytes().data() + header.data_offset;
}

Token TokenFile::at(std::uint64_t position) const {
  if (wide_) {
    std::uint32_t id = 0;
    std::memcpy(&id, data_ + position * sizeof id, sizeof id);
    return id;
  }
  std::uint16_t id = 0;
  std::memcpy(&id, data_ + position * sizeof id, sizeof id);
  return id;
}

Token TokenFile::operator[](std::uint64_t position) const {
  require(position < info_.tokens, "token file '{}': position {} is beyond its {} tokens", path_.string(),
          position, info_.tokens);
  return at(position);
}

void TokenFile::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  require(begin <= info_.tokens && out.size() <= info_.tokens - begin,
          "token file '{}': tokens {} to {} are beyond its {} tokens", path_.string(), begin,
          begin + out.size(), info_.tokens);
  const auto vocab_size = static_cast<std::uint64_t>(info_.vocab_size);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Token id = at(begin + i);
    if (id >= vocab_size)
      fail("token file '{}': damaged: token {} at {} is not below the vocabulary's size, {}", path_.string(),
           id, begin + i, vocab_size);
    out[i] = id;
  }
}

std::shared_ptr<const Tokenizer> TokenFile::tokenizer() const {
  auto tokenizer = load_tokenizer(tokenizer_path(path_));
  require(tokenizer->hash() == info_.tokenizer_hash && tokenizer->vocab_size() == info_.vocab_size,
          "tokenizer '{}': expected the one that made '{}' (hash {}), got {}", tokenizer_path(path_).string(),
          path_.string(), info_.tokenizer_hash, tokenizer->hash());
  return tokenizer;
}

void TokenFile::verify() const {
  const std::string_view all = file_.text();
  const std::size_t data = info_.tokens * (wide_ ? 4 : 2);
  const std::string found = hash_bytes(all.substr(all.size() - data));
  require(found == info_.hash, "token file '{}': damaged: expected the hash {}, got {}", path_.string(),
          info_.hash, found);
}

struct TokenFileWriter::State {
  State(Path where, std::shared_ptr<const Tokenizer> with, TokenFileOptions options)
      : path(std::move(where)), tokenizer(std::move(with)), file(path) {
    info.tokenizer_kind = tokenizer->kind();
    info.tokenizer_hash = tokenizer->hash();
    info.vocab_size = tokenizer->vocab_size();
    info.end_of_text = tokenizer->end_of_text();
    info.separated = options.separated && info.end_of_text.has_value();
    info.corpus_format = std::move(options.corpus_format);
    file.write(std::string(npy_header_bytes, '\0'));
  }

  [[nodiscard]] bool wide() const { return info.vocab_size > 65536; }

  template <class Id>
  void append(std::span<const Token> tokens) {
    buffer.resize(tokens.size() * sizeof(Id));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      require(tokens[i] < static_cast<std::uint64_t>(info.vocab_size),
              "token {}: expected one below the vocabulary's size, {}", tokens[i], info.vocab_size);
      const auto id = static_cast<Id>(tokens[i]);
      std::memcpy(buffer.data() + i * sizeof id, &id, sizeof id);
    }
    hasher.update(buffer);
    file.write(buffer);
    info.tokens += tokens.size();
  }

  void append_ids(std::span<const Token> tokens) {
    wide() ? append<std::uint32_t>(tokens) : append<std::uint16_t>(tokens);
  }

  void open_document() {
    if (!open) info.documents.push_back(info.tokens);
    open = true;
  }

  Path path;
  std::shared_ptr<const Tokenizer> tokenizer;
  FileWriter file;
  TokenFileInfo info;
  Hasher hasher;
  std::string buffer;
  bool open = false;  // a document has begun and not ended
};

TokenFileWriter::TokenFileWriter(Path path, std::shared_ptr<const Tokenizer> tokenizer,
                                 TokenFileOptions options) {
  require(path.extension() == ".npy", "token file '{}': expected a name that ends in .npy", path.string());
  state_ = std::make_unique<State>(std::move(path), std::move(tokenizer), std::move(options));
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::add_piece(std::span<const Token> tokens, std::uint64_t words, std::uint64_t bytes) {
  state_->open_document();
  state_->append_ids(tokens);
  state_->info.words += words;
  state_->info.bytes += bytes;
}

void TokenFileWriter::end_document() {
  state_->open_document();
  if (state_->info.separated) state_->append_ids(std::array{*state_->info.end_of_text});
  state_->open = false;
}

void TokenFileWriter::add_document(std::span<const Token> tokens, std::uint64_t words, std::uint64_t bytes) {
  add_piece(tokens, words, bytes);
  end_document();
}

void TokenFileWriter::set_sources(std::vector<SourceFile> sources) {
  state_->info.sources = std::move(sources);
}

TokenFileInfo TokenFileWriter::commit() {
  State& state = *state_;
  const std::string name = state.path.string();
  require(!state.open, "token file '{}': its last document was not ended", name);
  require(state.info.tokens > 0, "token file '{}': no tokens to write", name);
  state.info.hash = state.hasher.digest();
  state.file.write_at(0, npy_header(state.wide() ? "<u4" : "<u2", state.info.tokens));

  FolderWriter folder(tokenizer_path(state.path));
  state.tokenizer->save(folder.path());
  const Path sidecar = sidecar_path(state.path);
  const std::string text = write_sidecar(state.info);
  remove_tokenizer(tokenizer_path(state.path));
  if (std::filesystem::remove(sidecar)) sync_folder(sidecar.parent_path());
  folder.commit();
  state.file.commit();
  write_file(sidecar, text);
  return state.info;
}

}  // namespace ecp
