#include "ecp/ops/packed_weight.h"

#include "ecp/base/error.h"
#include "ecp/kernels/amx_matmul.h"
#include "ecp/ops/onednn_weight.h"
#include "ecp/ops/tile_products.h"

namespace ecp::ops {

bool PackedWeight::available() { return kernels::amx::has_matmul() || OneDnnWeight::available(); }

bool PackedWeight::writes_lines() { return kernels::amx::has_matmul(); }

std::unique_ptr<PackedWeight> PackedWeight::make(std::int64_t out, std::int64_t in) {
  require(out >= 1 && in >= 1, "linear layer: expected a weight of at least 1 x 1, got {} x {}", out, in);
  if (kernels::amx::has_matmul()) return std::make_unique<TileWeight>(out, in);
  return std::make_unique<OneDnnWeight>(out, in);
}

}  // namespace ecp::ops
