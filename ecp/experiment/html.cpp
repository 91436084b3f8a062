#include "ecp/experiment/html.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace ecp {

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        const bool forbidden = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
        result += forbidden ? ' ' : c;
      }
    }
  }
  return result;
}

std::string scrolling_table(std::string_view label, std::string_view rows) {
  return fmt::format(
      "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table>\n{}</table></div>\n",
      label, rows);
}

std::string decimal(double value, int digits) {
  if (std::isnan(value)) return "–";
  if (std::fabs(value) >= 1e15) return fmt::format("{:.4g}", value);  // no one reads that many digits
  std::string text = fmt::format("{:.{}f}", value, digits);
  const auto point = std::min(text.find('.'), text.size());
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = point; at > first + 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string grouped(double value) { return decimal(value, 0); }

std::string short_number(double value) {
  if (std::isnan(value)) return "–";
  const double size = std::fabs(value);
  if (size >= 1e15) return fmt::format("{:.4g}", value);
  if (size >= 1e12) return fmt::format("{:.4g}T", value / 1e12);
  if (size >= 1e9) return fmt::format("{:.4g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  if (size < 1e-3 && size > 0) {  // 5e-4, where printf has 5e-04
    const auto power = static_cast<int>(std::floor(std::log10(size) + 1e-9));
    return fmt::format("{:.4g}e{}", value / std::pow(10, power), power);
  }
  return fmt::format("{:.6g}", value);
}

std::string duration(double seconds) {
  if (!(seconds >= 0)) return "–";
  const auto whole = static_cast<long long>(std::min(seconds, 1e12) + 0.5);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

}  // namespace ecp
