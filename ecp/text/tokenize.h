// A corpus into a token file: one thread reads and writes, the others encode, in order, memory bounded by a
// few batches per thread.
#pragma once

#include <memory>
#include <vector>

#include "ecp/base/progress.h"
#include "ecp/text/corpus.h"
#include "ecp/text/token_file.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

struct TokenizeOptions {
  CorpusFormat format = CorpusFormat::automatic;
  std::int64_t threads = 0;  // that encode; 0: all available CPUs
  bool overwrite = false;    // replace an existing token file of that name
  ProgressFunction progress = {};
};

/// Fails if `output` exists, unless `overwrite`; makes its folder.
void check_output(const Path& output, bool overwrite);
/// The result doesn't depend on the number of threads. Nothing appears under `output` unless all went well.
TokenFileInfo tokenize_corpus(const std::vector<Path>& inputs, const Path& output,
                              const std::shared_ptr<const Tokenizer>& tokenizer,
                              const TokenizeOptions& options);
/// Trains a tokenizer on the text of the inputs.
std::shared_ptr<const Tokenizer> train_on_corpus(const std::vector<Path>& inputs, CorpusFormat format,
                                                 const SentencePieceTraining& training,
                                                 const ProgressFunction& progress);

}  // namespace ecp
