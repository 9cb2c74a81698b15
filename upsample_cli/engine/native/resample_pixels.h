// How rows of sums become rows of pixels. Included by resample.h.

#include "resample_rounding.h"

namespace {
namespace resample {

constexpr int numbers_together = 2 * block;  // that are rounded together

template <class Pixel, int Alpha>
using Sum = std::conditional_t<sizeof(Pixel) == 1 && Alpha == 0, float, double>;

// Copies a block, or what is left of a row.
template <int block, class Pixel> inline void copy_block(const Pixel *from, Pixel *to, Count left)
{
    if (left >= block)
        std::memcpy(to, from, block * sizeof(Pixel));
    else
        std::memcpy(to, from, left * sizeof(Pixel));
}

// Writes rows of pixels. Alpha is the number of channels if the last one is alpha, otherwise 0.
template <class Pixel, int Alpha> class Writer {
    using Number = Sum<Pixel, Alpha>;

public:
    // Kept sums of a channel are `plane_length` numbers behind those of the channel before.
    Writer(const Resampling &work, Count plane_length) : work(work), exact(work), plane_length(plane_length) {}

    // Writes a part of a row, from the column `start` on.
    void operator()(const Sums<Number, 0> &above, Count row, Count start, Count stop, Pixel *out) const
    {
        if constexpr (Alpha)
            write_pixels(above, row, start, stop - start, out);
        else
            write_numbers(above, row, start, (stop - start) * work.channels, out);
    }

private:
    // Writes the numbers of a part of a row, without alpha.
    void write_numbers(const Sums<Number, 0> &above, Count row, Count start, Count count, Pixel *out) const
    {
        constexpr int numbers = numbers_together, parts = numbers / lanes<int32_t>, vectors = numbers / lanes<Number>;
        const Rounding<Number> rounded(work.fraction_bits, work.near);
        const Full<Number> bias = spread<Number>(work.bias);
        for (Count at = 0; at < count; at += numbers) {
            Full<Number> made[vectors];
            Ints pixels[parts], differ[parts], any = {};
            Pixel together[numbers];
            above.template add<vectors>(at, bias, made);
            for (int part = 0; part < parts; part++) {
                rounded(made + part * vectors / parts, pixels[part], differ[part]);
                any |= differ[part];
            }
            for (int half = 0; half < 2; half++)
                store_block(pixels + half * parts / 2, together + half * block);
            copy_block<numbers>(together, out + at, count - at);
            if (is_set((Bytes)(any & rounded.above)))
                decide(differ, parts, rounded.above, [&](Count found) {
                    const Count number = at + found;
                    if (number < count)
                        out[number] = exact(row, start + number / work.channels, number % work.channels);
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
            Ints values[Alpha][parts], differ[Alpha][parts], undecided[parts], any = {};
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
                rounded(made + 2 * part, values[Alpha - 1][part], differ[Alpha - 1][part]);
                any |= differ[Alpha - 1][part];
            }
            for (int channel = 0; channel < Alpha - 1; channel++) {
                above.template add<vectors>(at + channel * plane_length, colour_bias, made);
                for (int vector = 0; vector < vectors; vector++)
                    made[vector] = within(made[vector] * inverses[vector], largest);
                for (int part = 0; part < parts; part++) {
                    rounded_colour(made + 2 * part, values[channel][part], differ[channel][part]);
                    differ[channel][part] |= undecided[part];
                    any |= differ[channel][part];
                }
            }
            Pixel together[pixels * Alpha];
            for (int part = 0; part < parts; part++)
                join_channels(values, part, together + part * lanes<int32_t> * Alpha);
            copy_block<pixels * Alpha>(together, out + at * Alpha, (count - at) * Alpha);
            if (is_set((Bytes)(any & rounded.above)))
                decide(*differ, Alpha * parts, rounded.above, [&](Count found) {
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
    const Count plane_length;
};

}  // namespace resample
}  // namespace
