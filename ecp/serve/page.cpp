#include "ecp/serve/page.h"

#include <string>

#include "ecp/base/error.h"
#include "ecp/serve/page_files.h"

namespace ecp::serve {
namespace {

constexpr const char* policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* content_type(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  fail("page: no content type is known for '{}'", name);
}

}  // namespace

std::optional<HttpResponse> page_file(std::string_view path) {
  const bool inside = path.starts_with(page_folder);
  if (!inside && path != "/") return std::nullopt;
  constexpr std::string_view page = "index.html";  // its links hold at "/" only
  const std::string_view name = inside ? path.substr(page_folder.size()) : page;
  if (inside && name == page) return std::nullopt;
  for (const PageFile& file : page_files()) {
    if (file.name != name) continue;
    HttpResponse response;
    response.content_type = content_type(name);
    response.body.assign(file.bytes.begin(), file.bytes.end());
    response.headers = {{"Content-Security-Policy", policy},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cache-Control", "no-cache"}};
    return response;
  }
  return std::nullopt;
}

}  // namespace ecp::serve
