// NEON of 64-bit ARM, which every such processor has.

#include "work.h"

#if defined(__aarch64__) && !defined(__AARCH64EB__)

#include <arm_neon.h>

namespace {
constexpr int vector_bytes = 16, piece_bytes = 16;
}

#include "vectors.h"

namespace {

inline Bytes gathered(const uint8_t *from, const Count *places) { return loaded<Bytes>(from + *places); }

inline Bytes shuffled(Bytes bytes, Bytes mask) { return (Bytes)vqtbl1q_u8((uint8x16_t)bytes, (uint8x16_t)mask); }

inline Bytes average(Bytes left, Bytes right) { return (Bytes)vrhaddq_u8((uint8x16_t)left, (uint8x16_t)right); }

inline Shorts average(Shorts left, Shorts right) { return (Shorts)vrhaddq_u16((uint16x8_t)left, (uint16x8_t)right); }

inline Shorts upper_half(Shorts left, Shorts right)
{
    const uint16x8_t one = (uint16x8_t)left, other = (uint16x8_t)right;
    const uint32x4_t front = vmull_u16(vget_low_u16(one), vget_low_u16(other)), back = vmull_high_u16(one, other);
    return (Shorts)vuzp2q_u16(vreinterpretq_u16_u32(front), vreinterpretq_u16_u32(back));
}

inline Ints upper_half(Ints left, Ints right)
{
    const uint32x4_t one = (uint32x4_t)left, other = (uint32x4_t)right;
    const uint64x2_t front = vmull_u32(vget_low_u32(one), vget_low_u32(other)), back = vmull_high_u32(one, other);
    return (Ints)vuzp2q_u32(vreinterpretq_u32_u64(front), vreinterpretq_u32_u64(back));
}

inline Shorts narrowed(Ints front, Ints back)
{
    return (Shorts)vqmovun_high_s32(vqmovun_s32((int32x4_t)front), (int32x4_t)back);
}

inline Bytes narrowed(Shorts front, Shorts back)
{
    return (Bytes)vqmovun_high_s16(vqmovun_s16((int16x8_t)front), (int16x8_t)back);
}

inline Ints narrowed(Longs front, Longs back) { return (Ints)vuzp1q_s32((int32x4_t)front, (int32x4_t)back); }

inline Bytes clipped(const Ints (&numbers)[4])
{
    const auto pair = [&](int at) {
        return vqmovn_high_s32(vqmovn_s32((int32x4_t)numbers[at]), (int32x4_t)numbers[at + 1]);
    };
    const Bytes order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return shuffled((Bytes)vqmovun_high_s16(vqmovun_s16(pair(0)), pair(2)), order);
}

inline bool is_set(Bytes bytes) { return vmaxvq_u32((uint32x4_t)bytes); }

// The two products of a lane are added at the end.
struct PairSums {
    int32x4_t front, back;
    void add(Ints left, Ints right)
    {
        const int16x8_t one = (int16x8_t)left, other = (int16x8_t)right;
        front = vmlal_s16(front, vget_low_s16(one), vget_low_s16(other));
        back = vmlal_high_s16(back, one, other);
    }
    Ints total() const { return (Ints)vpaddq_s32(front, back); }
};

}  // namespace

#include "kernels.h"

constexpr Kernels neon_kernels = kernels_named("neon");

#endif
