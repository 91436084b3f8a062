// The bytes of the page's files, which cmake/Page.cmake writes into the build folder as C++.
#pragma once

#include <span>
#include <string_view>

namespace ecp::serve {

struct PageFile {
  std::string_view name;  // "page.css"
  std::span<const unsigned char> bytes;
};

std::span<const PageFile> page_files();

}  // namespace ecp::serve
