// Token files that are used together must have the same tokens.
#pragma once

#include "ecp/text/token_file.h"

namespace ecp {

/// Fails, naming both files, unless `file` was made by the tokenizer of `first`.
void require_same_tokenizer(const TokenFile& file, const TokenFile& first);

/// Fails, naming both, unless `file` was made by `tokenizer`, a checkpoint's.
void require_checkpoints_tokenizer(const TokenFile& file, const Tokenizer& tokenizer);

}  // namespace ecp
