// The header of a .npy file.
#include "ecp/text/npy.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const std::size_t item : {0, 2, 8}) {
    fuzz::accepted([&] {
      const NpyHeader header = parse_npy_header(bytes, "input", item);
      fuzz::expect(header.data_offset <= size, "the data begins inside the file");
      fuzz::expect(item == 0 || header.elements() * item == size - header.data_offset,
                   "the data fills the file");
    });
  }
  return 0;
}
