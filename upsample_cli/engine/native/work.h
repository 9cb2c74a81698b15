// One tile to enlarge, and what an instruction set has to enlarge it. Shared by the module, which knows Python and
// checks everything, and by the kernels, which are compiled once for each instruction set.
//
// The standard headers are all here: included after a file has chosen its instructions, a function of theirs could be
// compiled for them and be the one that the linker keeps for everybody.

#pragma once

#if !defined(__GNUC__)
#error "the vector types of GCC and Clang are needed, __attribute__((vector_size)); without them torch computes"
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <type_traits>
#include <utility>

using Count = std::ptrdiff_t;

// Far above any setting, and small enough that products of settings fit in 64 bits.
constexpr Count most_setting = 1 << 12;

// Far above the side of any tile, and small enough that the size of a line fits in 64 bits.
constexpr Count most_side = Count(1) << 40;

constexpr Count most_count = std::numeric_limits<Count>::max();

// How a sum becomes a pixel.
struct Division {
    double divisor;
    Count multiplier;  // of sums of whole numbers; below 2**32
    int shift;
    int multiplies, alpha_multiplies;  // whether floats are multiplied by the inverse
    int overshoots;
};

// One tile, and the tables of compiled.CompiledRoute. The table of offsets is copied before it is checked, so that
// nothing can change it afterwards.
struct Work {
    const void *padded;
    char *out;
    Count out_row_bytes, rows, width;  // of the input, without its rim
    Count channels, factor, taps, window;
    int32_t firsts[most_setting];
    const void *weights;
    Division division;
    int has_alpha, is_direct;  // direct: the kernel is not separable
};

// Sums of one type for pixels of one type.
struct Kind {
    char sum;
    Count pixel_bytes, sum_bytes;
    double most;  // that a sum holds
    bool (*enlarge)(const Work &);  // false if there was not enough memory
};

#include "network.h"
#include "resampling.h"

// All that is compiled for one instruction set.
struct Kernels {
    const char *name;
    Kind kinds[7], twofold[2], sums[3];
    Resampler resamplers[2];
    bool (*net_detail)(const NetDetail &);  // false if there was not enough memory
    bool (*net_combine[2])(const NetSum &);  // for pixels of 8 and of 16 bits
};

extern const Kernels avx512_kernels, avx2_kernels, sse41_kernels, neon_kernels, portable_kernels;

namespace {

// A product, or the largest number if it does not fit in 64 bits: more than any memory holds.
inline Count product(Count left, Count right)
{
    Count made;
    return __builtin_mul_overflow(left, right, &made) ? most_count : made;
}

// Memory for the tables and lines of one tile, filled with zeros.
class Scratch {
public:
    bool is_full = false;

    Scratch() = default;
    Scratch(const Scratch &) = delete;
    ~Scratch()
    {
        for (int at = 0; at < used; at++)
            std::free(blocks[at]);
    }

    template <class Number> Number *room(Count rows, Count columns)
    {
        constexpr Count alignment = 64;
        const Count bytes = product(product(rows, columns), sizeof(Number));
        void *block = bytes < most_count - alignment ? std::calloc(bytes + alignment, 1) : nullptr;
        if (!block) {
            is_full = true;
            return nullptr;
        }
        blocks[used++] = block;
        const auto address = reinterpret_cast<uintptr_t>(block);
        return reinterpret_cast<Number *>((address + alignment - 1) / alignment * alignment);
    }

private:
    void *blocks[8];
    int used = 0;
};

}  // namespace
