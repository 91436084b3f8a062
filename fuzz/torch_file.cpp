// A PyTorch checkpoint: the archive, the pickle in it, the tensors, and what import makes of their names and
// shapes. The bytes are read as a whole file, and once more as the pickle of an archive that is sound.
#include "ecp/weights/torch_file.h"

#include <string>
#include <vector>

#include "ecp/config/parameters.h"
#include "ecp/weights/import.h"
#include "fuzz/fuzz.h"
#include "tests/support/torch_writer.h"

namespace {

void read(std::string_view content) {
  using namespace ecp;
  fuzz::accepted([&] {
    const TorchFile file(std::as_bytes(std::span(content)), "input");
    std::size_t copied = 0;
    for (const auto& [name, view] : file.tensors()) {
      std::uint64_t elements = 1;
      for (const std::int64_t extent : view.shape) elements *= static_cast<std::uint64_t>(extent);
      fuzz::expect(elements * size_of(view.dtype) == view.bytes.size(), "as many bytes as the shape says");
      const std::vector<std::byte> values(view.bytes.begin(), view.bytes.end());  // every byte can be read
      const char* const begin = reinterpret_cast<const char*>(view.bytes.data());
      const bool in_file = begin >= content.data() && begin < content.data() + content.size();
      if (!in_file) copied += values.size();
    }
    fuzz::expect(copied <= content.size(), "copies are no larger than the file");
    for (const char* architecture : {"ecp", "double", "split", "compressed"}) {
      fuzz::accepted([&] {
        const ImportedModel model =
            import_authors(file, {std::string("model.architecture=") + architecture, "model.sequence=16",
                                  "model.block=4", "model.latents=8", "model.history_segment=4"});
        fuzz::expect(model.tensors.size() == parameters(model.config).size(), "a tensor for every parameter");
      });
    }
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view content = ecp::fuzz::text_of(data, size);
  read(content);
  read(ecp::test::zip_of({{"a/data.pkl", std::string(content)},
                          {"a/byteorder", "little"},
                          {"a/data/0", std::string(64, '\0')},
                          {"a/data/1", std::string(24, '\1')}},
                         {.checksums = false}));
  return 0;
}
