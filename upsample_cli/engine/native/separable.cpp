// A separable transposed convolution over whole pixels: down the columns first, then along the rows, then one division.
//
// Built once for each kind of processor (pyproject.toml); separable.py makes the tables and chooses the module. A row of
// outputs is computed a vector at a time: each lane takes one number of the line of column sums for each tap. The
// numbers and their weights repeat after a few vectors, the period.
//
// The compiler must have the vector types of GCC and Clang, __attribute__((vector_size)).

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <type_traits>

#include <immintrin.h>

#include "twofold.h"

namespace {

#if defined(__AVX512BW__)
template <class Sum> constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
template <class Sum> constexpr int vector_bytes = std::is_same_v<Sum, uint16_t> ? 16 : 32;
#else
#error "no vectors of this processor are known here"
#endif

template <class Sum> constexpr int lanes = vector_bytes<Sum> / sizeof(Sum);

template <class Number, int count> struct VectorOf {
    typedef Number type __attribute__((vector_size(count * sizeof(Number))));
};
template <class Number, class Sum> using Vector = typename VectorOf<Number, lanes<Sum>>::type;

// The integer type as wide as a sum.
template <class Sum>
using Index = std::conditional_t<sizeof(Sum) == 2, uint16_t, std::conditional_t<sizeof(Sum) == 4, int32_t, int64_t>>;

template <class Type, class Number> inline Type loaded(const Number *from)
{
    Type made;
    std::memcpy(&made, from, sizeof made);
    return made;
}

// `permuted` gives each lane the number at its index in `order`, as `encoded` has written that index.
#if defined(__AVX512BW__)
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
#elif defined(__AVX2__)
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
#endif

// Far above any setting, and small enough that products of settings fit in 64 bits.
constexpr Py_ssize_t most_setting = 1 << 12;

// Far above the side of any tile, and small enough that the size of a line fits in 64 bits.
constexpr Py_ssize_t most_side = Py_ssize_t(1) << 40;

// A product, or the largest number if it does not fit in 64 bits: more than any memory holds.
Py_ssize_t product(Py_ssize_t left, Py_ssize_t right)
{
    Py_ssize_t made;
    return __builtin_mul_overflow(left, right, &made) ? PY_SSIZE_T_MAX : made;
}

// One tile, and the tables of separable.SeparableRoute. Tables of offsets are copied before they are checked, so that
// nothing can change them afterwards.
struct Work {
    const void *padded;
    char *out;
    Py_ssize_t out_row_bytes, rows, row_numbers, row_outputs, line_numbers;
    Py_ssize_t channels, factor, taps, window, period, advance;
    int32_t first_rows[most_setting], first_columns[most_setting];
    const void *row_weights, *column_weights, *order;
    double divisor;
    int multiplier, shift;
    bool has_alpha, overshoots;
};

// The layer's numbers of one input row: its pixels, colour multiplied by alpha where there is alpha.
template <class Pixel, class Sum, bool HasAlpha> void prepare(const Work &work, Py_ssize_t row, Sum *numbers)
{
    const Pixel *pixels = static_cast<const Pixel *>(work.padded) + row * work.row_numbers;
    if constexpr (!HasAlpha) {
        for (Py_ssize_t at = 0; at < work.row_numbers; at++)
            numbers[at] = pixels[at];
    } else {
        const Py_ssize_t channels = work.channels;
        for (Py_ssize_t at = 0; at < work.row_numbers; at += channels) {
            const Sum alpha = pixels[at + channels - 1];
            for (Py_ssize_t channel = 0; channel < channels - 1; channel++)
                numbers[at + channel] = pixels[at + channel] * alpha;
            numbers[at + channels - 1] = alpha;
        }
    }
}

// Whole numbers as pixels, through 16 bits: from 32 bits to 8 in one step, GCC converts them one by one on AVX2.
template <class Pixel, class Sum> Vector<Pixel, Sum> as_pixels(Vector<int32_t, Sum> numbers)
{
    return __builtin_convertvector(__builtin_convertvector(numbers, Vector<uint16_t, Sum>), Vector<Pixel, Sum>);
}

// A vector of sums as pixels: quotients rounded half up, clipped to the range. See exact.finish.
template <class Pixel, class Sum, bool HasAlpha>
Vector<Pixel, Sum> finished(const Work &work, Vector<Sum, Sum> sums, Vector<Index<Sum>, Sum> alpha_lanes,
                            Vector<Index<Sum>, Sum> is_alpha)
{
    constexpr Sum largest = std::numeric_limits<Pixel>::max();
    const Vector<Sum, Sum> zero = {};
    const Sum whole = static_cast<Sum>(work.divisor), half = static_cast<Sum>(static_cast<int64_t>(work.divisor) / 2);
    if constexpr (std::is_same_v<Sum, uint16_t>) {
        const auto quotients = upper_half(sums + half, zero + static_cast<Sum>(work.multiplier)) >> work.shift;
        return __builtin_convertvector(quotients, Vector<Pixel, Sum>);
    } else {
        Vector<Sum, Sum> dividends = sums + half, divisors = zero + whole;
        if constexpr (HasAlpha) {
            Vector<Sum, Sum> alpha = permuted<Sum>(sums, alpha_lanes), colour = sums;
            if (work.overshoots) {
                alpha = alpha > zero ? alpha : zero;
                colour = alpha > zero ? colour : zero;
            }
            const auto twice = alpha + alpha;
            dividends = is_alpha != 0 ? dividends : colour + colour + alpha;
            divisors = is_alpha != 0 ? divisors : twice > zero ? twice : zero + Sum(1);
        }
        if (work.overshoots)
            dividends = dividends > zero ? dividends : zero;
        if constexpr (std::is_same_v<Sum, double>) {
            auto quotients = dividends / divisors;
            if (work.overshoots)
                quotients = quotients < zero + largest ? quotients : zero + largest;
            return as_pixels<Pixel, Sum>(__builtin_convertvector(quotients, Vector<int32_t, Sum>));
        } else {
            const auto most = zero + (largest + 1);
            if (!HasAlpha && work.shift) {
                auto shifted = dividends >> work.shift;
                if (work.overshoots)
                    shifted = shifted < most ? shifted : most - 1;
                return as_pixels<Pixel, Sum>(shifted);
            }
            // The quotient of floats is off by less than one: the remainder corrects it.
            using Floats = Vector<float, Sum>;
            Floats ratio = __builtin_convertvector(dividends, Floats);
            if constexpr (HasAlpha)
                ratio /= __builtin_convertvector(divisors, Floats);
            else
                ratio *= static_cast<float>(1 / work.divisor);
            auto quotients = __builtin_convertvector(ratio, Vector<int32_t, Sum>);
            if (work.overshoots)
                quotients = quotients < most ? quotients : most;
            const auto rest = dividends - quotients * divisors;
            quotients -= rest >= divisors;
            quotients += rest < zero;
            if (work.overshoots)
                quotients = quotients < most ? quotients : most - 1;
            return as_pixels<Pixel, Sum>(quotients);
        }
    }
}

// All rows of a tile. Taps is the number of inputs of an output along an axis, or 0 to use `work.taps`.
template <class Pixel, class Sum, int Taps, bool HasAlpha> void enlarge_rows(const Work &work, void *scratch)
{
    constexpr int count = lanes<Sum>;
    const int taps = Taps ? Taps : static_cast<int>(work.taps);
    const Py_ssize_t stride = work.line_numbers;
    Sum *kept = static_cast<Sum *>(scratch), *line = kept + work.window * stride;
    auto *order = reinterpret_cast<Index<Sum> *>(line + stride);
    for (int at = 0; at < (work.period + 1) * count; at++)
        order[at] = encoded<Sum>(static_cast<const Index<Sum> *>(work.order)[at] & (count - 1));
    using Order = Vector<Index<Sum>, Sum>;
    const auto alpha_lanes = loaded<Order>(order + work.period * count);
    Order is_alpha;
    for (int at = 0; at < count; at++)
        is_alpha[at] = at % work.channels == work.channels - 1;
    const Sum *column_weights = static_cast<const Sum *>(work.column_weights);

    Py_ssize_t prepared = 0;
    for (Py_ssize_t row = 0; row < work.rows; row++) {
        for (; prepared < row + work.window; prepared++)
            prepare<Pixel, Sum, HasAlpha>(work, prepared, kept + prepared % work.window * stride);
        for (int phase = 0; phase < work.factor; phase++) {
            const Sum *weights = static_cast<const Sum *>(work.row_weights) + phase * work.taps;
            const Py_ssize_t first = row + work.first_rows[phase];
            auto numbers = [&](int tap) { return kept + (first + tap) % work.window * stride; };
            if constexpr (Taps == 2) {
                const Sum *above = numbers(0), *below = numbers(1), left = weights[0], right = weights[1];
                for (Py_ssize_t at = 0; at < work.row_numbers; at++)
                    line[at] = above[at] * left + below[at] * right;
            } else {
                for (int tap = 0; tap < taps; tap++) {
                    const Sum *taken = numbers(tap), weight = weights[tap];
                    for (Py_ssize_t at = 0; at < work.row_numbers; at++)
                        line[at] = (tap ? line[at] : 0) + taken[at] * weight;
                }
            }
            Pixel *out = reinterpret_cast<Pixel *>(work.out + (row * work.factor + phase) * work.out_row_bytes);
            const Sum *from = line;
            for (Py_ssize_t done = 0; done < work.row_outputs; from += work.advance) {
                for (int part = 0; part < work.period && done < work.row_outputs; part++, done += count) {
                    const auto lane_order = loaded<Order>(order + part * count);
                    Vector<Sum, Sum> sums = {};
                    for (int tap = 0; tap < taps; tap++) {
                        const Sum *at = from + work.first_columns[part] + tap * work.channels;
                        sums += permuted<Sum>(loaded<Vector<Sum, Sum>>(at), lane_order)
                                * loaded<Vector<Sum, Sum>>(column_weights + (part * work.taps + tap) * count);
                    }
                    const auto pixels = finished<Pixel, Sum, HasAlpha>(work, sums, alpha_lanes, is_alpha);
                    const Py_ssize_t left = std::min<Py_ssize_t>(count, work.row_outputs - done);
                    if (left == count)
                        std::memcpy(out + done, &pixels, sizeof pixels);
                    else
                        std::memcpy(out + done, &pixels, left * sizeof(Pixel));
                }
            }
        }
    }
}

template <class Pixel, class Sum> void *enlarge_tile(const Work &work)
{
    const Py_ssize_t kept = product(work.window + 1, work.line_numbers), orders = (work.period + 1) * lanes<Sum>;
    if (kept > PY_SSIZE_T_MAX - orders)
        return nullptr;
    void *scratch = std::calloc(kept + orders, sizeof(Sum));  // a vector of a row's last numbers reaches past them
    if (!scratch)
        return nullptr;
    if constexpr (!std::is_same_v<Sum, uint16_t>) {
        if (work.has_alpha) {
            work.taps == 2 ? enlarge_rows<Pixel, Sum, 2, true>(work, scratch)
                           : enlarge_rows<Pixel, Sum, 0, true>(work, scratch);
            return scratch;
        }
    }
    work.taps == 2 ? enlarge_rows<Pixel, Sum, 2, false>(work, scratch)
                   : enlarge_rows<Pixel, Sum, 0, false>(work, scratch);
    return scratch;
}

struct Kind {
    char sum;
    Py_ssize_t pixel_bytes, sum_bytes;
    int lanes;
    double most;  // that a sum holds
    void *(*enlarge)(const Work &);
};

constexpr Kind kinds[] = {
    {'H', 1, 2, lanes<uint16_t>, 0xFFFF, enlarge_tile<uint8_t, uint16_t>},
    {'i', 1, 4, lanes<int32_t>, 0x7FFFFFFF, enlarge_tile<uint8_t, int32_t>},
    {'i', 2, 4, lanes<int32_t>, 0x7FFFFFFF, enlarge_tile<uint16_t, int32_t>},
    {'d', 1, 8, lanes<double>, 0x1p53, enlarge_tile<uint8_t, double>},
    {'d', 2, 8, lanes<double>, 0x1p53, enlarge_tile<uint16_t, double>},
};

// The memory of a Python object, released at the end.
struct Buffer {
    Py_buffer view = {};
    ~Buffer() { PyBuffer_Release(&view); }
};

PyObject *wrong(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return nullptr;
}

// Whether a buffer has `count` numbers of `bytes` bytes, at an aligned address.
bool holds(const Buffer &buffer, Py_ssize_t count, Py_ssize_t bytes)
{
    return buffer.view.len == product(count, bytes) && reinterpret_cast<uintptr_t>(buffer.view.buf) % bytes == 0;
}

// Copies a table of offsets. False if it does not have `count` of them or one is not within 0 to `most`.
bool take_offsets(const Buffer &table, int32_t *offsets, Py_ssize_t count, Py_ssize_t most)
{
    if (!holds(table, count, 4))
        return false;
    std::memcpy(offsets, table.view.buf, table.view.len);
    return std::all_of(offsets, offsets + count, [=](int32_t offset) { return 0 <= offset && offset <= most; });
}

// Whether the rows of the output follow one another without overlap and end within 64 bits.
bool rows_are_apart(const Py_buffer &made)
{
    const Py_ssize_t row_bytes = product(product(made.shape[1], made.shape[2]), made.itemsize);
    if (made.shape[0] < 2)
        return row_bytes < PY_SSIZE_T_MAX;
    return made.strides[0] >= row_bytes && product(made.shape[0], made.strides[0]) < PY_SSIZE_T_MAX;
}

// Whether an input does not overlap the output.
bool is_apart(const Py_buffer &input, const Py_buffer &made)
{
    const char *out = static_cast<const char *>(made.buf), *in = static_cast<const char *>(input.buf);
    const Py_ssize_t rows = (made.shape[0] - 1) * made.strides[0], row = made.shape[1] * made.shape[2] * made.itemsize;
    return in + input.len <= out || out + rows + row <= in;
}

PyObject *enlarge(PyObject *, PyObject *arguments)
{
    Buffer padded, out, first_rows, first_columns, row_weights, column_weights, order;
    PyObject *target;
    Work work;
    int sum, has_alpha, overshoots;
    if (!PyArg_ParseTuple(arguments, "y*OCnnnnny*y*y*y*y*diipp:enlarge", &padded.view, &target, &sum, &work.factor,
                          &work.taps, &work.window, &work.period, &work.advance, &first_rows.view,
                          &first_columns.view, &row_weights.view, &column_weights.view, &order.view, &work.divisor,
                          &work.multiplier, &work.shift, &has_alpha, &overshoots)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Py_buffer &made = out.view;
    const auto *kind = std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind &candidate) {
        return candidate.sum == sum && candidate.pixel_bytes == made.itemsize;
    });
    if (kind == std::end(kinds) || made.ndim != 3)
        return wrong("there is no such kind of pixels and sums");
    if (made.strides[2] != made.itemsize || made.strides[1] != made.shape[2] * made.itemsize)
        return wrong("the pixels of a row of the output are not side by side");
    work.channels = made.shape[2];
    const auto [least, most] =
        std::minmax({work.channels, work.factor, work.taps, work.window, work.period, work.advance});
    if (least < 1 || most > most_setting || work.taps > work.window || work.shift < 0 || work.shift > 30
        || !(1 <= work.divisor && work.divisor <= kind->most) || made.shape[0] < 1 || made.shape[0] % work.factor
        || made.shape[1] < 1 || made.shape[1] % work.factor || std::max(made.shape[0], made.shape[1]) > most_side)
        return wrong("settings that fit nothing");
    if (!rows_are_apart(made))
        return wrong("the rows of the output do not follow one another");
    work.rows = made.shape[0] / work.factor;
    work.row_outputs = made.shape[1] * made.shape[2];
    work.row_numbers = (made.shape[1] / work.factor + work.window - 1) * work.channels;
    work.out_row_bytes = made.strides[0];
    const Py_ssize_t vectors = (work.row_outputs + kind->lanes - 1) / kind->lanes;
    const Py_ssize_t periods = (vectors + work.period - 1) / work.period;
    const Py_ssize_t most_first = work.advance + work.window * work.channels;
    work.line_numbers = periods * work.advance + most_first + work.taps * work.channels + kind->lanes;
    work.line_numbers = std::max(work.line_numbers, work.row_numbers);
    if (!holds(padded, product(work.rows + work.window - 1, work.row_numbers), made.itemsize))
        return wrong("the padded tile does not fit the output");
    for (const Buffer *input : {&padded, &first_rows, &first_columns, &row_weights, &column_weights, &order})
        if (!is_apart(input->view, made))
            return wrong("the output overlaps an input");
    if (!take_offsets(first_rows, work.first_rows, work.factor, work.window - work.taps)
        || !take_offsets(first_columns, work.first_columns, work.period, most_first)
        || !holds(row_weights, work.factor * work.taps, kind->sum_bytes)
        || !holds(column_weights, work.period * work.taps * kind->lanes, kind->sum_bytes)
        || !holds(order, (work.period + 1) * kind->lanes, kind->sum_bytes))
        return wrong("tables that do not fit the settings");
    work.padded = padded.view.buf;
    work.out = static_cast<char *>(made.buf);
    work.row_weights = row_weights.view.buf;
    work.column_weights = column_weights.view.buf;
    work.order = order.view.buf;
    work.has_alpha = has_alpha;
    work.overshoots = overshoots;
    void *scratch;
    Py_BEGIN_ALLOW_THREADS
    scratch = kind->enlarge(work);
    std::free(scratch);
    Py_END_ALLOW_THREADS
    if (!scratch)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *enlarge_twofold(PyObject *, PyObject *arguments)
{
    Buffer padded, out;
    PyObject *target;
    if (!PyArg_ParseTuple(arguments, "y*O:enlarge_twofold", &padded.view, &target)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Py_buffer &made = out.view;
    if (made.ndim != 3 || made.itemsize != 1 || made.strides[2] != 1 || made.strides[1] != made.shape[2])
        return wrong("the output is not rows of bytes");
    const Py_ssize_t channels = made.shape[2], rows = made.shape[0] / 2, width = made.shape[1] / 2;
    if (channels < 1 || channels > 4 || rows < 1 || width < 1 || made.shape[0] % 2 || made.shape[1] % 2
        || std::max(rows, width) > most_side)
        return wrong("settings that fit nothing");
    if (!rows_are_apart(made))
        return wrong("the rows of the output do not follow one another");
    if (!holds(padded, product(rows + 2, (width + 2) * channels), 1))
        return wrong("the padded tile does not fit the output");
    if (!is_apart(padded.view, made))
        return wrong("the output overlaps an input");
    Py_BEGIN_ALLOW_THREADS
    twofold::enlarge(static_cast<const uint8_t *>(padded.view.buf), rows, width, channels,
                     static_cast<uint8_t *>(made.buf), made.strides[0]);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyObject *lanes_of(PyObject *, PyObject *arguments)
{
    int sum;
    if (!PyArg_ParseTuple(arguments, "C:lanes", &sum))
        return nullptr;
    for (const Kind &kind : kinds)
        if (kind.sum == sum)
            return PyLong_FromLong(kind.lanes);
    return wrong("there is no such sum");
}

PyMethodDef functions[] = {
    {"enlarge", enlarge, METH_VARARGS, "Enlarge one padded tile; separable.SeparableRoute has the arguments."},
    {"enlarge_twofold", enlarge_twofold, METH_VARARGS, "Enlarge one padded tile by two, bilinearly: 1 to 4 bytes a pixel."},
    {"lanes", lanes_of, METH_VARARGS, "The number of sums of kind 'H', 'i' or 'd' in a vector."},
    {},
};

PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "separable", nullptr, 0, functions, slots, nullptr, nullptr, nullptr};

}  // namespace

#define INIT_(name) PyInit_##name
#define INIT(name) INIT_(name)

PyMODINIT_FUNC INIT(MODULE)(void) { return PyModuleDef_Init(&definition); }
