// WordPiece as BERT's cased models have it, from a vocab.txt. For sources of this room.
//
// Text is cleaned (NUL, U+FFFD and characters of the categories C* go, white space becomes a space), CJK
// characters and punctuation become words of their own, and each word is taken apart into the longest pieces
// of the vocabulary, "##" marking those that continue a word. A word that can't be, or has more than 100
// characters, is [UNK]. "[UNK]", "[SEP]", "[CLS]", "[PAD]" and "[MASK]", where the vocabulary has them, are
// tokens wherever text spells them. The ids are those of PyPI's `tokenizers` (BertWordPieceTokenizer, cased)
// for every character: its tables of punctuation and controls are those of Unicode 8, and are followed here.
//
// What text has of white space, controls and unknown words is lost. A piece decodes to " piece" or, after
// "##", to what follows it; [SEP] to nothing: it ends texts.
//
// For text in WikiText's format a line end is [SEP], which then decodes to " \n" (and there is no end of
// text), and "<unk>" is [UNK], which decodes to " <unk>": WikiText's lines come back as they were.
#pragma once

#include <memory>
#include <string>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// `vocab`: one token a line, its id the number of the line from 0. Fails, naming `name`, on text that isn't
/// UTF-8, empty, overlong or duplicate tokens, and without [UNK] (with `wikitext`, [SEP] too).
std::shared_ptr<const Tokenizer> wordpiece_tokenizer(std::string vocab, const std::string& name,
                                                     bool wikitext, bool verified);

/// The hash of such a tokenizer is that of this and the vocabulary.
std::string wordpiece_hash_prefix(bool wikitext);

}  // namespace ecp::text
