// AVX-512 with BW and VL. No code of this file may run before the processor is known to have it.

#include "work.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512bw,avx512vl")
#endif

namespace {
template <class Sum> constexpr int lanes = 64 / sizeof(Sum);
}

#include "vectors.h"

namespace {

template <class Sum> Index<Sum> encoded(Index<Sum> lane) { return lane; }

template <class Sum> inline Vector<Sum, Sum> permuted(Vector<Sum, Sum> numbers, Vector<Index<Sum>, Sum> order)
{
    if constexpr (sizeof(Sum) == 2)
        return (Vector<Sum, Sum>)_mm512_permutexvar_epi16((__m512i)order, (__m512i)numbers);
    else if constexpr (sizeof(Sum) == 4)
        return (Vector<Sum, Sum>)_mm512_permutexvar_epi32((__m512i)order, (__m512i)numbers);
    else
        return (Vector<Sum, Sum>)_mm512_permutexvar_pd((__m512i)order, (__m512d)numbers);
}

inline Vector<uint16_t, uint16_t> upper_half(Vector<uint16_t, uint16_t> left, Vector<uint16_t, uint16_t> right)
{
    return (Vector<uint16_t, uint16_t>)_mm512_mulhi_epu16((__m512i)left, (__m512i)right);
}

}  // namespace

#include "kernels.h"

constexpr Kernels avx512_kernels = kernels_named("avx512");

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
