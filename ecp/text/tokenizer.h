// Text to token ids and back. Kinds:
//
//   bytes          256 ids, no end-of-text token
//   sentencepiece  BPE and unigram, trained here or a .model file
//   wordpiece      a BERT vocab.txt (text/wordpiece.h)
//   bpe            a Hugging Face tokenizer.json of a BPE model, as GPT-2 and Llama have them (text/bpe.h)
//
// Where `lossless`, decode(encode(x)) == x for every UTF-8 text x (for bytes: every string), unless x spells
// the end-of-text token of a `bpe` tokenizer. A document may be encoded in parts: encode(a + b) == encode(a)
// + encode_more(b) wherever `last_cut` cuts. Time is linear, or n log n in the longest word. SentencePiece
// encodes segment by segment (`next_segment` of text/utf8.h); for models trained here the result is that of
// the whole text, because no piece of theirs spans segments. Words and bytes of a corpus are counted in its
// text, never in what tokens decode to, so perplexity per word and bits per byte hold for lossy tokenizers
// too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/path.h"

namespace ecp {

/// A token's id, below the vocabulary's size.
using Token = std::uint32_t;

/// Text to token ids and back; thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  [[nodiscard]] virtual std::string kind() const = 0;         // as above
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;  // ids are below it
  /// The token that ends a document, if the tokenizer has one.
  [[nodiscard]] virtual std::optional<Token> end_of_text() const = 0;
  /// Appends the ids of `text`. Thread-safe. Fails on text that isn't UTF-8 (not for bytes).
  virtual void encode(std::string_view text, std::vector<Token>& ids) const = 0;
  /// The same for text that goes on where other text of its document ended: nothing that belongs to a
  /// document's beginning (such as a space before its first word) is added.
  virtual void encode_more(std::string_view text, std::vector<Token>& ids) const { encode(text, ids); }
  /// The last position > 0 at which a document that begins with `text` may be cut to be encoded in parts,
  /// whatever follows; 0 if there is none yet.
  [[nodiscard]] virtual std::size_t last_cut(std::string_view text) const;
  /// Whether decoding gives back all of a text.
  [[nodiscard]] virtual bool lossless() const { return true; }
  /// The tokenizer for text in WikiText's format where there is a choice (a bare vocab.txt); null: this one.
  [[nodiscard]] virtual std::shared_ptr<const Tokenizer> for_wikitext() const { return nullptr; }
  /// The bytes that a token stands for (may be part of a UTF-8 character; empty for end-of-text). Decoding is
  /// their concatenation. Fails if token ≥ vocab_size.
  [[nodiscard]] virtual std::string_view bytes_of(Token token) const = 0;
  /// False for a file that came without a recorded hash: nobody could check it before it was read.
  [[nodiscard]] virtual bool verified() const { return true; }
  /// Why ids can differ from those of the library that the tokenizer comes from, in one line; empty: they
  /// can't.
  [[nodiscard]] virtual std::string differences() const { return {}; }
  /// Identity: equal hashes mean equal ids for equal text.
  [[nodiscard]] virtual std::string hash() const = 0;
  /// Writes tokenizer.json {"format": "ecp-tokenizer", "version": 1, "kind", "vocab_size", "hash", ...} and
  /// what belongs to it (`tokenizer_files`) into an existing folder.
  virtual void save(const Path& folder) const = 0;

  /// The ids of a document.
  [[nodiscard]] std::vector<Token> encode(std::string_view text) const;
  /// The bytes that `ids` stand for, one after the other. Fails on an id ≥ vocab_size.
  [[nodiscard]] std::string decode(std::span<const Token> ids) const;
};

/// A token for each byte.
std::shared_ptr<const Tokenizer> byte_tokenizer();
/// Names of the files that `save` may write.
std::span<const std::string_view> tokenizer_files();
/// From a folder written by `save`; or by its name a SentencePiece .model file (BPE or unigram, with byte
/// fallback), a BERT vocabulary (.txt), or a Hugging Face tokenizer.json (or the folder that holds it). What
/// `save` wrote is compared with its recorded hash before anything reads it. A SentencePiece model's own
/// normaliser, dummy prefix and removal of white space are never applied, so that nothing of the text is
/// lost.
std::shared_ptr<const Tokenizer> load_tokenizer(const Path& path);

/// What to train.
struct SentencePieceTraining {
  std::string type = "bpe";                             // or "unigram"
  std::int64_t vocab_size = 4096;                       // tokens, with those of bytes and the end of text
  std::int64_t threads = 0;                             // 0: all available CPUs
  std::uint64_t seed = 1;                               // of the sample
  std::uint64_t most_bytes = std::uint64_t{256} << 20;  // training text beyond it is sampled
};
/// Trains on the texts that `next` gives until it returns false: identity normaliser, byte fallback, newline
/// as a symbol, no dummy prefix; an end-of-text token. Fails if the text is too short for the vocabulary. The
/// same text, options and number of threads give the same model.
std::shared_ptr<const Tokenizer> train_sentencepiece(const SentencePieceTraining& options,
                                                     const std::function<bool(std::string&)>& next);

}  // namespace ecp
