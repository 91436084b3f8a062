// manifest.json of a checkpoint, and the index of weights in several files; the first byte says which.
#include "ecp/weights/manifest.h"

#include "ecp/weights/tensor_set.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  if (size == 0) return 0;
  const std::string_view input = fuzz::text_of(data, size).substr(1);
  fuzz::accepted([&] {
    if (data[0] % 2 == 0) {
      for (const auto& [name, entry] : parse_manifest(input, "input").files) {
        const Path inside = (Path("/folder") / name).lexically_normal();
        fuzz::expect(inside.string().starts_with("/folder/"), "names stay inside the folder");
      }
    } else {
      const auto index = parse_weights_index(input, "input");
      fuzz::expect(!files_of(index).empty() && files_of(index).size() <= index.size(),
                   "a file for every tensor");
    }
  });
  return 0;
}
