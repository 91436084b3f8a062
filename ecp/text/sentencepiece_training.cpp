#include <sentencepiece_trainer.h>

#include <charconv>
#include <unordered_map>

#include "ecp/base/error.h"
#include "ecp/base/random.h"
#include "ecp/base/system.h"
#include "ecp/text/sentencepiece.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/utf8.h"

namespace ecp {
namespace {

constexpr std::size_t longest_sentence = 4000;

/// Lines of the training text, at most `most_bytes` of them. Each line has a random number that depends on
/// its index alone; when there is too much, the lines above half of the threshold go, so that what remains is
/// always a uniform sample of all lines so far.
class Sentences final : public sentencepiece::SentenceIterator {
 public:
  Sentences(std::uint64_t most_bytes, std::uint64_t seed) : most_bytes_(most_bytes), seed_(seed) {}

  void add_text(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find_first_of(cut_at), text.size());
      add_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  [[nodiscard]] bool empty() const { return lines_.empty(); }
  void begin() { load(); }

  bool done() const override { return next_ > lines_.size(); }
  void Next() override { load(); }
  const std::string& value() const override { return current_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  struct Line {
    std::uint64_t random, offset;
    std::size_t length;
  };
  /// Never part of a piece, as are SentencePiece's marks for spaces and for unknown characters (U+2581,
  /// U+2585).
  static constexpr std::string_view cut_at{"\n\0", 2};

  void load() {
    if (next_ < lines_.size()) current_.assign(text_, lines_[next_].offset, lines_[next_].length);
    ++next_;
  }

  void add_line(std::string_view line) {
    for (const std::string_view mark : {text::space_mark, std::string_view("\xE2\x96\x85")}) {
      const std::size_t found = line.find(mark);
      if (found == std::string_view::npos) continue;
      add_line(line.substr(0, found));
      add_line(line.substr(found + mark.size()));
      return;
    }
    while (line.size() > longest_sentence) {
      std::size_t cut = line.rfind(' ', longest_sentence);
      if (cut == std::string_view::npos || cut == 0) cut = utf8_floor(line, longest_sentence);
      add_sentence(line.substr(0, cut));
      line.remove_prefix(cut);
    }
    add_sentence(line);
  }

  void add_sentence(std::string_view sentence) {
    if (sentence.empty()) return;
    const std::uint64_t random = random_bits(seed_, index_++);
    if (random > threshold_) return;
    lines_.push_back({random, text_.size(), sentence.size()});
    text_ += sentence;
    while (text_.size() > most_bytes_ && lines_.size() > 1) thin_out();
  }

  void thin_out() {
    threshold_ /= 2;
    std::vector<Line> kept;
    std::string text;
    for (const Line& line : lines_) {
      if (line.random > threshold_) continue;
      kept.push_back({line.random, text.size(), line.length});
      text.append(text_, line.offset, line.length);
    }
    lines_ = std::move(kept);
    text_ = std::move(text);
  }

  std::uint64_t most_bytes_, seed_;
  std::uint64_t index_ = 0, threshold_ = UINT64_MAX;
  std::string text_;
  std::vector<Line> lines_;
  std::size_t next_ = 0;
  std::string current_;
};

/// SentencePiece says which size would do, among other things: "... <= 1234."
[[noreturn]] void fail_training(const SentencePieceTraining& options, std::string message) {
  const auto bound = message.find("<= ");
  if (message.find("too high") != std::string::npos && bound != std::string::npos) {
    std::int64_t most = 0;
    std::from_chars(message.data() + bound + 3, message.data() + message.size(), most);
    fail("tokenizer: a vocabulary of {} is too large for this text: expected at most {}", options.vocab_size,
         most);
  }
  if (message.find("smaller than required") != std::string::npos) {
    fail("tokenizer: a vocabulary of {} is too small for the characters of this text", options.vocab_size);
  }
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  fail("tokenizer: SentencePiece cannot train {} with a vocabulary of {}: {}", options.type,
       options.vocab_size, message);
}

}  // namespace

std::shared_ptr<const Tokenizer> train_sentencepiece(const SentencePieceTraining& options,
                                                     const std::function<bool(std::string&)>& next) {
  require(options.type == "bpe" || options.type == "unigram",
          "tokenizer: expected the type bpe or unigram, got '{}'", options.type);
  constexpr std::int64_t least = 256 + 8, most = std::int64_t{1} << 20;
  require(options.vocab_size >= least && options.vocab_size <= most,
          "tokenizer: expected a vocabulary of {} to {}, got {}", least, most, options.vocab_size);
  text::silence_sentencepiece();
  Sentences sentences(options.most_bytes, options.seed);
  for (std::string piece; next(piece);) {
    const std::size_t valid = utf8_prefix(piece).length;
    require(valid == piece.size(), "tokenizer: text to train on: not UTF-8 at byte {}", valid);
    sentences.add_text(piece);
  }
  require(!sentences.empty(), "tokenizer: no text to train on");
  sentences.begin();
  const std::int64_t threads = options.threads > 0 ? options.threads : available_cpus();
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      {
          {"model_type", options.type},
          {"vocab_size", std::to_string(options.vocab_size)},
          {"num_threads", std::to_string(std::min<std::int64_t>(threads, 128))},
          {"normalization_rule_name", "identity"},
          {"add_dummy_prefix", "false"},
          {"remove_extra_whitespaces", "false"},
          {"byte_fallback", "true"},
          {"allow_whitespace_only_pieces", "true"},
          {"user_defined_symbols", "\n"},
          {"unk_id", "0"},
          {"unk_piece", text::unknown_piece},
          {"eos_id", "1"},
          {"eos_piece", text::end_of_text_piece},
          {"bos_id", "-1"},
          {"pad_id", "-1"},
          {"max_sentence_length", "1000000"},
          {"minloglevel", "3"},
      },
      &sentences, &model);
  if (!status.ok()) fail_training(options, status.message());
  return text::sentencepiece_tokenizer(std::move(model), "trained model", true);
}

}  // namespace ecp
