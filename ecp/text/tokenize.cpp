#include "ecp/text/tokenize.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/text/deduplication.h"
#include "ecp/text/pieces.h"

namespace ecp {
namespace {

/// Pieces that are encoded together: small documents would drown in hand-overs.
struct Batch {
  std::vector<CorpusPiece> pieces;
  std::vector<Token> tokens;        // of all pieces
  std::vector<std::size_t> counts;  // tokens of each piece
  std::exception_ptr error;
  bool done = false;

  void encode(const Tokenizer& tokenizer) {
    for (const CorpusPiece& piece : pieces) {
      const std::size_t before = tokens.size();
      piece.continues ? tokenizer.encode_more(piece.text, tokens) : tokenizer.encode(piece.text, tokens);
      counts.push_back(tokens.size() - before);
    }
  }
};

/// Threads that encode batches. `submit` and `take` are called by one thread; batches come back in order.
class Encoders {
 public:
  Encoders(const Tokenizer& tokenizer, std::size_t threads) : tokenizer_(tokenizer), most_(4 * threads) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  Encoders(const Encoders&) = delete;
  Encoders& operator=(const Encoders&) = delete;
  ~Encoders() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  [[nodiscard]] bool full() const { return batches_.size() >= most_; }
  [[nodiscard]] bool empty() const { return batches_.empty(); }

  void submit(std::unique_ptr<Batch> batch) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(batch.get());
    }
    batches_.push_back(std::move(batch));
    changed_.notify_all();
  }

  /// Waits for the oldest batch; throws what its encoding threw.
  std::unique_ptr<Batch> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return batches_.front()->done; });
    lock.unlock();
    std::unique_ptr<Batch> batch = std::move(batches_.front());
    batches_.pop_front();
    if (batch->error) std::rethrow_exception(batch->error);
    return batch;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (stop_) return;
      Batch* batch = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      try {
        batch->encode(tokenizer_);
      } catch (...) {
        batch->error = std::current_exception();
      }
      lock.lock();
      batch->done = true;
      changed_.notify_all();
    }
  }

  const Tokenizer& tokenizer_;
  std::size_t most_;
  std::deque<std::unique_ptr<Batch>>
      batches_;  // in order; only the submitting thread touches the queue itself
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch*> waiting_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

constexpr std::size_t batch_bytes = std::size_t{1} << 17;
constexpr std::size_t most_pieces = 4096;

/// The next batch, or one without pieces after the last.
std::unique_ptr<Batch> read_batch(PieceReader& reader) {
  auto batch = std::make_unique<Batch>();
  std::size_t bytes = 0;
  while (bytes < batch_bytes && batch->pieces.size() < most_pieces) {
    CorpusPiece piece;
    if (!reader.next(piece)) break;
    bytes += piece.text.size();
    batch->pieces.push_back(std::move(piece));
  }
  return batch;
}

/// Puts batches into a token file, without documents that were met before if that is wanted.
class BatchWriter {
 public:
  BatchWriter(TokenFileWriter& writer, bool deduplicate) : writer_(writer), deduplicate_(deduplicate) {
    if (deduplicate) writer.count_duplicates();
  }

  void write(const Batch& batch) {
    std::span<const Token> rest = batch.tokens;
    for (std::size_t i = 0; i < batch.pieces.size(); ++i) {
      const CorpusPiece& piece = batch.pieces[i];
      writer_.add_piece(rest.first(batch.counts[i]), piece.words, piece.text.size());
      rest = rest.subspan(batch.counts[i]);
      if (deduplicate_) document_.update(piece.text);
      if (piece.ends_document) end_document();
    }
  }

 private:
  void end_document() {
    const bool is_new = !deduplicate_ || met_.insert(document_.value());
    is_new ? writer_.end_document() : writer_.drop_document();
    if (deduplicate_) document_.reset();
  }

  TokenFileWriter& writer_;
  bool deduplicate_;
  Hasher document_;  // its text so far
  HashSet met_;
};

/// With `overwrite`, the sidecar NAME.json could be one of the inputs.
void check_inputs_are_kept(const std::vector<Path>& files, const Path& output) {
  for (const Path& file : files) {
    for (const Path& written : {output, sidecar_path(output)}) {
      std::error_code missing;  // nothing to lose
      const bool same = std::filesystem::equivalent(file, written, missing);
      require(!same, "output '{}': it would replace the input '{}'", output.string(), file.string());
    }
  }
}

void report(const ProgressFunction& progress, std::string_view what, const CorpusReader& reader) {
  if (progress) progress({what, reader.bytes_read(), reader.bytes_total(), "B"});
}

/// Where it is known before the end: the last report is to come when all is done.
bool all_read(const CorpusReader& reader) {
  return reader.bytes_total() > 0 && reader.bytes_read() >= reader.bytes_total();
}

}  // namespace

void check_output(const Path& output, bool overwrite) {
  require(output.extension() == ".npy", "output '{}': expected a name that ends in .npy", output.string());
  for (const Path& path : {output, sidecar_path(output), tokenizer_path(output)}) {
    require(overwrite || !std::filesystem::exists(path),
            "output '{}': '{}' exists already (--force replaces it)", output.string(), path.string());
  }
  std::error_code error;
  if (output.has_parent_path()) std::filesystem::create_directories(output.parent_path(), error);
  require(!error, "cannot make folder '{}': {}", output.parent_path().string(), error.message());
}

TokenFileInfo tokenize_corpus(const std::vector<Path>& inputs, const Path& output,
                              const std::shared_ptr<const Tokenizer>& given, const TokenizeOptions& options) {
  CorpusReader reader(inputs, options.format);
  const auto for_wikitext = reader.format() == CorpusFormat::wikitext ? given->for_wikitext() : nullptr;
  const auto& tokenizer = for_wikitext ? for_wikitext : given;
  if (tokenizer->kind() == "bytes") reader.allow_any_bytes();
  check_output(output, options.overwrite);
  check_inputs_are_kept(reader.files(), output);
  TokenFileWriter writer(
      output, tokenizer,
      {.corpus_format = std::string(name_of(reader.format())), .separated = is_separated(reader.format())});
  const std::int64_t threads = options.threads > 0 ? options.threads : available_cpus();
  BatchWriter batches(writer, options.deduplicate);
  Encoders encoders(*tokenizer, static_cast<std::size_t>(std::min<std::int64_t>(threads, 256)));
  PieceReader pieces(reader, *tokenizer);
  for (bool more = true; more || !encoders.empty();) {
    check_interrupt();
    if (more && !encoders.full()) {
      auto batch = read_batch(pieces);
      more = !batch->pieces.empty();
      if (more) encoders.submit(std::move(batch));
      continue;
    }
    batches.write(*encoders.take());
    if ((!more && encoders.empty()) || !all_read(reader)) report(options.progress, "tokenizing", reader);
  }
  writer.set_sources(reader.sources());
  return writer.commit();
}

std::shared_ptr<const Tokenizer> train_on_corpus(const std::vector<Path>& inputs, CorpusFormat format,
                                                 const SentencePieceTraining& training,
                                                 const ProgressFunction& progress) {
  CorpusReader reader(inputs, format);
  CorpusPiece piece;
  return train_sentencepiece(training, [&](std::string& text) {
    const bool more = reader.next(piece);
    if (more) text = std::move(piece.text);
    if (!more || !all_read(reader)) report(progress, "reading", reader);
    return more;
  });
}

}  // namespace ecp
