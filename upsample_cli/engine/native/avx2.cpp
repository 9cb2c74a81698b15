// AVX2 with FMA. No code of this file may run before the processor is known to have them.

#include "work.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

namespace {
constexpr int vector_bytes = 32, piece_bytes = 16;
}

#include "vectors.h"

namespace {

inline Bytes gathered(const uint8_t *from, const Count *places)
{
    return (Bytes)_mm256_loadu2_m128i((const __m128i_u *)(from + places[1]), (const __m128i_u *)(from + places[0]));
}

inline Bytes shuffled(Bytes bytes, Bytes mask) { return (Bytes)_mm256_shuffle_epi8((__m256i)bytes, (__m256i)mask); }

inline Bytes average(Bytes left, Bytes right) { return (Bytes)_mm256_avg_epu8((__m256i)left, (__m256i)right); }

inline Shorts average(Shorts left, Shorts right) { return (Shorts)_mm256_avg_epu16((__m256i)left, (__m256i)right); }

inline Shorts upper_half(Shorts left, Shorts right)
{
    return (Shorts)_mm256_mulhi_epu16((__m256i)left, (__m256i)right);
}

inline Ints upper_half(Ints left, Ints right)
{
    const __m256i one = (__m256i)left, other = (__m256i)right, even = _mm256_mul_epu32(one, other);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(one, 32), _mm256_srli_epi64(other, 32));
    return (Ints)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

// The packing instructions alternate between the halves of their two vectors.
constexpr int in_order = 0xD8;

inline Shorts narrowed(Ints front, Ints back)
{
    return (Shorts)_mm256_permute4x64_epi64(_mm256_packus_epi32((__m256i)front, (__m256i)back), in_order);
}

inline Bytes narrowed(Shorts front, Shorts back)
{
    return (Bytes)_mm256_permute4x64_epi64(_mm256_packus_epi16((__m256i)front, (__m256i)back), in_order);
}

inline Ints narrowed(Longs front, Longs back)
{
    const __m256 lower = _mm256_shuffle_ps((__m256)front, (__m256)back, 0x88);
    return (Ints)_mm256_permute4x64_epi64(_mm256_castps_si256(lower), in_order);
}

inline Bytes clipped(const Ints (&numbers)[4])
{
    const __m256i front = _mm256_packs_epi32((__m256i)numbers[0], (__m256i)numbers[1]);
    const __m256i back = _mm256_packs_epi32((__m256i)numbers[2], (__m256i)numbers[3]);
    const Bytes order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
                         0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return shuffled((Bytes)_mm256_packus_epi16(front, back), order);
}

inline bool is_set(Bytes bytes) { return !_mm256_testz_si256((__m256i)bytes, (__m256i)bytes); }

struct PairSums {
    Ints sums;
    void add(Ints left, Ints right)
    {
        sums += (Ints)_mm256_madd_epi16((__m256i)left, (__m256i)right);
        asm("" : "+x"(sums));  // GCC would add products first, and keep them in memory
    }
    Ints total() const { return sums; }
};

}  // namespace

#include "kernels.h"

constexpr Kernels avx2_kernels = kernels_named("avx2");

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
