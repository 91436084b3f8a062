#include "ecp/text/added_tokens.h"

#include <algorithm>

#include "ecp/text/space_mark.h"
#include "ecp/text/unicode.h"

namespace ecp::text {
namespace {

std::size_t strip_left(std::string_view text, std::size_t begin, std::size_t least) {
  while (begin > least) {
    const std::size_t before = previous_character(text, begin);
    if (!is_white_space(character_at(text, before).code)) break;
    begin = before;
  }
  return std::max(begin, least);
}

std::size_t strip_right(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const Character c = character_at(text, end);
    if (!is_white_space(c.code)) break;
    end += c.bytes;
  }
  return end;
}

}  // namespace

void AddedTokens::add(const AddedToken& token) {
  std::uint32_t node = 0;
  for (const char c : token.content) {
    const auto fresh = static_cast<std::uint32_t>(nodes_.size());
    const auto [child, is_new] =
        children_.emplace(std::uint64_t{node} << 8 | static_cast<unsigned char>(c), fresh);
    if (is_new) nodes_.emplace_back();
    node = child->second;
  }
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  begins_[static_cast<unsigned char>(token.content.front())] = true;
  tokens_.push_back({token, with_spaces(token.content)});
}

void AddedTokens::find(std::string_view text, std::vector<Match>& matches) const {
  std::size_t done = 0;  // up to here text belongs to matches, stripped white space included
  for (std::size_t i = 0; i < text.size();) {
    if (!begins_[static_cast<unsigned char>(text[i])]) {
      ++i;
      continue;
    }
    std::int32_t token = -1;
    std::size_t end = i;
    std::uint32_t node = 0;
    for (std::size_t k = i; k < text.size(); ++k) {
      const auto child = children_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[k]));
      if (child == children_.end()) break;
      node = child->second;
      if (nodes_[node].token >= 0) token = nodes_[node].token, end = k + 1;
    }
    if (token < 0) {
      ++i;
      continue;
    }
    const AddedToken& found = tokens_[static_cast<std::size_t>(token)].token;
    Match match{i, end, found.id};
    if (found.left_strip) match.begin = strip_left(text, i, std::min(done, i));
    if (found.right_strip) match.end = strip_right(text, end);
    matches.push_back(match);
    done = match.end;
    i = end;
  }
}

bool AddedTokens::allow_cut(std::string_view text, std::size_t position) const {
  const auto overlaps = [&](const Stored& stored) {
    const std::string_view content = stored.spaced;
    for (std::size_t k = content.find(' '); k != std::string_view::npos && k <= position;
         k = content.find(' ', k + 1)) {
      const std::string_view there = text.substr(position - k, content.size());
      if (k > 0 && content.starts_with(there)) return true;
    }
    return stored.token.right_strip && text.substr(0, position).ends_with(content);
  };
  return std::none_of(tokens_.begin(), tokens_.end(), overlaps);
}

}  // namespace ecp::text
