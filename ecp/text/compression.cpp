#include "ecp/text/compression.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::size_t block_bytes = std::size_t{1} << 16;

/// What one call of a decoder did.
struct Step {
  std::size_t consumed = 0, produced = 0;
};

class Decoder {
 public:
  explicit Decoder(std::string name) : name_(std::move(name)) {}
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// `last`: nothing comes after `in`.
  virtual Step decode(std::string_view in, bool last, char* out, std::size_t count) = 0;
  /// Whether the data may end here.
  [[nodiscard]] virtual bool finished() const = 0;
  [[nodiscard]] virtual Compression kind() const = 0;

  [[noreturn]] void damaged(std::string_view why) const {
    fail("'{}': damaged {} data: {}", name_, name_of(kind()), why);
  }
  [[noreturn]] void truncated() const { fail("'{}': truncated {} data", name_, name_of(kind())); }
  [[noreturn]] void too_large() const {
    fail("'{}': its {} data can only be read with more than {} MiB of memory", name_, name_of(kind()),
         decoder_memory >> 20);
  }

 private:
  std::string name_;
};

class GzipDecoder final : public Decoder {
 public:
  explicit GzipDecoder(std::string name) : Decoder(std::move(name)) {
    constexpr int largest_window = 15, gzip_header = 16;
    if (::inflateInit2(&stream_, largest_window + gzip_header) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecoder() override { ::inflateEnd(&stream_); }

  Step decode(std::string_view in, bool /*last*/, char* out, std::size_t count) override {
    if (between_ && !in.empty()) {
      // Zeros may fill the file up after its last member, as tapes and some programs have it.
      const std::size_t zeros = std::min(in.find_first_not_of('\0'), in.size());
      padded_ = padded_ || (begun_ && zeros > 0);
      if (padded_ && zeros < in.size()) damaged("other bytes follow its end");
      if (padded_) return {zeros, 0};
      ::inflateReset(&stream_);
      between_ = false;
      begun_ = true;
    }
    if (between_) return {};
    const auto room = static_cast<uInt>(std::min<std::size_t>(count, 1u << 30));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = room;
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      damaged(stream_.msg != nullptr ? stream_.msg : "it needs a dictionary");
    between_ = result == Z_STREAM_END;
    return {in.size() - stream_.avail_in, room - stream_.avail_out};
  }
  bool finished() const override { return between_ && begun_; }
  Compression kind() const override { return Compression::gzip; }

 private:
  z_stream stream_{};
  bool between_ = true;  // before, between or after members
  bool begun_ = false, padded_ = false;
};

class XzDecoder final : public Decoder {
 public:
  explicit XzDecoder(std::string name) : Decoder(std::move(name)) {
    if (::lzma_stream_decoder(&stream_, decoder_memory, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  ~XzDecoder() override { ::lzma_end(&stream_); }

  Step decode(std::string_view in, bool last, char* out, std::size_t count) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out);
    stream_.avail_out = count;
    switch (::lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN)) {
      case LZMA_OK:
        break;
      case LZMA_STREAM_END:
        finished_ = true;
        break;
      case LZMA_BUF_ERROR:  // no progress: the common loop sees that nothing is left
        break;
      case LZMA_MEMLIMIT_ERROR:
        too_large();
      case LZMA_MEM_ERROR:
        throw std::bad_alloc();
      case LZMA_OPTIONS_ERROR:
        damaged("unknown options");
      default:
        damaged("it doesn't fit its checksums, or other bytes follow its end");
    }
    return {in.size() - stream_.avail_in, count - stream_.avail_out};
  }
  bool finished() const override { return finished_; }
  Compression kind() const override { return Compression::xz; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool finished_ = false;
};

class ZstdDecoder final : public Decoder {
 public:
  explicit ZstdDecoder(std::string name) : Decoder(std::move(name)), stream_(::ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    constexpr int log_of_largest_window = 27;
    static_assert(decoder_memory == std::size_t{1} << log_of_largest_window);
    ::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, log_of_largest_window);
  }
  ~ZstdDecoder() override { ::ZSTD_freeDStream(stream_); }

  Step decode(std::string_view in, bool /*last*/, char* out, std::size_t count) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out, count, 0};
    const std::size_t result = ::ZSTD_decompressStream(stream_, &to, &from);
    if (::ZSTD_isError(result) != 0) {
      const ZSTD_ErrorCode code = ::ZSTD_getErrorCode(result);
      if (code == ZSTD_error_frameParameter_windowTooLarge) too_large();
      if (code == ZSTD_error_memory_allocation) throw std::bad_alloc();
      damaged(code == ZSTD_error_prefix_unknown ? "other bytes follow its end" : ::ZSTD_getErrorName(result));
    }
    finished_ = result == 0;
    return {from.pos, to.pos};
  }
  bool finished() const override { return finished_; }
  Compression kind() const override { return Compression::zstd; }

 private:
  ZSTD_DStream* stream_;
  bool finished_ = false;  // a frame has just ended
};

std::unique_ptr<Decoder> make_decoder(Compression compression, std::string name) {
  if (compression == Compression::gzip) return std::make_unique<GzipDecoder>(std::move(name));
  if (compression == Compression::xz) return std::make_unique<XzDecoder>(std::move(name));
  return std::make_unique<ZstdDecoder>(std::move(name));
}

/// Feeds a decoder block by block.
class Decompression {
 public:
  Decompression(Compression compression, ByteReader compressed, std::string name)
      : decoder_(make_decoder(compression, std::move(name))), compressed_(std::move(compressed)) {}

  std::size_t read(char* out, std::size_t count) {
    for (;;) {
      if (rest_.empty() && !ended_) {
        block_.resize(block_bytes);
        block_.resize(compressed_(block_.data(), block_.size()));
        rest_ = block_;
        ended_ = block_.empty();
      }
      if (ended_ && rest_.empty() && decoder_->finished()) return 0;
      const Step step = decoder_->decode(rest_, ended_, out, count);
      rest_.remove_prefix(step.consumed);
      if (step.produced > 0) return step.produced;
      if (step.consumed > 0 || decoder_->finished()) continue;
      if (ended_) decoder_->truncated();
      decoder_->damaged("it doesn't go on");
    }
  }

 private:
  std::unique_ptr<Decoder> decoder_;
  ByteReader compressed_;
  std::string block_;
  std::string_view rest_;  // of the block
  bool ended_ = false;
};

}  // namespace

std::string_view name_of(Compression compression) {
  switch (compression) {
    case Compression::gzip:
      return "gzip";
    case Compression::xz:
      return "xz";
    case Compression::zstd:
      return "zstd";
    case Compression::none:
      break;
  }
  return "none";
}

Compression compression_of(std::string_view head) {
  if (head.starts_with("\x1F\x8B")) return Compression::gzip;
  if (head.starts_with(std::string_view("\xFD"
                                        "7zXZ\0",
                                        6)))
    return Compression::xz;
  if (head.starts_with("\x28\xB5\x2F\xFD")) return Compression::zstd;
  // A frame to be skipped, as some parallel compressors begin with: 0x184D2A50 to 0x184D2A5F.
  const bool skippable = head.size() >= 4 && (head[0] & 0xF0) == 0x50 && head.substr(1, 3) == "\x2A\x4D\x18";
  return skippable ? Compression::zstd : Compression::none;
}

Compression compression_by_name(const Path& path) {
  const Path extension = path.extension();
  if (extension == ".gz") return Compression::gzip;
  if (extension == ".xz") return Compression::xz;
  if (extension == ".zst") return Compression::zstd;
  return Compression::none;
}

Path without_compression(const Path& path) {
  return compression_by_name(path) == Compression::none ? path : Path(path).replace_extension();
}

ByteReader decompressed(Compression compression, ByteReader compressed, std::string name) {
  if (compression == Compression::none) return compressed;
  const auto work = std::make_shared<Decompression>(compression, std::move(compressed), std::move(name));
  return [work](char* out, std::size_t count) { return work->read(out, count); };
}

}  // namespace ecp
