// Enlargement and reduction to any size in one step: each output is a sum over neighbouring rows and columns, with
// weights of its own.
//
// The image is made in strips of columns. Eight rows of inputs are summed along the rows together: they are turned
// around, so that the eight are side by side and share the weights of a column, and their sums are turned back. Rows of
// such sums are kept while rows of outputs need them, which are summed down the columns.
//
// Sums are float32 for 8-bit pixels without alpha, and float64 for all others. resize_rounding.py proves how far they can
// be off. If this does not decide how a pixel is rounded, `Exact` computes it again in whole numbers.

namespace {
namespace resample {

constexpr int lines = 8;
constexpr int numbers_together = 2 * block;  // that are rounded together
constexpr Count strip_bytes = 4608;  // of a row of sums; the rows of a strip stay in the cache (measured)
constexpr Count piece_numbers = 64;  // of a row that are turned back together, while they are in the L1 cache

template <class Pixel, int Alpha>
using Sum = std::conditional_t<sizeof(Pixel) == 1 && Alpha == 0, float, double>;

// After adding it to a number, no bits are left for fractions.
template <class Number> constexpr Number magic = sizeof(Number) == 4 ? Number(0x1.8p23) : Number(0x1.8p52);

template <class Number> using Whole = std::conditional_t<sizeof(Number) == 4, int32_t, int64_t>;

// One pixel in whole numbers.
template <class Pixel, class Number> class Exact {
public:
    explicit Exact(const Resampling &work) : work(work) {}

    Pixel operator()(Count row, Count column, Count channel) const
    {
        return work.is_short ? made<int64_t>(row, column, channel) : made<__int128>(row, column, channel);
    }

private:
    template <class Wide> Pixel made(Count row, Count column, Count channel) const
    {
        const Wide most = std::numeric_limits<Pixel>::max(), divisor = static_cast<Wide>(work.divisor);
        const Count alpha = work.channels - 1;
        Wide by = divisor;
        if (work.has_alpha && channel < alpha) {
            by = sum<Wide>(row, column, alpha);
            if (by <= 0)
                return 0;
        }
        const Wide dividend = 2 * sum<Wide>(row, column, channel) + by;
        return dividend <= 0 ? 0 : std::min(most, dividend / (2 * by));
    }

    // With alpha, of colour times alpha.
    template <class Wide> Wide sum(Count row, Count column, Count channel) const
    {
        const Count row_numbers = work.source_width * work.channels;
        Count pixel = work.row_firsts[row] * row_numbers + work.column_firsts[column] * work.channels;
        const double *down = work.row_weights + row * work.row_taps;
        const double *along = work.column_weights + column * work.column_taps;
        Wide all = 0;
        for (Count above = 0; above < work.row_taps; above++, pixel += row_numbers) {
            Wide added = 0;
            for (Count tap = 0; tap < work.column_taps; tap++)
                added += static_cast<Wide>(static_cast<int64_t>(along[tap])) * number(pixel + tap * work.channels, channel);
            all += added * static_cast<int64_t>(down[above]);
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

// Multiplies colour by alpha, unless it was multiplied before. Returns whether any alpha is not zero.
template <int Alpha, class Number> bool multiply_by_alpha(Number *turned, Count count, bool is_multiplied)
{
    constexpr int parts = lines / lanes<Number>;
    Full<Whole<Number>> is_visible = {};
    for (Number *pixel = turned; pixel < turned + count * lines; pixel += Alpha * lines)
        for (int part = 0; part < parts; part++) {
            Number *numbers = pixel + part * lanes<Number>;
            const auto alpha = loaded<Full<Number>>(numbers + (Alpha - 1) * lines);
            is_visible |= alpha != Full<Number>{};
            if (!is_multiplied)
                for (int channel = 0; channel < Alpha - 1; channel++)
                    store(loaded<Full<Number>>(numbers + channel * lines) * alpha, numbers + channel * lines);
        }
    return is_set((Bytes)is_visible);
}

// A vector of equal numbers.
template <class Number> inline Full<Number> spread(Number number) { return number - Full<Number>{}; }

// Alternates the numbers of two vectors within each 16 bytes, beginning with the number `start` of each.
template <int start, class Number, int... at>
inline Full<Number> zipped_pieces(Full<Number> one, Full<Number> other, std::integer_sequence<int, at...>)
{
    constexpr int side = 16 / sizeof(Number), all = lanes<Number>;
#if defined(__clang__)
    return __builtin_shufflevector(one, other, (at / side * side + start + at % side / 2 + at % 2 * all)...);
#else
    return __builtin_shuffle(one, other, Full<Whole<Number>>{(at / side * side + start + at % side / 2 + at % 2 * all)...});
#endif
}

// Turns rows around: the numbers of each become a column. Rows are rounded up to `lanes`, columns to 16 bytes.
template <class Number>
void turn_around(const Number *from, Count from_step, Count rows, Count columns, Number *to, Count to_step)
{
    constexpr int side = 16 / sizeof(Number);
    constexpr auto all = std::make_integer_sequence<int, lanes<Number>>();
    const Count places[] = {0, side * from_step * static_cast<Count>(sizeof(Number))};
    for (Count row = 0; row < rows; row += lanes<Number>)
        for (Count column = 0; column < columns; column += side) {
            Full<Number> made[side], before[side];
            for (int at = 0; at < side; at++)
                made[at] = (Full<Number>)gathered((const uint8_t *)(from + (row + at) * from_step + column), places);
            for (int done = 1; done < side; done *= 2) {
                std::copy_n(made, side, before);
                for (int pair = 0; pair < side / 2; pair++) {
                    made[2 * pair] = zipped_pieces<0, Number>(before[pair], before[pair + side / 2], all);
                    made[2 * pair + 1] = zipped_pieces<side / 2, Number>(before[pair], before[pair + side / 2], all);
                }
            }
            for (int at = 0; at < side; at++)
                store(made[at], to + (column + at) * to_step + row);
        }
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

// Rounds numbers, in levels, to pixels; see resize_rounding.py.
//
// A number plus a half becomes a whole number of 32 bits, of which the lowest `bits` are its fraction.
template <class Number> struct Rounding {
    const int bits;
    const Full<Number> unit;
    const Ints less, more;

    Rounding(int bits, int near)
        : bits(bits), unit(spread(zero_of(bits) + Number(0.5))),
          less((sizeof(Number) == 4 ? -(Ints)spread(zero_of(bits)) : Ints{}) - near), more(less + 2 * near)
    {
    }

    // The least and the largest pixels that the numbers can be. If they differ, whole numbers must decide.
    void operator()(const Full<Number> *numbers, Ints &low, Ints &high) const
    {
        Ints made;
        if constexpr (sizeof(Number) == 4)
            made = (Ints)(numbers[0] + unit);
        else
            made = narrowed((Longs)(numbers[0] + unit), (Longs)(numbers[1] + unit));
        low = (made + less) >> bits;
        high = (made + more) >> bits;
    }

private:
    static Number zero_of(int bits) { return magic<Number> / (1 << bits); }
};

template <class Number> inline Full<Number> within(Full<Number> number, Number most)
{
    number = number > Full<Number>{} ? number : Full<Number>{};
    return number < spread(most) ? number : spread(most);
}

// The inverses, off by less than 2**-44 of them: one step of Newton's method doubles the bits of float32.
inline Full<double> inverse_of(Full<double> numbers)
{
    const auto near = 1 / __builtin_convertvector(numbers, Vector<float, lanes<double>>);
    const auto inverse = __builtin_convertvector(near, Full<double>);
    return inverse * (2 - numbers * inverse);
}

// Copies a block, or what is left of a row.
template <int block, class Pixel> inline void copy_block(const Pixel *from, Pixel *to, Count left)
{
    if (left >= block)
        std::memcpy(to, from, block * sizeof(Pixel));
    else
        std::memcpy(to, from, left * sizeof(Pixel));
}

// Calls `compute` for each place where two arrays differ.
template <class Value, class Compute>
__attribute__((noinline)) void decide(const Value *low, const Value *high, Count count, const Compute &compute)
{
    for (Count at = 0; at < count; at++)
        if (low[at] != high[at])
            compute(at);
}

// Makes the rows of an image or of a part of one. Alpha is the number of channels if the last one is alpha, otherwise 0.
template <class Pixel, int Alpha> class Rows {
public:
    explicit Rows(const Resampling &work) : work(work), exact(work)
    {
        if (most >= numbers_together)
            most = most / numbers_together * numbers_together;
        Count widest = 0;
        for (Count start = 0; start < work.width; start += most)
            widest = std::max(widest, inputs(start, std::min(start + most, work.width)));
        stride = widest * channels + block;
        plane_length = most * together + numbers_together;
        prepared = scratch.room<Number>(lines, stride);
        turned = scratch.room<Number>(stride, lines);
        sums = scratch.room<Number>(piece * channels + block, lines);
        kept = scratch.room<Number>(kept_rows, planes * plane_length);
        along = scratch.room<Number>(work.width, work.column_taps);
        down = scratch.room<Number>(1, work.row_taps);
        starts = scratch.room<const Number *>(1, work.row_taps);
        if (!scratch.is_full)
            std::copy_n(work.column_weights, work.width * work.column_taps, along);
    }

    // Returns false if there is not enough memory.
    bool make()
    {
        if (scratch.is_full)
            return false;
        for (Count start = 0; start < work.width; start += most)
            make_strip(start, std::min(start + most, work.width));
        return true;
    }

private:
    using Number = Sum<Pixel, Alpha>;
    static constexpr int planes = Alpha ? Alpha : 1;  // with alpha, kept sums have one for each channel

    // How many columns of inputs a strip has.
    Count inputs(Count start, Count stop) const
    {
        return work.column_firsts[stop - 1] + work.column_taps - work.column_firsts[start];
    }

    void make_strip(Count start, Count stop)
    {
        const Count top = work.row_firsts[0], row_length = planes * plane_length;
        Count visible = -1;  // the last row of inputs that is not transparent
        Count ready = top;
        for (Count row = 0; row < work.rows; row++) {
            const Count first = work.row_firsts[row];
            for (; ready < first + work.row_taps; ready += lines)
                if (sum_lines(ready, start, stop, kept + (ready - top) % kept_rows * row_length))
                    visible = ready + lines - 1;
            Pixel *out = reinterpret_cast<Pixel *>(work.out + row * work.out_row_bytes) + start * channels;
            if (Alpha && visible < first) {  // where the sum of alpha is zero, whole numbers would have to decide
                std::fill_n(out, (stop - start) * channels, 0);
                continue;
            }
            for (Count tap = 0; tap < work.row_taps; tap++) {
                starts[tap] = kept + (first - top + tap) % kept_rows * row_length;
                down[tap] = work.row_weights[row * work.row_taps + tap] / work.divisor;
            }
            const Sums<Number, 0> above(starts, down, work.row_taps);
            if constexpr (Alpha)
                write_pixels(above, row, start, stop - start, out);
            else
                write_numbers(above, row, start, (stop - start) * channels, out);
        }
    }

    // Sums eight rows of inputs along the rows. Returns false if all are transparent.
    bool sum_lines(Count row, Count start, Count stop, Number *to)
    {
        const Count first = work.column_firsts[start], count = inputs(start, stop) * channels;
        for (Count line = 0; line < lines; line++) {
            const Count at = std::min(row + line, work.source_rows - 1);
            const Count first_number = (at * work.source_width + first) * channels;
            if (work.is_summed)
                std::copy_n(static_cast<const Number *>(work.source) + first_number, count, prepared + line * stride);
            else
                std::copy_n(static_cast<const Pixel *>(work.source) + first_number, count, prepared + line * stride);
        }
        turn_around(prepared, stride, lines, count, turned, lines);
        if constexpr (Alpha)
            if (!multiply_by_alpha<Alpha>(turned, count, work.is_summed))
                return clear_lines(to);
        for (Count from = start; from < stop; from += piece) {
            const Count end = std::min(from + piece, stop);
            switch (channels) {
            case 1: add_piece<1>(from, end, first); break;
            case 2: add_piece<2>(from, end, first); break;
            case 3: add_piece<3>(from, end, first); break;
            case 4: add_piece<4>(from, end, first); break;
            default: add_piece<0>(from, end, first);
            }
            for (int plane = 0; plane < planes; plane++)
                turn_around(sums + plane * lines, planes * lines, (end - from) * together, lines,
                            to + plane * plane_length + (from - start) * together, planes * plane_length);
        }
        return true;
    }

    bool clear_lines(Number *to) const
    {
        std::fill_n(to, lines * planes * plane_length, 0);
        return false;
    }

    // The sums along the rows for a piece of a strip. Channels is 0 if there are more than four.
    template <int Channels> void add_piece(Count start, Count stop, Count first)
    {
        constexpr int several = columns_together<Number, Channels>;
        const Count step = channels * lines, taps = work.column_taps;
        Number *out = sums;
        for (Count column = start; column < stop;) {
            const int count = stop - column < several ? 1 : several;
            const Number *inputs[several], *weights = along + column * taps;
            for (int at = 0; at < count; at++)
                inputs[at] = turned + (work.column_firsts[column + at] - first) * step;
            if constexpr (Channels == 0)
                for (Count channel = 0; channel < channels; channel++, inputs[0] += lines)
                    add_columns<1, 1>(inputs, step, weights, taps, out + channel * lines);
            else if (count == several)
                add_columns<Channels, several>(inputs, step, weights, taps, out);
            else
                add_columns<Channels, 1>(inputs, step, weights, taps, out);
            column += count;
            out += count * step;
        }
    }

    // Writes the numbers of a part of a row, without alpha.
    void write_numbers(const Sums<Number, 0> &above, Count row, Count start, Count count, Pixel *out) const
    {
        constexpr int numbers = numbers_together, parts = numbers / lanes<int32_t>, vectors = numbers / lanes<Number>;
        const Rounding<Number> rounded(work.fraction_bits, work.near);
        const Full<Number> bias = spread<Number>(work.bias);
        for (Count at = 0; at < count; at += numbers) {
            Full<Number> made[vectors];
            Ints low[parts], high[parts];
            Pixel least[numbers], most[numbers];
            above.template add<vectors>(at, bias, made);
            for (int part = 0; part < parts; part++)
                rounded(made + part * vectors / parts, low[part], high[part]);
            for (int half = 0; half < 2; half++) {
                store_block(low + half * parts / 2, least + half * block);
                store_block(high + half * parts / 2, most + half * block);
            }
            copy_block<numbers>(least, out + at, count - at);
            Bytes differ = {};
            for (Count number = 0; number < numbers; number += lanes<Pixel>)
                differ |= loaded<Bytes>(least + number) ^ loaded<Bytes>(most + number);
            if (is_set(differ))
                decide(least, most, std::min<Count>(numbers, count - at), [&](Count found) {
                    const Count number = at + found;
                    out[number] = exact(row, start + number / channels, number % channels);
                });
        }
    }

    // Writes pixels of a part of a row, with alpha.
    void write_pixels(const Sums<Number, 0> &above, Count row, Count start, Count count, Pixel *out) const
    {
        constexpr int pixels = 2 * lanes<int32_t>, parts = 2, vectors = pixels / lanes<Number>;
        constexpr Number largest = std::numeric_limits<Pixel>::max();
        const Rounding<Number> rounded(work.fraction_bits, work.near), rounded_colour(work.fraction_bits, work.colour_near);
        const Full<Number> bias = spread<Number>(work.bias), colour_bias = spread<Number>(work.colour_bias);
        const Full<Number> least = spread<Number>(work.least_alpha), clear = spread<Number>(work.clear_alpha);
        for (Count at = 0; at < count; at += pixels) {
            Full<Number> made[vectors], inverses[vectors];
            Longs is_doubtful[vectors];
            Ints low[Alpha][parts], high[Alpha][parts], undecided[parts], differ = {};
            above.template add<vectors>(at + (Alpha - 1) * plane_length, Full<Number>{}, made);
            for (int vector = 0; vector < vectors; vector++) {
                const Full<Number> alpha = made[vector];
                const Longs is_enough = alpha > least;
                inverses[vector] = (Full<Number>)(is_enough & (Longs)inverse_of(is_enough ? alpha : spread(Number(1))));
                is_doubtful[vector] = (alpha > clear) & ~is_enough;
                made[vector] = within(alpha + bias, largest);
            }
            for (int part = 0; part < parts; part++) {
                undecided[part] = narrowed(is_doubtful[2 * part], is_doubtful[2 * part + 1]);
                rounded(made + 2 * part, low[Alpha - 1][part], high[Alpha - 1][part]);
                differ |= low[Alpha - 1][part] ^ high[Alpha - 1][part];
            }
            for (int channel = 0; channel < Alpha - 1; channel++) {
                above.template add<vectors>(at + channel * plane_length, colour_bias, made);
                for (int vector = 0; vector < vectors; vector++)
                    made[vector] = within(made[vector] * inverses[vector], largest);
                for (int part = 0; part < parts; part++) {
                    rounded_colour(made + 2 * part, low[channel][part], high[channel][part]);
                    high[channel][part] ^= undecided[part];
                    differ |= low[channel][part] ^ high[channel][part];
                }
            }
            Pixel together[pixels * Alpha];
            for (int part = 0; part < parts; part++)
                join_channels(low, part, together + part * lanes<int32_t> * Alpha);
            copy_block<pixels * Alpha>(together, out + at * Alpha, (count - at) * Alpha);
            if (is_set((Bytes)differ))
                decide(reinterpret_cast<int32_t *>(low), reinterpret_cast<int32_t *>(high), Alpha * pixels,
                       [&](Count found) {
                           const Count column = at + found % pixels, channel = found / pixels;
                           if (column < count)
                               out[column * Alpha + channel] = exact(row, start + column, channel);
                       });
        }
    }

    template <int parts> static void join_channels(const Ints (*channels)[parts], int part, Pixel *out)
    {
        constexpr int pixels = lanes<int32_t>, bits = 8 * sizeof(Pixel), fit = 32 / bits;
        constexpr auto all = std::make_integer_sequence<int, pixels>();
        Ints made[2] = {};
        for (int channel = 0; channel < Alpha; channel++)
            made[channel / fit] |= channels[channel][part] << channel % fit * bits;
        if constexpr (Alpha > fit) {
            store(zipped<0>(made[0], made[1], all), out);
            store(zipped<pixels / 2>(made[0], made[1], all), out + 2 * pixels);
        } else
            store_pixels<Alpha * sizeof(Pixel)>(made, reinterpret_cast<uint8_t *>(out));
    }

    const Resampling &work;
    const Exact<Pixel, Number> exact;
    const Count channels = work.channels, together = channels / planes;
    const Count piece = std::max<Count>(1, piece_numbers / lines / channels) * lines;
    const Count kept_rows = (work.row_taps + 2 * lines - 2) / lines * lines;
    Count most = std::max<Count>(1, strip_bytes / sizeof(Number) / channels), stride, plane_length;
    Scratch scratch;
    Number *prepared, *turned, *sums, *kept, *along, *down;
    const Number **starts;
};

template <class Pixel> bool make_rows(const Resampling &work)
{
    if (!work.has_alpha)
        return Rows<Pixel, 0>(work).make();
    return work.channels == 4 ? Rows<Pixel, 4>(work).make() : Rows<Pixel, 2>(work).make();
}

}  // namespace resample
}  // namespace
