// Small token files for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ecp/text/token_file.h"
#include "ecp/text/utf8.h"

namespace ecp::test {

/// Writes `documents` as tokens, with their words and bytes counted.
inline TokenFileInfo write_tokens(const Path& path, const std::vector<std::string>& documents,
                                  const std::shared_ptr<const Tokenizer>& tokenizer = byte_tokenizer()) {
  TokenFileWriter writer(path, tokenizer);
  for (const std::string& document : documents) {
    WordCounter counter;
    counter.add(document);
    writer.add_document(tokenizer->encode(document), counter.words(), document.size());
  }
  return writer.commit();
}

}  // namespace ecp::test
