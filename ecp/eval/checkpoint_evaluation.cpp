#include "ecp/eval/checkpoint_evaluation.h"

#include "ecp/base/error.h"
#include "ecp/model/language_model.h"

namespace ecp {

Evaluation evaluate_checkpoint(const Checkpoint& source, const Path& data, const EvaluationOptions& options,
                               const ProgressFunction& progress) {
  const TokenFile file(data);
  if (const auto tokenizer = source.tokenizer()) {
    require(tokenizer->hash() == file.info().tokenizer_hash,
            "'{}': its tokens aren't those of the checkpoint's tokenizer: expected {} with {} tokens (hash "
            "{}), got {} "
            "with {} tokens (hash {})",
            data.string(), tokenizer->kind(), tokenizer->vocab_size(), tokenizer->hash().substr(0, 8),
            file.info().tokenizer_kind, file.info().vocab_size, file.info().tokenizer_hash.substr(0, 8));
  }
  file.verify();
  LanguageModel model(source.model());
  model.load(source.weights());
  return evaluate(model, file, options, progress);
}

}  // namespace ecp
