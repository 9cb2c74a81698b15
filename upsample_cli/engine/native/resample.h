// Enlargement and reduction to any size in one step: each output is a sum over neighbouring rows and columns, with
// weights of its own.
//
// Eight rows of outputs are computed together, a chunk of columns at a time: sums down the columns for each of the eight
// rows, turned around so that the eight rows are side by side, and sums of these along the row. The quotients are turned
// back.
//
// Sums are float32 for 8-bit pixels without alpha, and float64 for all others. resize_compiled.py proves how far a
// quotient can be off. If this does not decide how it is rounded, `Exact` computes it again in whole numbers.

namespace {
namespace resample {

constexpr int lines = 8;
constexpr int together = block / lines;  // numbers that are rounded together
constexpr Count chunk_numbers = 288;  // of a row of outputs at a time, so that the sums stay in the L1 cache

template <class Pixel, int Alpha>
using Sum = std::conditional_t<sizeof(Pixel) == 1 && Alpha == 0, float, double>;

// After adding it to a number, no bits are left for fractions.
template <class Number> constexpr Number magic = sizeof(Number) == 4 ? Number(0x1.8p23) : Number(0x1.8p52);

// At least the error of four roundings of a pixel in float64.
constexpr double division_error = 0x1p-34;

template <class Number> using Whole = std::conditional_t<sizeof(Number) == 4, int32_t, int64_t>;

// The smallest parts of the inputs that contain all inputs of some outputs.
struct Span {
    Count first, last;

    Span(const int32_t *firsts, Count start, Count stop, Count taps)
    {
        const auto [low, high] = std::minmax_element(firsts + start, firsts + stop);
        first = *low;
        last = *high + taps;
    }
};

// One pixel in whole numbers.
template <class Pixel, class Number> class Exact {
public:
    explicit Exact(const Resampling &work) : work(work) {}

    Pixel operator()(Count row, Count column, Count channel) const
    {
        const Wide most = std::numeric_limits<Pixel>::max(), divisor = static_cast<Wide>(work.divisor);
        const Count alpha = work.channels - 1;
        Wide dividend = sum(row, column, channel), by = divisor;
        if (work.has_alpha && channel < alpha) {
            by = sum(row, column, alpha);
            if (by <= 0)
                return 0;
        }
        dividend = 2 * dividend + by;
        return dividend <= 0 ? 0 : std::min(most, dividend / (2 * by));
    }

private:
    using Wide = __int128;

    // With alpha, of colour times alpha.
    Wide sum(Count row, Count column, Count channel) const
    {
        const Count row_numbers = work.source_width * work.channels;
        Count pixel = work.row_firsts[row] * row_numbers + work.column_firsts[column] * work.channels;
        const double *down = work.row_weights + row * work.row_taps;
        const double *along = work.column_weights + column * work.column_taps;
        Wide all = 0;
        for (Count tap = 0; tap < work.column_taps; tap++, pixel += work.channels) {
            Wide added = 0;
            for (Count above = 0; above < work.row_taps; above++)
                added += static_cast<Wide>(static_cast<int64_t>(down[above])) * number(pixel + above * row_numbers, channel);
            all += added * static_cast<int64_t>(along[tap]);
        }
        return all;
    }

    int64_t number(Count pixel, Count channel) const
    {
        if (work.is_summed)
            return static_cast<int64_t>(static_cast<const Number *>(work.source)[pixel + channel]);
        const Pixel *channels = static_cast<const Pixel *>(work.source) + pixel;
        const Count alpha = work.channels - 1;
        return static_cast<int64_t>(channels[channel]) * (work.has_alpha && channel < alpha ? channels[alpha] : 1);
    }

    const Resampling &work;
};

// Converts a part of an input row to numbers. With alpha, colour is multiplied by it.
template <class Pixel, class Number, int Alpha>
void prepare(const Pixel *__restrict pixels, Count count, Number *__restrict numbers)
{
    if constexpr (Alpha == 0) {
        for (Count at = 0; at < count; at++)
            numbers[at] = pixels[at];
    } else {
        for (Count at = 0; at < count; at += Alpha) {
            const Number alpha = pixels[at + Alpha - 1];
            for (int channel = 0; channel < Alpha - 1; channel++)
                numbers[at + channel] = pixels[at + channel] * alpha;
            numbers[at + Alpha - 1] = alpha;
        }
    }
}

// A vector of equal numbers.
template <class Number> inline Full<Number> spread(Number number) { return number - Full<Number>{}; }

// The sums down the columns for one row of outputs. The prepared rows are `stride` numbers apart.
template <class Number>
void add_rows(const Number *prepared, Count stride, const double *weights, Count taps, Count count, Number *sums)
{
    constexpr int vectors = block / lanes<Number>;
    for (Count at = 0; at < count; at += block) {
        Full<Number> made[vectors] = {};
        for (Count tap = 0; tap < taps; tap++) {
            const Full<Number> weight = spread(static_cast<Number>(weights[tap]));
            for (int vector = 0; vector < vectors; vector++)
                made[vector] += loaded<Full<Number>>(prepared + tap * stride + at + vector * lanes<Number>) * weight;
        }
        for (int vector = 0; vector < vectors; vector++)
            store(made[vector], sums + at + vector * lanes<Number>);
    }
}

// Turns a square of numbers around: `from` and `to` are rows, and `step` numbers apart.
template <int side, class Number> inline void turn(const Number *from, Count from_step, Number *to, Count to_step)
{
    using Numbers = Vector<Number, side>;
    constexpr auto all = std::make_integer_sequence<int, side>();
    Numbers made[side], before[side];
    for (int row = 0; row < side; row++)
        made[row] = loaded<Numbers>(from + row * from_step);
    for (int done = 1; done < side; done *= 2) {
        std::copy_n(made, side, before);
        for (int pair = 0; pair < side / 2; pair++) {
            made[2 * pair] = zipped<0>(before[pair], before[pair + side / 2], all);
            made[2 * pair + 1] = zipped<side / 2>(before[pair], before[pair + side / 2], all);
        }
    }
    for (int row = 0; row < side; row++)
        store(made[row], to + row * to_step);
}

// Turns lines of sums around: for each number, `lines` sums side by side.
template <class Number> void turn_lines(const Number *sums, Count stride, Count count, Number *turned)
{
    constexpr int side = 16 / sizeof(Number);
    for (Count at = 0; at < count; at += side)
        for (int line = 0; line < lines; line += side)
            turn<side>(sums + line * stride + at, stride, turned + at * lines + line, lines);
}

// How many outputs are summed along the rows together, so that there are enough independent sums.
template <class Number, int Channels>
constexpr int columns_together = Channels ? std::max<int>(1, 8 * lanes<Number> / lines / std::max(1, Channels)) : 1;

// The sums along the rows for some channels of some outputs. The next input is `step` numbers further.
template <int Channels, int Columns, class Number>
inline void add_columns(const Number *const *starts, Count step, const Number *weights, Count taps, Number *out)
{
    constexpr int vectors = Channels * lines / lanes<Number>;
    Full<Number> made[Columns * vectors] = {};
    for (Count tap = 0; tap < taps; tap++)
        for (int column = 0; column < Columns; column++) {
            const Full<Number> weight = spread(weights[column * taps + tap]);
            const Number *from = starts[column] + tap * step;
            for (int vector = 0; vector < vectors; vector++)
                made[column * vectors + vector] += loaded<Full<Number>>(from + vector * lanes<Number>) * weight;
        }
    for (int vector = 0; vector < Columns * vectors; vector++)
        store(made[vector], out + vector * lanes<Number>);
}

// Rounds quotients, in levels, to pixels.
template <class Pixel, class Number> struct Rounding {
    using Wholes = Full<Whole<Number>>;

    const Full<Number> zero = {}, most = spread<Number>(std::numeric_limits<Pixel>::max());
    const Full<Number> add = spread(magic<Number>), limit, least, error;

    explicit Rounding(const Resampling &work)
        : limit(spread<Number>(0.5 - work.error)), least(spread<Number>(8 * work.error)),
          error(spread<Number>(work.colour_error))
    {
    }

    // Returns the nearest whole number, and sets `is_close` where it is `limit` or more away.
    Full<Number> operator()(Full<Number> number, Full<Number> limit, Wholes &is_close) const
    {
        number = number > zero ? number : zero;
        number = number < most ? number : most;
        const Full<Number> whole = number + add - add, distance = number - whole;
        is_close = (distance >= limit) | (distance <= -limit);
        return whole;
    }
};

template <class Vectors> inline bool any(const Vectors *found, int count)
{
    Vectors all = found[0];
    for (int at = 1; at < count; at++)
        all |= found[at];
    uint64_t words[sizeof all / sizeof(uint64_t)], some = 0;
    store(all, words);
    for (const uint64_t word : words)
        some |= word;
    return some;
}

// Rounds `together` numbers of all lines. `is_close` is set where they are not decided. Returns whether any is not.
template <int Alpha, class Pixel, class Number, class Wholes>
inline bool round_block(const Rounding<Pixel, Number> &rounding, const Number *sums, Wholes *is_close, Pixel *out)
{
    constexpr int parts = lines / lanes<Number>, vectors = block / lanes<Number>;
    Full<Number> made[vectors];
    if constexpr (Alpha == 0) {
        for (int at = 0; at < vectors; at++)
            made[at] = rounding(loaded<Full<Number>>(sums + at * lanes<Number>), rounding.limit, is_close[at]);
    } else {
        const Full<Number> least = rounding.least;
        for (int pixel = 0; pixel < vectors; pixel += Alpha * parts)
            for (int part = pixel; part < pixel + parts; part++) {
                const int last = part + (Alpha - 1) * parts;
                const Full<Number> alpha = loaded<Full<Number>>(sums + last * lanes<Number>);
                const Full<Number> inverse = Number(1) / (alpha > least ? alpha : least);
                const Full<Number> decided = spread<Number>(0.5 - division_error) - rounding.error * inverse;
                const Full<Number> near = alpha > least ? decided : rounding.zero;
                made[last] = rounding(alpha, rounding.limit, is_close[last]);
                for (int at = part; at < last; at += parts)
                    made[at] = rounding(loaded<Full<Number>>(sums + at * lanes<Number>) * inverse, near, is_close[at]);
            }
    }
    Ints wholes[block / lanes<int32_t>];
    for (int at = 0; at < block / lanes<int32_t>; at++)
        if constexpr (sizeof(Number) == 4)
            wholes[at] = __builtin_convertvector(made[at], Ints);
        else
            wholes[at] = narrowed((Longs)(made[2 * at] + float_unit<Number>), (Longs)(made[2 * at + 1] + float_unit<Number>));
    store_block(wholes, out);
    return any(is_close, vectors);
}

// Writes the lines of a chunk of `count` numbers.
template <class Pixel> void write_lines(const Pixel *columns, Count count, Count rows, char *out, Count row_bytes)
{
    Pixel made[lines * lines];
    for (Count at = 0; at < count; at += lines, out += lines * sizeof(Pixel)) {
        turn<lines>(columns + at * lines, lines, made, lines);
        const Count bytes = std::min<Count>(lines, count - at) * sizeof(Pixel);
        for (Count row = 0; row < rows; row++)
            if (bytes == lines * sizeof(Pixel))
                std::memcpy(out + row * row_bytes, made + row * lines, lines * sizeof(Pixel));
            else
                std::memcpy(out + row * row_bytes, made + row * lines, bytes);
    }
}

// Makes the rows of an image or of a part of one. Alpha is the number of channels if the last one is alpha, otherwise 0.
template <class Pixel, int Alpha> class Rows {
public:
    explicit Rows(const Resampling &work) : work(work), exact(work), rounding(work)
    {
        Count widest = 0, tallest = 0;
        for (Count start = 0; start < work.width; start += most)
            widest = std::max(widest, length(chunk(start)));
        for (Count row = 0; row < work.rows; row += lines)
            tallest = std::max(tallest, length(group(row)));
        stride = widest * channels + block;
        prepared = scratch.room<Number>(tallest, stride);
        sums = scratch.room<Number>(lines, stride);
        turned = scratch.room<Number>(stride, lines);
        weights = scratch.room<Number>(work.width, work.column_taps);
        quotients = scratch.room<Number>(most * channels + block, lines);
        pixels = scratch.room<Pixel>(most * channels + block, lines);
        if (!scratch.is_full)
            for (Count at = 0; at < work.width * work.column_taps; at++)
                weights[at] = work.column_weights[at] / work.divisor;
    }

    // Returns false if there is not enough memory.
    bool make()
    {
        if (scratch.is_full)
            return false;
        for (Count row = 0; row < work.rows; row += lines)
            for (Count start = 0; start < work.width; start += most)
                make_chunk(row, start);
        return true;
    }

private:
    using Number = Sum<Pixel, Alpha>;

    Span chunk(Count start) const
    {
        return Span(work.column_firsts, start, std::min(start + most, work.width), work.column_taps);
    }

    Span group(Count row) const
    {
        return Span(work.row_firsts, row, std::min(row + lines, work.rows), work.row_taps);
    }

    static Count length(Span span) { return span.last - span.first; }

    void make_chunk(Count row, Count start)
    {
        const Span columns = chunk(start), rows = group(row);
        const Count made_rows = std::min<Count>(lines, work.rows - row), made_columns = std::min(most, work.width - start);
        const Count count = length(columns) * channels, made = made_columns * channels;
        for (Count at = rows.first; at < rows.last; at++) {
            const Count first_number = (at * work.source_width + columns.first) * channels;
            Number *line = prepared + (at - rows.first) * stride;
            if (work.is_summed)
                std::copy_n(static_cast<const Number *>(work.source) + first_number, count, line);
            else
                prepare<Pixel, Number, Alpha>(static_cast<const Pixel *>(work.source) + first_number, count, line);
        }
        char *out = work.out + row * work.out_row_bytes + start * channels * sizeof(Pixel);
        if (Alpha && is_transparent(length(rows), count)) {
            for (Count line = 0; line < made_rows; line++)
                std::memset(out + line * work.out_row_bytes, 0, made * sizeof(Pixel));
            return;
        }
        for (Count line = 0; line < made_rows; line++)
            add_rows(prepared + (work.row_firsts[row + line] - rows.first) * stride, stride,
                     work.row_weights + (row + line) * work.row_taps, work.row_taps, count, sums + line * stride);
        turn_lines(sums, stride, count, turned);
        switch (Alpha ? Alpha : channels) {
        case 1: add_chunk<1>(start, start + made_columns, columns.first); break;
        case 2: add_chunk<2>(start, start + made_columns, columns.first); break;
        case 3: add_chunk<3>(start, start + made_columns, columns.first); break;
        case 4: add_chunk<4>(start, start + made_columns, columns.first); break;
        default: add_chunk<0>(start, start + made_columns, columns.first);
        }
        const Rounding<Pixel, Number> local = rounding;
        for (Count at = 0; at < made; at += together) {
            Full<Whole<Number>> is_close[block / lanes<Number>];
            if (round_block<Alpha>(local, quotients + at * lines, is_close, pixels + at * lines))
                decide(is_close, row, start, at, std::min<Count>(together, made - at), made_rows);
        }
        write_lines(pixels, made, made_rows, out, work.out_row_bytes);
    }

    // Whether alpha is zero in the prepared rows. Where its sum is zero, whole numbers would have to decide.
    bool is_transparent(Count rows, Count count) const
    {
        for (const Number *line = prepared; line < prepared + rows * stride; line += stride)
            for (Count at = Alpha - 1; at < count; at += Alpha)
                if (line[at] != 0)
                    return false;
        return true;
    }

    // The sums along the rows of a chunk. Channels is 0 if there are more than four.
    template <int Channels> void add_chunk(Count start, Count stop, Count first)
    {
        constexpr int several = columns_together<Number, Channels>;
        const Count step = channels * lines, taps = work.column_taps;
        Number *out = quotients;
        for (Count column = start; column < stop;) {
            const int count = stop - column < several ? 1 : several;
            const Number *starts[several], *along = weights + column * taps;
            for (int at = 0; at < count; at++)
                starts[at] = turned + (work.column_firsts[column + at] - first) * step;
            if constexpr (Channels == 0)
                for (Count channel = 0; channel < channels; channel++, starts[0] += lines)
                    add_columns<1, 1>(starts, step, along, taps, out + channel * lines);
            else if (count == several)
                add_columns<Channels, several>(starts, step, along, taps, out);
            else
                add_columns<Channels, 1>(starts, step, along, taps, out);
            column += count;
            out += count * step;
        }
    }

    // Computes pixels again whose rounding is not decided.
    __attribute__((noinline)) void decide(const Full<Whole<Number>> *is_close, Count row, Count start, Count first,
                                          Count count, Count made_rows)
    {
        Whole<Number> found[block];
        std::memcpy(found, is_close, sizeof found);
        for (Count at = 0; at < count; at++)
            for (Count line = 0; line < made_rows; line++)
                if (found[at * lines + line])
                    pixels[(first + at) * lines + line] =
                        exact(row + line, start + (first + at) / channels, (first + at) % channels);
    }

    const Resampling &work;
    const Exact<Pixel, Number> exact;
    const Rounding<Pixel, Number> rounding;
    const Count channels = work.channels, most = std::max<Count>(1, chunk_numbers / channels);
    Scratch scratch;
    Count stride;
    Number *prepared, *sums, *turned, *weights, *quotients;
    Pixel *pixels;
};

template <class Pixel> bool make_rows(const Resampling &work)
{
    if (!work.has_alpha)
        return Rows<Pixel, 0>(work).make();
    return work.channels == 4 ? Rows<Pixel, 4>(work).make() : Rows<Pixel, 2>(work).make();
}

}  // namespace resample
}  // namespace
