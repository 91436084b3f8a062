#include "ecp/runtime/cached_source.h"

#include "ecp/base/error.h"

namespace ecp::runtime {

Decoders::Decoders(std::shared_ptr<const Weights> weights, int threads)
    : weights_(std::move(weights)), layout_(weights_->config()), pool_(threads) {}

std::unique_ptr<Decoder> Decoders::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Decoder> decoder = std::move(idle_.back());
      idle_.pop_back();
      return decoder;
    }
  }
  return std::make_unique<Decoder>(*weights_, layout_, pool_);
}

void Decoders::give(std::unique_ptr<Decoder> decoder) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(decoder));
}

const std::string& Decoders::hash() {
  std::call_once(hashed_, [&] { hash_ = weights_->hash(); });
  return hash_;
}

CachedSource::CachedSource(std::shared_ptr<Decoders> decoders)
    : CachedSource(decoders, StreamCache(decoders->config(), decoders->layout())) {}

CachedSource::CachedSource(std::shared_ptr<Decoders> decoders, StreamCache stream)
    : decoders_(std::move(decoders)), stream_(std::move(stream)) {}

void CachedSource::forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) {
  decoders_->with([&](Decoder& decoder) { decoder.forward(stream_, tokens, wanted, logits); });
}

std::unique_ptr<LogitSource> CachedSource::fork() const {
  return std::unique_ptr<LogitSource>(new CachedSource(decoders_, stream_.copy()));
}

void CachedSource::rewind(std::int64_t rows) {
  require(rows >= 0 && rows <= most_rewind(), "rewind: expected at most {} rows, got {}", most_rewind(),
          rows);
  stream_.rewind(rows);
}

void CachedSource::step(std::span<CachedSource* const> sources, std::span<const Token> tokens,
                        std::vector<float>& logits) {
  if (sources.empty()) return;
  const std::shared_ptr<Decoders>& decoders = sources.front()->decoders_;
  std::vector<StreamCache*> streams;
  for (CachedSource* source : sources) {
    require(source->decoders_ == decoders, "step: expected streams of one model");
    streams.push_back(&source->stream_);
  }
  decoders->with([&](Decoder& decoder) { decoder.step(streams, tokens, logits); });
}

}  // namespace ecp::runtime
