// Byte pair encoding as a Hugging Face tokenizer.json describes it. For sources of this room.
//
//                   normalizer                   pre_tokenizer                       e.g.
//   GPT-2           none                         ByteLevel (its own pattern)         GPT-2, RoBERTa
//   Llama 3         none                         Split (pattern), ByteLevel          Llama 3
//   SentencePiece   Prepend "▁", " " to "▁"      none, or Split at " "               Llama 2, Gemma
//                   none                         Metaspace                           Mistral
//
// with byte_fallback, fuse_unk, ignore_merges, merges as strings or pairs, and added tokens: special or not,
// normalized or not, lstrip, rstrip. The ids are those of PyPI's `tokenizers` encoding without special tokens
// (so post_processor, truncation and padding add and take nothing); text that spells an added token gets its
// id. Whatever else the file asks for is refused by name.
//
// The end of text is the special token "<|endoftext|>", "<|end_of_text|>", "</s>" or "<eos>", the first of
// these that the file has. Other special tokens decode to what they are called.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// From the bytes of such a file and what `parse_object` made of them. Fails with one line naming `name`.
std::shared_ptr<const Tokenizer> bpe_tokenizer(std::string bytes, const nlohmann::json& json,
                                               const std::string& name, bool verified);

}  // namespace ecp::text
