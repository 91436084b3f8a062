// A safetensors file: header, offsets, values; and what import makes of its metadata and names.
#include "ecp/weights/safetensors.h"

#include "ecp/weights/import.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  fuzz::accepted([&] {
    const SafetensorsFile file(std::as_bytes(std::span(data, size)), "input");
    std::size_t bytes = 0;
    for (const auto& named : file.tensors()) {
      const TensorView& view = named.second;
      bytes += view.bytes.size();
      const bool floating = view.dtype == DType::f32 || view.dtype == DType::f64 ||
                            view.dtype == DType::f16 || view.dtype == DType::bf16;
      const bool converted = fuzz::accepted([&] {
        fuzz::expect(view.to_float().size() == static_cast<std::size_t>(view.elements()),
                     "a value per element");
      });
      fuzz::expect(converted == floating, "floating-point tensors are converted, others refused");
    }
    fuzz::expect(bytes <= size, "tensors tile the data");
  });
  return 0;
}
