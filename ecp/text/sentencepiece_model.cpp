// The little of the protocol buffers' wire format that a SentencePiece model needs to be looked through.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <set>

#include "ecp/base/error.h"
#include "ecp/text/sentencepiece.h"
#include "ecp/text/space_mark.h"
#include "ecp/text/utf8.h"

namespace ecp::text {
namespace {

enum WireType : unsigned { varint = 0, fixed64 = 1, delimited = 2, fixed32 = 5 };

struct WireField {
  unsigned number = 0;
  unsigned type = 0;
  std::uint64_t value = 0;  // varint, fixed32, fixed64
  std::string_view bytes;   // delimited
  std::string_view whole;   // with its key
};

/// Reads fields one after another; fails on anything that reaches beyond the message.
class WireReader {
 public:
  WireReader(std::string_view bytes, std::string_view name) : rest_(bytes), name_(name) {}

  bool next(WireField& field) {
    if (rest_.empty()) return false;
    const std::string_view start = rest_;
    const std::uint64_t key = read_varint();
    field = {};
    check(key >> 3 > 0 && key >> 3 < (1u << 29));
    field.number = static_cast<unsigned>(key >> 3);
    field.type = static_cast<unsigned>(key & 7);
    switch (field.type) {
      case varint:
        field.value = read_varint();
        break;
      case fixed64:
        field.value = read_fixed(8);
        break;
      case fixed32:
        field.value = read_fixed(4);
        break;
      case delimited:
        field.bytes = take(read_varint());
        break;
      default:
        check(false);
    }
    field.whole = start.substr(0, start.size() - rest_.size());
    return true;
  }

 private:
  void check(bool good) const { require(good, "'{}': not a SentencePiece model, or damaged", name_); }

  std::string_view take(std::uint64_t count) {
    check(count <= rest_.size());
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::uint64_t read_fixed(std::size_t count) {
    const std::string_view taken = take(count);
    std::uint64_t value = 0;
    std::memcpy(&value, taken.data(), count);
    return value;
  }

  std::uint64_t read_varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      check(!rest_.empty());
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    check(false);
    return 0;
  }

  std::string_view rest_;
  std::string_view name_;
};

// Field numbers of sentencepiece_model.proto.
namespace model_field {
constexpr unsigned piece = 1, trainer = 2, normalizer = 3, self_test = 4, denormalizer = 5;
}
namespace piece_field {
constexpr unsigned text = 1, score = 2, type = 3;
}
namespace trainer_field {
constexpr unsigned model_type = 3, byte_fallback = 35;
}
namespace normalizer_field {
constexpr char name = 1, charsmap = 2, add_dummy_prefix = 3, remove_extra_whitespaces = 4,
               escape_whitespaces = 5;
}

Piece read_piece(std::string_view message, std::size_t id, std::string_view name) {
  Piece piece;
  WireReader reader(message, name);
  for (WireField field; reader.next(field);) {
    if (field.number == piece_field::text && field.type == delimited) piece.text = field.bytes;
    if (field.number == piece_field::score && field.type == fixed32) {
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
      require(std::isfinite(piece.score), "'{}': damaged: the score of piece {} is not a number", name, id);
    }
    if (field.number == piece_field::type && field.type == varint) {
      require(field.value >= 1 && field.value <= 6, "'{}': damaged: piece {} has the unknown type {}", name,
              id, field.value);
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  require(!piece.text.empty() && is_utf8(piece.text), "'{}': damaged: piece {} is not text", name, id);
  return piece;
}

/// Sets what the message says, if it says it; of several messages the last one counts.
void read_trainer(std::string_view message, std::string_view name, bool& is_bpe, bool& byte_fallback) {
  WireReader reader(message, name);
  for (WireField field; reader.next(field);) {
    if (field.number == trainer_field::model_type && field.type == varint) {
      require(field.value == 1 || field.value == 2, "'{}': expected a BPE or unigram model, got type {}",
              name, field.value);
      is_bpe = field.value == 2;
    }
    if (field.number == trainer_field::byte_fallback && field.type == varint)
      byte_fallback = field.value != 0;
  }
}

/// What the model's normaliser would do to text, in words.
std::vector<std::string> read_normalizer(std::string_view message, std::string_view name) {
  std::string rules;
  bool charsmap = false, prefix = true, whitespace = true;  // the defaults of fields that aren't there
  WireReader reader(message, name);
  for (WireField field; reader.next(field);) {
    if (field.number == normalizer_field::name && field.type == delimited) rules = field.bytes;
    if (field.number == normalizer_field::charsmap && field.type == delimited)
      charsmap = !field.bytes.empty();
    if (field.number == normalizer_field::add_dummy_prefix && field.type == varint) prefix = field.value != 0;
    if (field.number == normalizer_field::remove_extra_whitespaces && field.type == varint)
      whitespace = field.value != 0;
  }
  std::vector<std::string> changes;
  if (charsmap)
    changes.push_back(rules.empty() ? "the normalisation" : "the normalisation " + printable(rules));
  if (prefix) changes.emplace_back("a space before the text");
  if (whitespace) changes.emplace_back("removal of repeated spaces");
  return changes;
}

/// Whether text would have to be encoded across the boundaries of segments (text/utf8.h) for it to be found.
bool spans_segments(const Piece& piece) {
  if (piece.type != PieceType::normal && piece.type != PieceType::user_defined) return false;
  const std::string text = with_spaces(piece.text);
  return next_segment(text) != text.size();
}

std::string identity_normalizer() {
  using namespace normalizer_field;
  std::string spec{static_cast<char>(name << 3 | delimited), 8};
  spec += "identity";
  spec += {static_cast<char>(add_dummy_prefix << 3), 0};
  spec += {static_cast<char>(remove_extra_whitespaces << 3), 0};
  spec += {static_cast<char>(escape_whitespaces << 3), 1};
  return spec;
}

}  // namespace

SafeModel check_model(std::string_view bytes, std::string_view name) {
  SafeModel model;
  std::set<std::string> texts;
  bool byte_fallback = false;
  std::string_view normalizer_spec;
  WireReader reader(bytes, name);
  for (WireField field; reader.next(field);) {
    if (field.number == model_field::normalizer && field.type == delimited) normalizer_spec = field.bytes;
    if (field.number == model_field::normalizer || field.number == model_field::denormalizer ||
        field.number == model_field::self_test) {
      continue;
    }
    if (field.number == model_field::piece && field.type == delimited) {
      model.pieces.push_back(read_piece(field.bytes, model.pieces.size(), name));
      require(texts.insert(model.pieces.back().text).second, "'{}': damaged: piece {} occurs twice", name,
              model.pieces.size() - 1);
    }
    if (field.number == model_field::trainer && field.type == delimited)
      read_trainer(field.bytes, name, model.is_bpe, byte_fallback);
    model.bytes += field.whole;
  }
  require(!model.pieces.empty(), "'{}': not a SentencePiece model, or damaged", name);
  // Pieces for all bytes aren't enough: without this SentencePiece turns unknown characters into one token.
  require(byte_fallback, "'{}': expected a model with byte fallback", name);
  model.not_applied = read_normalizer(normalizer_spec, name);
  if (const auto spanning = std::count_if(model.pieces.begin(), model.pieces.end(), spans_segments);
      spanning > 0)
    model.not_applied.push_back(fmt::format("{} pieces that span words", spanning));
  const std::string normalizer = identity_normalizer();
  model.bytes += static_cast<char>(model_field::normalizer << 3 | delimited);
  model.bytes += static_cast<char>(normalizer.size());
  model.bytes += normalizer;
  return model;
}

}  // namespace ecp::text
