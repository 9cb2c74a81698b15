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
    int multiplier, shift;
    bool overshoots;
};

// One tile, and the tables of separable.SeparableRoute. Tables of offsets are copied before they are checked, so that
// nothing can change them afterwards.
struct Work {
    const void *padded;
    char *out;
    Count out_row_bytes, rows, row_numbers, row_outputs, line_numbers;
    Count channels, factor, taps, window, period, advance;
    int32_t first_rows[most_setting], first_columns[most_setting];
    const void *row_weights, *column_weights, *order;
    Division division;
    bool has_alpha;
};

// Sums of one type for pixels of one type.
struct Kind {
    char sum;
    Count pixel_bytes, sum_bytes;
    int lanes;
    double most;  // that a sum holds
    void *(*enlarge)(const Work &);  // returns memory to release, or null if there was not enough
};

// All that is compiled for one instruction set.
struct Kernels {
    const char *name;
    Kind kinds[5];
    void (*enlarge_twofold)(const uint8_t *padded, Count rows, Count width, Count channels, uint8_t *out,
                            Count out_row_bytes);
};

extern const Kernels avx512_kernels, avx2_kernels, neon_kernels, portable_kernels;

namespace {

// A product, or the largest number if it does not fit in 64 bits: more than any memory holds.
inline Count product(Count left, Count right)
{
    Count made;
    return __builtin_mul_overflow(left, right, &made) ? most_count : made;
}

// The largest place in the line where a vector of outputs may begin to take its numbers, within one period.
inline Count largest_first(const Work &work) { return work.advance + work.window * work.channels; }

// The sizes that follow from the settings and the size of the output.
inline void measure(Work &work, Count out_rows, Count out_width, int lanes)
{
    work.rows = out_rows / work.factor;
    work.row_outputs = out_width * work.channels;
    work.row_numbers = (out_width / work.factor + work.window - 1) * work.channels;
    const Count vectors = (work.row_outputs + lanes - 1) / lanes, periods = (vectors + work.period - 1) / work.period;
    const Count most_read = periods * work.advance + largest_first(work) + work.taps * work.channels + lanes;
    work.line_numbers = std::max(most_read, work.row_numbers);
}

}  // namespace
