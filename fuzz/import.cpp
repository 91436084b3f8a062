// The authors' weights: names and metadata of a safetensors file that is sound in itself.
#include "ecp/weights/import.h"

#include "ecp/config/parameters.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const SafetensorsFile file(std::as_bytes(std::span(data, size)), "input");
    fuzz::accepted([&] { authors_gradients(file); });
    const ImportedModel model = import_authors(file);
    fuzz::expect(model.tensors.size() == parameters(model.config).size(), "a tensor for every parameter");
  });
  return 0;
}
