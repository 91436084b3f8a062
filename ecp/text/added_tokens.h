// Tokens that stand for fixed spellings, found in text before anything else looks at it. For sources of this
// room.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

struct AddedToken {
  std::string content;
  Token id = 0;
  bool special = false;
  bool left_strip = false, right_strip = false;  // takes the white space before or after it as well
  bool normalized = true;                        // found in normalised text
};

class AddedTokens {
 public:
  static constexpr std::size_t longest = 256;  // bytes of a content; time per byte of text is bounded by it

  void add(const AddedToken& token);
  [[nodiscard]] bool empty() const { return tokens_.empty(); }

  struct Match {
    std::size_t begin, end;  // with stripped white space
    Token id;
  };
  /// Appends the matches in `text`: leftmost first, of those the longest, none overlapping another.
  void find(std::string_view text, std::vector<Match>& matches) const;

  /// Whether text could be cut before the space at `position` without changing any match, whatever follows.
  /// In a token's content `space_mark` counts as a space.
  [[nodiscard]] bool allow_cut(std::string_view text, std::size_t position) const;

 private:
  struct Stored {
    AddedToken token;
    std::string spaced;  // the content with spaces for marks
  };
  struct Node {
    std::int32_t token = -1;  // index of the one that ends here
  };

  std::vector<Stored> tokens_;
  std::vector<Node> nodes_{1};
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // of node << 8 | byte
  std::array<bool, 256> begins_{};
};

}  // namespace ecp::text
