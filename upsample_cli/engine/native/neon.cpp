// NEON of 64-bit ARM, which every such processor has.

#include "work.h"

#if defined(__aarch64__) && !defined(__AARCH64EB__)

#include <arm_neon.h>

namespace {
template <class Sum> constexpr int lanes = sizeof(Sum) == 8 ? 4 : 16 / sizeof(Sum);  // 4, so that an RGBA pixel fits
}

#include "vectors.h"

namespace {

// NEON permutes bytes: the index of a lane is that of each of its bytes.
template <class Sum> Index<Sum> encoded(Index<Sum> lane)
{
    uint8_t places[sizeof(Sum)];
    for (unsigned byte = 0; byte < sizeof(Sum); byte++)
        places[byte] = lane * sizeof(Sum) + byte;
    return loaded<Index<Sum>>(places);
}

template <class Sum> inline Vector<Sum, Sum> permuted(Vector<Sum, Sum> numbers, Vector<Index<Sum>, Sum> order)
{
    if constexpr (sizeof numbers == 16) {
        return (Vector<Sum, Sum>)vqtbl1q_u8((uint8x16_t)numbers, (uint8x16_t)order);
    } else {
        const auto table = loaded<uint8x16x2_t>(&numbers), places = loaded<uint8x16x2_t>(&order);
        const uint8x16x2_t made = {vqtbl2q_u8(table, places.val[0]), vqtbl2q_u8(table, places.val[1])};
        return loaded<Vector<Sum, Sum>>(&made);
    }
}

inline Vector<uint16_t, uint16_t> upper_half(Vector<uint16_t, uint16_t> left, Vector<uint16_t, uint16_t> right)
{
    const uint16x8_t one = (uint16x8_t)left, other = (uint16x8_t)right;
    const uint32x4_t low = vmull_u16(vget_low_u16(one), vget_low_u16(other)), high = vmull_high_u16(one, other);
    return (Vector<uint16_t, uint16_t>)vuzp2q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}

}  // namespace

#include "kernels.h"

constexpr Kernels neon_kernels = kernels_named("neon");

#endif
