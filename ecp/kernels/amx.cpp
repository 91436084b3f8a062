#include "ecp/kernels/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ecp::kernels::amx {

#if defined(__x86_64__) && defined(__linux__)

bool permitted() {
  static const bool yes = [] {
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return yes;
}

namespace {
struct alignas(64) Configuration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(Configuration) == 64);
}  // namespace

Tiles::Tiles() {
  static const Configuration configuration;
  asm volatile("ldtilecfg %0" ::"m"(configuration));
}
Tiles::~Tiles() { asm volatile("tilerelease"); }

#else

bool permitted() { return false; }
Tiles::Tiles() = default;
Tiles::~Tiles() = default;

#endif

}  // namespace ecp::kernels::amx
