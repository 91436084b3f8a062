// SentencePiece behind the tokenizer's interface. For sources of this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// Names of the special pieces of models trained here; unlikely in text, so that "<unk>", which WikiText is
/// full of, can become an ordinary piece.
constexpr const char* unknown_piece = "<|unknown|>";
constexpr const char* end_of_text_piece = "<|end-of-text|>";

enum class PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct Piece {
  std::string text;
  PieceType type = PieceType::normal;
  float score = 0;
};

/// A model that was looked through before SentencePiece sees it.
struct SafeModel {
  std::string
      bytes;  // of the model without its normalisers and self tests, with the identity normaliser instead
  std::vector<Piece> pieces;
  bool is_bpe = false;                   // otherwise unigram
  std::vector<std::string> not_applied;  // what SentencePiece would do with this model and we don't, in words
};

/// Walks the serialised model: every length inside its message, pieces that are UTF-8 with finite scores and
/// known types, BPE or unigram with byte fallback. Parts that transform text (whose compiled tables
/// SentencePiece 0.1.97 trusts) are left out. Fails with one line naming `name`.
SafeModel check_model(std::string_view bytes, std::string_view name);

std::shared_ptr<const Tokenizer> sentencepiece_tokenizer(std::string model, const std::string& name,
                                                         bool verified);

/// SentencePiece writes its log to standard error; a library must not.
void silence_sentencepiece();

}  // namespace ecp::text
