// Logits by decoders over cached keys and values. A decoder's memory is needed only while it computes, so
// that sessions borrow one instead of having one.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/parallel.h"
#include "ecp/runtime/decoder.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/runtime/weights.h"

namespace ecp::runtime {

/// A model's weights, threads and decoders: as many of these as compute at once.
class Decoders {
 public:
  Decoders(std::shared_ptr<const Weights> weights, int threads);

  [[nodiscard]] const StreamLayout& layout() const { return layout_; }
  [[nodiscard]] const ModelConfig& config() const { return weights_->config(); }
  /// Of the weights, computed once.
  [[nodiscard]] const std::string& hash();

  /// Calls work(decoder) with one that nobody else has meanwhile.
  template <class Work>
  void with(const Work& work) {
    std::unique_ptr<Decoder> decoder = take();
    work(*decoder);  // what throws costs a decoder: it may hold anything
    give(std::move(decoder));
  }

 private:
  std::unique_ptr<Decoder> take();
  void give(std::unique_ptr<Decoder> decoder);

  std::shared_ptr<const Weights> weights_;
  StreamLayout layout_;
  ThreadPool pool_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Decoder>> idle_;
  std::once_flag hashed_;
  std::string hash_;
};

class CachedSource : public LogitSource {
 public:
  explicit CachedSource(std::shared_ptr<Decoders> decoders);

  void forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) override;
  [[nodiscard]] std::int64_t rows() const override { return stream_.rows(); }
  [[nodiscard]] std::uint64_t cache_bytes() const override { return stream_.bytes(); }
  [[nodiscard]] std::unique_ptr<LogitSource> fork() const override;
  [[nodiscard]] std::int64_t most_rewind() const override { return stream_.most_rewind(decoders_->layout()); }
  void rewind(std::int64_t rows) override;
  [[nodiscard]] std::int64_t history() const override {
    const std::int64_t frame = decoders_->layout().frame();
    return frame > 0 ? frame + 1 : -1;
  }
  [[nodiscard]] bool beyond_trained_length() const override {
    return rows() > 0 && decoders_->layout().beyond_trained(rows() - 1);
  }

  /// Where the stream stands, for those who save it or put another there.
  [[nodiscard]] StreamCache& stream() { return stream_; }
  [[nodiscard]] Decoders& decoders() const { return *decoders_; }

  /// Appends tokens[i] to the stream of sources[i], all of the same decoders, together (`Decoder::step`).
  static void step(std::span<CachedSource* const> sources, std::span<const Token> tokens,
                   std::vector<float>& logits);

 private:
  CachedSource(std::shared_ptr<Decoders> decoders, StreamCache stream);

  std::shared_ptr<Decoders> decoders_;
  StreamCache stream_;
};

}  // namespace ecp::runtime
