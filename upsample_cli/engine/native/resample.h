// Enlargement and reduction to any size in one step: each output is a sum over neighbouring rows and columns, with
// weights of its own.
//
// The image is made in strips of columns. Eight rows of inputs or more are summed along the rows together: they are turned
// around, so that they are side by side and share the weights of a column, and their sums are turned back. Rows of such
// sums are kept while rows of outputs need them, which are summed down the columns.
//
// Sums are float32 for 8-bit pixels without alpha, and float64 for all others. resize_rounding.py proves how far they can
// be off. If this does not decide how a pixel is rounded, `Exact` computes it again in whole numbers.

#include "resample_lines.h"
#include "resample_pixels.h"

namespace {
namespace resample {

constexpr Count strip_bytes = 4608;  // of a row of sums; the rows of a strip stay in the cache (measured)
constexpr Count piece_numbers = 64;  // of a row that are turned back together, while they are in the L1 cache

// Makes the rows of an image or of a part of one. Alpha is the number of channels if the last one is alpha, otherwise 0.
template <class Pixel, int Alpha> class Rows {
public:
    explicit Rows(const Resampling &work) : work(work)
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
        const Writer<Pixel, Alpha> write(work, plane_length);
        for (Count start = 0; start < work.width; start += most)
            make_strip(start, std::min(start + most, work.width), write);
        return true;
    }

private:
    using Number = Sum<Pixel, Alpha>;
    static constexpr int lines = resample::lines<Number>;
    static constexpr int planes = Alpha ? Alpha : 1;  // with alpha, kept sums have one for each channel

    // How many columns of inputs a strip has.
    Count inputs(Count start, Count stop) const
    {
        return work.column_firsts[stop - 1] + work.column_taps - work.column_firsts[start];
    }

    void make_strip(Count start, Count stop, const Writer<Pixel, Alpha> &write)
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
            write(Sums<Number, 0>(starts, down, work.row_taps), row, start, stop, out);
        }
    }

    // Sums some rows of inputs along the rows. Returns false if all are transparent.
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

    const Resampling &work;
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
