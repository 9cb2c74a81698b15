// The vectors of the compiler, for any processor: what it has of them is used, the rest is computed number by number.

#include "work.h"

namespace {
template <class Sum> constexpr int lanes = sizeof(Sum) == 8 ? 4 : 16 / sizeof(Sum);  // 4, so that an RGBA pixel fits
}

#include "vectors.h"

namespace {

template <class Sum> Index<Sum> encoded(Index<Sum> lane) { return lane; }

template <class Sum> inline Vector<Sum, Sum> permuted(Vector<Sum, Sum> numbers, Vector<Index<Sum>, Sum> order)
{
    Vector<Sum, Sum> made;
    for (int lane = 0; lane < lanes<Sum>; lane++)
        made[lane] = numbers[order[lane]];
    return made;
}

inline Vector<uint16_t, uint16_t> upper_half(Vector<uint16_t, uint16_t> left, Vector<uint16_t, uint16_t> right)
{
    using Wide = Vector<uint32_t, uint16_t>;
    const Wide products = __builtin_convertvector(left, Wide) * __builtin_convertvector(right, Wide);
    return __builtin_convertvector(products >> 16, Vector<uint16_t, uint16_t>);
}

}  // namespace

#include "kernels.h"

constexpr Kernels portable_kernels = kernels_named("portable");
