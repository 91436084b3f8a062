#include "ecp/eval/checkpoint_evaluation.h"

#include "ecp/model/language_model.h"
#include "ecp/text/same_tokenizer.h"

namespace ecp {

Evaluation evaluate_checkpoint(const Checkpoint& source, const Path& data, const EvaluationOptions& options,
                               const ProgressFunction& progress) {
  const TokenFile file(data);
  if (const auto tokenizer = source.tokenizer()) require_checkpoints_tokenizer(file, *tokenizer);
  file.verify();
  LanguageModel model(source.model());
  model.load(source.weights());
  return evaluate(model, file, options, progress);
}

}  // namespace ecp
