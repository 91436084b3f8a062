#include "ecp/ops/packed_weight.h"

#include "ecp/base/error.h"
#include "ecp/kernels/amx_matmul.h"
#include "ecp/ops/onednn_weight.h"
#include "ecp/ops/tile_products.h"

namespace ecp::ops {

bool PackedWeight::available() { return kernels::amx::has_matmul() || OneDnnWeight::available(); }

bool PackedWeight::has_gelu() { return kernels::amx::has_matmul(); }

bool PackedWeight::writes_lines() { return kernels::amx::has_matmul(); }

std::unique_ptr<PackedWeight> PackedWeight::make(std::int64_t out, std::int64_t in) {
  require(out >= 1 && in >= 1, "linear layer: expected a weight of at least 1 x 1, got {} x {}", out, in);
  if (kernels::amx::has_matmul()) return std::make_unique<TileWeight>(out, in);
  return std::make_unique<OneDnnWeight>(out, in);
}

void PackedWeight::forward_gelu(std::int64_t, OperandRows, const float*, GeluRows) const {
  fail("linear layer: products with GELU are there for packed weights on AMX only");
}

void PackedWeight::backward_gelu(std::int64_t, OperandRows, GeluRows, std::uint16_t*, float*) const {
  fail("linear layer: products with GELU are there for packed weights on AMX only");
}

}  // namespace ecp::ops
