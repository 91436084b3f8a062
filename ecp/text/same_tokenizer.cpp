#include "ecp/text/same_tokenizer.h"

#include "ecp/base/error.h"

namespace ecp {

void require_same_tokenizer(const TokenFile& file, const TokenFile& first) {
  require(
      file.info().tokenizer_hash == first.info().tokenizer_hash,
      "'{}': expected the tokenizer of '{}' ({}, {} tokens, hash {}), got another ({}, {} tokens, hash {})",
      file.path().string(), first.path().string(), first.info().tokenizer_kind, first.info().vocab_size,
      first.info().tokenizer_hash.substr(0, 8), file.info().tokenizer_kind, file.info().vocab_size,
      file.info().tokenizer_hash.substr(0, 8));
}

void require_checkpoints_tokenizer(const TokenFile& file, const Tokenizer& tokenizer) {
  require(
      tokenizer.hash() == file.info().tokenizer_hash,
      "'{}': its tokens aren't those of the checkpoint's tokenizer: expected {} with {} tokens (hash {}), "
      "got {} with {} tokens (hash {})",
      file.path().string(), tokenizer.kind(), tokenizer.vocab_size(), tokenizer.hash().substr(0, 8),
      file.info().tokenizer_kind, file.info().vocab_size, file.info().tokenizer_hash.substr(0, 8));
}

}  // namespace ecp
