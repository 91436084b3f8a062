// The server's page: the files of ecp/serve/page/, which are in the program.
#pragma once

#include <optional>
#include <string_view>

#include "ecp/serve/http.h"

namespace ecp::serve {

/// Where its files other than the page itself, "/", are.
constexpr std::string_view page_folder = "/page/";

/// The answer to GET of "/" or "/page/NAME", which lets the page load nothing from elsewhere and be shown in
/// no other; nullopt if there is no such file.
std::optional<HttpResponse> page_file(std::string_view path);

}  // namespace ecp::serve
