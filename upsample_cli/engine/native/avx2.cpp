// AVX2. No code of this file may run before the processor is known to have it.

#include "work.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

namespace {
template <class Sum> constexpr int lanes = sizeof(Sum) == 2 ? 8 : 32 / sizeof(Sum);
}

#include "vectors.h"

namespace {

// AVX2 permutes bytes or 32 bits: the index of 16 bits is that of its two bytes, of 64 bits that of its two halves.
template <class Sum> Index<Sum> encoded(Index<Sum> lane)
{
    constexpr bool is_bytes = sizeof(Sum) == 2, is_halves = sizeof(Sum) == 8;
    return is_bytes ? lane * 0x0202 + 0x0100 : is_halves ? lane * 0x200000002 + 0x100000000 : lane;
}

template <class Sum> inline Vector<Sum, Sum> permuted(Vector<Sum, Sum> numbers, Vector<Index<Sum>, Sum> order)
{
    if constexpr (sizeof(Sum) == 2)
        return (Vector<Sum, Sum>)_mm_shuffle_epi8((__m128i)numbers, (__m128i)order);
    else
        return (Vector<Sum, Sum>)_mm256_permutevar8x32_epi32((__m256i)numbers, (__m256i)order);
}

inline Vector<uint16_t, uint16_t> upper_half(Vector<uint16_t, uint16_t> left, Vector<uint16_t, uint16_t> right)
{
    return (Vector<uint16_t, uint16_t>)_mm_mulhi_epu16((__m128i)left, (__m128i)right);
}

}  // namespace

#include "kernels.h"

constexpr Kernels avx2_kernels = kernels_named("avx2");

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
