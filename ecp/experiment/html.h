// Text and numbers as HTML pages show them.
#pragma once

#include <string>
#include <string_view>

namespace ecp {

/// `&`, `<`, `>` and quotes made harmless, for element contents and attribute values; control characters that
/// HTML does not allow become spaces.
std::string escape_html(std::string_view text);

/// A table that scrolls sideways where the page is narrow; `label` and `rows` are HTML.
std::string scrolling_table(std::string_view label, std::string_view rows);

/// "1,234,567"; NaN is "–".
std::string grouped(double value);
/// `digits` decimals with thousands grouped; NaN is "–".
std::string decimal(double value, int digits);
/// "1.5M", "20k", "0.25": for axis labels and table cells.
std::string short_number(double value);
/// "2 h 05 min", "3 min 20 s", "45 s"; "–" if not a time.
std::string duration(double seconds);

}  // namespace ecp
