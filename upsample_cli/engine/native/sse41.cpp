// SSE4.1. No code of this file may run before the processor is known to have it.

#include "work.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sse4.1"))), apply_to = function)
#else
#pragma GCC target("sse4.1")
#endif

namespace {
constexpr int vector_bytes = 16, piece_bytes = 16;
}

#include "vectors.h"

namespace {

inline Bytes gathered(const uint8_t *from, const Count *places) { return loaded<Bytes>(from + *places); }

inline Bytes shuffled(Bytes bytes, Bytes mask) { return (Bytes)_mm_shuffle_epi8((__m128i)bytes, (__m128i)mask); }

inline Bytes average(Bytes left, Bytes right) { return (Bytes)_mm_avg_epu8((__m128i)left, (__m128i)right); }

inline Shorts average(Shorts left, Shorts right) { return (Shorts)_mm_avg_epu16((__m128i)left, (__m128i)right); }

inline Shorts upper_half(Shorts left, Shorts right) { return (Shorts)_mm_mulhi_epu16((__m128i)left, (__m128i)right); }

inline Ints upper_half(Ints left, Ints right)
{
    const __m128i one = (__m128i)left, other = (__m128i)right, even = _mm_mul_epu32(one, other);
    const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(one, 32), _mm_srli_epi64(other, 32));
    return (Ints)_mm_blend_epi16(_mm_srli_epi64(even, 32), odd, 0xCC);
}

inline Shorts narrowed(Ints front, Ints back) { return (Shorts)_mm_packus_epi32((__m128i)front, (__m128i)back); }

inline Bytes narrowed(Shorts front, Shorts back) { return (Bytes)_mm_packus_epi16((__m128i)front, (__m128i)back); }

inline Ints narrowed(Longs front, Longs back)
{
    return (Ints)_mm_shuffle_ps((__m128)front, (__m128)back, 0x88);
}

inline Bytes clipped(const Ints (&numbers)[4])
{
    const __m128i front = _mm_packs_epi32((__m128i)numbers[0], (__m128i)numbers[1]);
    const __m128i back = _mm_packs_epi32((__m128i)numbers[2], (__m128i)numbers[3]);
    const Bytes order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return shuffled((Bytes)_mm_packus_epi16(front, back), order);
}

inline bool is_set(Bytes bytes) { return !_mm_testz_si128((__m128i)bytes, (__m128i)bytes); }

struct PairSums {
    Ints sums;
    void add(Ints left, Ints right)
    {
        sums += (Ints)_mm_madd_epi16((__m128i)left, (__m128i)right);
        asm("" : "+x"(sums));  // as in avx2.cpp
    }
    Ints total() const { return sums; }
};

}  // namespace

#include "kernels.h"

constexpr Kernels sse41_kernels = kernels_named("sse41");

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
