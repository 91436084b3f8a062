#include "ecp/text/token_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/own_hash.h"
#include "ecp/text/json.h"
#include "ecp/text/npy.h"

namespace ecp {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are");

/// A sidecar may be as long as this, and so much longer for each token: every document has its offset in it.
constexpr std::size_t short_sidecar = std::size_t{16} << 20, sidecar_bytes_per_token = 24;

Path beside(const Path& npy, const char* extension) { return Path(npy).replace_extension(extension); }

void check_documents(const TokenFileInfo& info, const std::string& name) {
  const std::vector<std::uint64_t>& documents = info.documents;
  require(!documents.empty(), "'{}': damaged: no documents", name);
  // A last document may be empty; with an end-of-text token none is.
  const std::uint64_t most = info.tokens - (info.separated && info.tokens > 0 ? 1 : 0);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::uint64_t least = i == 0 ? 0 : documents[i - 1] + (info.separated ? 1 : 0);
    require(documents[i] >= least && documents[i] <= most && (i > 0 || documents[i] == 0),
            "'{}': damaged: documents[{}] is out of order or beyond the {} tokens", name, i, info.tokens);
  }
}

/// What no text could have.
void check_counts(const TokenFileInfo& info, const std::string& name) {
  require(info.words <= info.bytes, "'{}': damaged: {} words in {} bytes", name, info.words, info.bytes);
  std::uint64_t in_sources = 0;
  for (const SourceFile& source : info.sources) {
    require(!__builtin_add_overflow(in_sources, source.bytes, &in_sources),
            "'{}': damaged: the bytes of its sources are impossibly many", name);
  }
  // Texts are parts of their sources; JSON may write a byte as two, and never a text shorter than it is.
  require(info.sources.empty() || info.bytes <= in_sources,
          "'{}': damaged: {} bytes of text from sources of {} bytes", name, info.bytes, in_sources);
  if (info.tokenizer_kind == "bytes")
    require(info.bytes == info.tokens, "'{}': damaged: {} tokens of a byte each for {} bytes", name,
            info.tokens, info.bytes);
}

/// `data_bytes`: size of the .npy file.
TokenFileInfo read_sidecar(const Path& path, std::uint64_t data_bytes) {
  const std::string name = path.string();
  const MappedFile file(path);
  const std::uint64_t most = short_sidecar + data_bytes / sizeof(std::uint16_t) * sidecar_bytes_per_token;
  require(file.text().size() <= most, "'{}': expected at most {} bytes beside {} bytes of tokens, got {}",
          name, most, data_bytes, file.text().size());
  text::LongList documents{"documents", {}};
  const nlohmann::json json = text::parse_object(file.text(), name, documents);
  // Version 1 has no hash of itself.
  const bool with_hash = json.contains("xxh3");
  text::check_format(json, "ecp-tokens", with_hash ? 2 : 1, name);
  require(!with_hash || has_own_hash(file.text()),
          "'{}': changed after it was written (its hash of itself differs): tokenize the text again", name);
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
  text::array_member(json, "documents", name);
  info.documents = std::move(documents.values);
  if (json.contains("duplicates")) info.duplicates = text::count_member(json, "duplicates", name);
  for (const nlohmann::json& source : text::array_member(json, "sources", name)) {
    require(source.is_object(), "'{}': expected objects in \"sources\"", name);
    info.sources.push_back({text::string_member(source, "name", name),
                            text::count_member(source, "bytes", name),
                            text::string_member(source, "hash", name)});
  }
  check_documents(info, name);
  return info;
}

void write_sidecar(const TokenFileInfo& info, FileWriter& file) {
  Hasher hasher;
  const auto write = [&](const std::string& text) {
    hasher.update(text);
    file.write(text);
  };
  nlohmann::ordered_json json = {
      {"format", "ecp-tokens"}, {"version", 2},        {"corpus_format", info.corpus_format},
      {"tokens", info.tokens},  {"words", info.words}, {"bytes", info.bytes},
      {"hash", info.hash}};
  nlohmann::ordered_json tokenizer = {
      {"kind", info.tokenizer_kind}, {"hash", info.tokenizer_hash}, {"vocab_size", info.vocab_size}};
  tokenizer["end_of_text"] =
      info.end_of_text ? nlohmann::ordered_json(*info.end_of_text) : nlohmann::ordered_json();
  json["tokenizer"] = tokenizer;
  json["separated"] = info.separated;
  if (info.duplicates) json["duplicates"] = *info.duplicates;
  json["sources"] = nlohmann::ordered_json::array();
  for (const SourceFile& source : info.sources) {
    json["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}, {"hash", source.hash}});
  }
  // A long list of offsets reads better, and costs less memory, on one line.
  std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize(text.size() - 2);
  text += ",\n  \"documents\": [";
  write(text);
  for (std::size_t i = 0; i < info.documents.size(); ++i)
    write(fmt::format("{}{}", i > 0 ? "," : "", info.documents[i]));
  write("]");
  file.write(own_hash_ending(hasher.digest()));
}

/// Makes room for a new tokenizer folder; never deletes what isn't one.
void remove_tokenizer(const Path& folder) {
  if (!std::filesystem::exists(folder)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const Path file = entry.path().filename();
    const auto known = tokenizer_files();
    require(std::find(known.begin(), known.end(), file.string()) != known.end(),
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
  file_ = MappedFile(path);
  info_ = read_sidecar(sidecar, file_.text().size());
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
  check_counts(info_, sidecar.string());
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
  const Token id = at(position);
  if (id >= static_cast<std::uint64_t>(info_.vocab_size)) fail_beyond_vocabulary(position);
  return id;
}

void TokenFile::fail_beyond_vocabulary(std::uint64_t position) const {
  fail("token file '{}': damaged: token {} at {} is not below the vocabulary's size, {}", path_.string(),
       at(position), position, info_.vocab_size);
}

void TokenFile::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  require(begin <= info_.tokens && out.size() <= info_.tokens - begin,
          "token file '{}': tokens {} to {} are beyond its {} tokens", path_.string(), begin,
          begin + out.size(), info_.tokens);
  const auto vocab_size = static_cast<std::uint64_t>(info_.vocab_size);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Token id = at(begin + i);
    if (id >= vocab_size) fail_beyond_vocabulary(begin + i);
    out[i] = id;
  }
}

void TokenFile::document_starts(std::int64_t begin, std::span<std::int32_t> out) const {
  const std::int64_t before = info_.separated ? 1 : 0;  // the end-of-text token that begins a document
  const auto input = [&](std::size_t row) {
    return static_cast<std::uint64_t>(begin + before + static_cast<std::int64_t>(row));
  };
  auto next = std::upper_bound(info_.documents.begin(), info_.documents.end(), input(0));
  std::int32_t start = 0;
  for (std::size_t row = 0; row < out.size(); ++row) {
    for (; next != info_.documents.end() && *next == input(row); ++next)
      start = static_cast<std::int32_t>(row);
    out[row] = start;
  }
}

std::shared_ptr<const Tokenizer> TokenFile::tokenizer() const {
  const Path folder = tokenizer_path(path_);
  // A file would be read before its hash is known.
  require(std::filesystem::is_directory(folder), "token file '{}': no folder '{}' beside it", path_.string(),
          folder.string());
  auto tokenizer = load_tokenizer(folder);
  require(tokenizer->hash() == info_.tokenizer_hash && tokenizer->vocab_size() == info_.vocab_size,
          "tokenizer '{}': expected the one that made '{}' (hash {}), got {}", tokenizer_path(path_).string(),
          path_.string(), info_.tokenizer_hash, tokenizer->hash());
  return tokenizer;
}

void TokenFile::verify(const ProgressFunction& progress) const {
  constexpr std::uint64_t shown_from = std::uint64_t{256} << 20;
  constexpr std::uint64_t block = std::uint64_t{1} << 18;  // tokens that stay in a cache for both looks
  const std::uint64_t width = wide_ ? 4 : 2;
  const auto vocab_size = static_cast<std::uint64_t>(info_.vocab_size);
  Hasher hasher;
  std::optional<std::uint64_t> beyond;
  for (std::uint64_t begin = 0; begin < info_.tokens; begin += block) {
    check_interrupt();
    const std::uint64_t end = std::min(begin + block, info_.tokens);
    hasher.update(data_ + begin * width, (end - begin) * width);
    Token largest = 0;
    for (std::uint64_t i = begin; i < end; ++i) largest = std::max(largest, at(i));
    for (std::uint64_t i = begin; largest >= vocab_size && !beyond; ++i)
      if (at(i) >= vocab_size) beyond = i;
    if (progress && info_.tokens * width > shown_from)
      progress({"verifying", end * width, info_.tokens * width, "B"});
  }
  const std::string found = hasher.digest();
  require(found == info_.hash,
          "token file '{}': its tokens aren't those that it was written with: expected the hash {}, got {}",
          path_.string(), info_.hash, found);
  if (beyond) fail_beyond_vocabulary(*beyond);
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
    if (std::exchange(open, true)) return;
    info.documents.push_back(info.tokens);
    before = {info.words, info.bytes, file.size()};
    hasher_before = hasher;
  }

  Path path;
  std::shared_ptr<const Tokenizer> tokenizer;
  FileWriter file;
  TokenFileInfo info;
  Hasher hasher;
  std::string buffer;
  bool open = false;  // a document has begun and not ended
  struct Before {
    std::uint64_t words = 0, bytes = 0, file = 0;
  };
  Before before;  // the document that is open
  Hasher hasher_before;
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

void TokenFileWriter::drop_document() {
  State& state = *state_;
  require(std::exchange(state.open, false), "token file '{}': no document to drop", state.path.string());
  state.info.tokens = state.info.documents.back();
  state.info.documents.pop_back();
  state.info.words = state.before.words;
  state.info.bytes = state.before.bytes;
  state.file.truncate(state.before.file);
  state.hasher = state.hasher_before;
  count_duplicates();
  ++*state.info.duplicates;
}

void TokenFileWriter::count_duplicates() {
  if (!state_->info.duplicates) state_->info.duplicates = 0;
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

  // First everything to the disk under temporary names, which may fail where it is full; then renames.
  const Path sidecar = sidecar_path(state.path), tokenizer = tokenizer_path(state.path);
  state.file.sync();
  FolderWriter folder(tokenizer);
  state.tokenizer->save(folder.path());
  FileWriter sidecar_file(sidecar);
  write_sidecar(state.info, sidecar_file);
  sidecar_file.sync();
  remove_tokenizer(tokenizer);
  if (std::filesystem::remove(sidecar)) sync_folder(sidecar.parent_path());
  try {
    folder.commit();
    state.file.commit();
    sidecar_file.commit();
  } catch (...) {
    std::error_code error;
    for (const Path& path : {state.path, sidecar, tokenizer}) std::filesystem::remove_all(path, error);
    throw;
  }
  return state.info;
}

}  // namespace ecp
