// 2^(i / 16): with AVX-512 a power of two is one of these, found by a permutation, times a short polynomial,
// scaled by a whole power.
#pragma once

namespace ecp::kernels {

alignas(64) inline constexpr float sixteenths[16] = {
    1.0f,          1.0442737824f, 1.0905077327f, 1.1387886348f, 1.1892071150f, 1.2418578121f,
    1.2968395547f, 1.3542555469f, 1.4142135624f, 1.4768261459f, 1.5422108254f, 1.6104903319f,
    1.6817928305f, 1.7562521604f, 1.8340080864f, 1.9152065614f};

}  // namespace ecp::kernels
