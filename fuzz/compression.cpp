// Compressed bytes; the first byte says in which format, the second how they come in pieces.
#include "ecp/text/compression.h"

#include <algorithm>
#include <array>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const std::array formats = {Compression::gzip, Compression::xz, Compression::zstd};
  constexpr std::size_t enough = std::size_t{4} << 20;  // of what a few bytes may stand for
  if (size < 2) return 0;
  const std::size_t most = 1 + data[1];
  std::string_view rest = fuzz::text_of(data, size).substr(2);
  fuzz::accepted([&] {
    const ByteReader reader = decompressed(
        formats[data[0] % formats.size()],
        [&](char* out, std::size_t count) {
          const std::size_t taken = std::min({count, most, rest.size()});
          std::copy_n(rest.data(), taken, out);
          rest.remove_prefix(taken);
          return taken;
        },
        "input");
    std::array<char, 4096> out{};
    std::size_t total = 0;
    while (const std::size_t got = reader(out.data(), out.size())) {
      fuzz::expect(got <= out.size(), "no more than was asked for");
      if ((total += got) > enough) return;
    }
    fuzz::expect(reader(out.data(), out.size()) == 0, "the end stays the end");
  });
  return 0;
}
