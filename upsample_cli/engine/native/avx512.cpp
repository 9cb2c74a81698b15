// AVX-512 as from Ice Lake and Zen 4 on, with VBMI and VNNI. No code of this file may run before the processor is known to
// have them.

#include "work.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512dq,avx512vl,avx512vbmi,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512dq,avx512vl,avx512vbmi,avx512vnni,fma")
#endif

namespace {
constexpr int vector_bytes = 64, piece_bytes = 64;
}

#include "vectors.h"

namespace {

inline Bytes gathered(const uint8_t *from, const Count *places)
{
    const auto piece = [&](int at) { return _mm_loadu_si128((const __m128i_u *)(from + places[at])); };
    __m512i made = _mm512_castsi128_si512(piece(0));
    made = _mm512_inserti32x4(made, piece(1), 1);
    made = _mm512_inserti32x4(made, piece(2), 2);
    return (Bytes)_mm512_inserti32x4(made, piece(3), 3);
}

inline Bytes shuffled(Bytes bytes, Bytes mask)
{
    return (Bytes)_mm512_maskz_permutexvar_epi8(~_mm512_movepi8_mask((__m512i)mask), (__m512i)mask, (__m512i)bytes);
}

inline Bytes average(Bytes left, Bytes right) { return (Bytes)_mm512_avg_epu8((__m512i)left, (__m512i)right); }

inline Shorts average(Shorts left, Shorts right) { return (Shorts)_mm512_avg_epu16((__m512i)left, (__m512i)right); }

inline Shorts upper_half(Shorts left, Shorts right)
{
    return (Shorts)_mm512_mulhi_epu16((__m512i)left, (__m512i)right);
}

inline Ints upper_half(Ints left, Ints right)
{
    const __m512i one = (__m512i)left, other = (__m512i)right, even = _mm512_mul_epu32(one, other);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(one, 32), _mm512_srli_epi64(other, 32));
    return (Ints)_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}

// The packing instructions alternate between the quarters of their two vectors.
inline __m512i in_order(__m512i packed)
{
    return _mm512_permutexvar_epi64((__m512i)Longs{0, 2, 4, 6, 1, 3, 5, 7}, packed);
}

inline Shorts narrowed(Ints front, Ints back)
{
    return (Shorts)in_order(_mm512_packus_epi32((__m512i)front, (__m512i)back));
}

inline Bytes narrowed(Shorts front, Shorts back)
{
    return (Bytes)in_order(_mm512_packus_epi16((__m512i)front, (__m512i)back));
}

inline Ints narrowed(Longs front, Longs back)
{
    const Ints even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return (Ints)_mm512_permutex2var_epi32((__m512i)front, (__m512i)even, (__m512i)back);
}

inline Bytes clipped(const Ints (&numbers)[4])
{
    const __m512i front = _mm512_packs_epi32((__m512i)numbers[0], (__m512i)numbers[1]);
    const __m512i back = _mm512_packs_epi32((__m512i)numbers[2], (__m512i)numbers[3]);
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return (Bytes)_mm512_shuffle_epi8(_mm512_packus_epi16(front, back), _mm512_broadcast_i32x4(order));
}

inline bool is_set(Bytes bytes) { return _mm512_test_epi8_mask((__m512i)bytes, (__m512i)bytes); }

struct PairSums {
    Ints sums;
    void add(Ints left, Ints right)
    {
        sums = (Ints)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)left, (__m512i)right);
    }
    Ints total() const { return sums; }
};

}  // namespace

#include "kernels.h"

constexpr Kernels avx512_kernels = kernels_named("avx512");

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
