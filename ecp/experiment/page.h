// The frame of a report: style, script, head. The file needs nothing but itself: its policy forbids the
// browser to load anything.
#pragma once

#include <string>
#include <string_view>

namespace ecp {

/// A whole HTML document; `title` is plain text, `body` is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace ecp
