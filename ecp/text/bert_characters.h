// How BERT's tokenizer takes single characters. For sources of this room.
#pragma once

#include <cstdint>

namespace ecp::text {

enum class BertClass : std::uint8_t {
  word,     // part of a word
  space,    // ends a word
  removed,  // dropped; the word goes on
  alone,    // a word of its own: punctuation, CJK
};

/// The class in which PyPI's `tokenizers` (0.23) has the character.
BertClass bert_class(char32_t code);

}  // namespace ecp::text
