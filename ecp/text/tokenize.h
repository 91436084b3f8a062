// A corpus into a token file: one thread reads and writes, the others encode, in order. Memory: some batches
// and a cache for each thread (10 MB), eight bytes for each document, and what the reader takes. However
// long, a document never stands in memory as a whole (a line of JSON does). The tokens of a document that
// turns out to be a duplicate are taken back from the file.
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
  /// Leave out documents whose text is that of an earlier one, byte for byte; the first stays. Takes 20 to 40
  /// bytes of memory for each document.
  bool deduplicate = false;
  ProgressFunction progress = {};
};

/// Fails if `output` exists, unless `overwrite`; makes its folder.
void check_output(const Path& output, bool overwrite);
/// A tokenizer that has a choice is taken for the inputs' format (`for_wikitext`). The result doesn't depend
/// on the number of threads. Nothing appears under `output` unless all went well.
/// Stops with `Interrupted` where a stop was requested (base/interrupt.h), leaving nothing.
TokenFileInfo tokenize_corpus(const std::vector<Path>& inputs, const Path& output,
                              const std::shared_ptr<const Tokenizer>& tokenizer,
                              const TokenizeOptions& options);
/// Trains a tokenizer on the text of the inputs.
std::shared_ptr<const Tokenizer> train_on_corpus(const std::vector<Path>& inputs, CorpusFormat format,
                                                 const SentencePieceTraining& training,
                                                 const ProgressFunction& progress);

}  // namespace ecp
