// All rows of one tile, for a separable kernel, and the choice among all kinds of tiles.
//
// The sums along a row serve several rows of outputs. They are in the order of the outputs, so each row of outputs is
// summed down the columns of such lines, and nothing has to be interleaved.

namespace {

constexpr Count strip_bytes = 163840;  // of all kept lines together, so that they stay in the L2 cache

// A part of the columns of a tile. Channels is 0 without alpha.
template <class Pixel, class Sum, int Taps, int Channels, bool Overshoots> struct Strip {
    const Work &work;
    const Count parts = Channels ? Channels : 1, step = Channels ? 1 : work.channels;
    const Count column_bytes = work.window * parts * work.factor * step * sizeof(Sum);
    const Count most = std::min(work.width, std::max<Count>(block, strip_bytes / column_bytes));
    const Count stride = (most + work.window - 1) * step + line_slack;
    // Whole vectors, so that they do not extend over two cache lines.
    const Count part_length = (most * work.factor * step / line_slack + 2) * line_slack, line_length = parts * part_length;
    const Finish<Pixel, Sum, Overshoots> finish{work.division};
    Scratch scratch;
    Sum *numbers = scratch.room<Sum>(parts, stride);
    Sum *kept = scratch.room<Sum>(work.window, line_length);
    const Sum **starts = scratch.room<const Sum *>(1, work.taps);
    Sum *weights = scratch.room<Sum>(work.factor, work.taps);  // of sums down the columns
    const RowPattern<Sum, Taps> pattern{work, step, scratch};
    Count first = 0, count = 0, prepared = 0;  // the columns in work, and the rows whose sums are made

    explicit Strip(const Work &work) : work(work)
    {
        for (Count at = 0; !scratch.is_full && at < work.factor * work.taps; at++)
            weights[at] = kept_weight<Sum>(work, at);
    }

    // Computes the sums along an input row.
    void add_row(Count row)
    {
        prepare<Pixel, Sum, Channels>(work, row, first, count + work.window - 1, stride, numbers);
        pattern.template add<Channels ? Channels : 1>(numbers, stride, count * work.factor * step,
                                                      kept + row % work.window * line_length, part_length);
    }

    // Computes some outputs of a row, in whole blocks, from the lines at `starts`.
    void fill_outputs(const Sums<Sum, Taps> &sums, Count outputs, Pixel *out) const
    {
        if constexpr (Channels)
            fill_with_alpha<Channels>(finish, work.division.alpha_multiplies, part_length, sums, outputs, out);
        else
            fill_plane(finish, sums, outputs, out);
    }

    void write_row(Count out_row)
    {
        const Count row = out_row / work.factor, phase = out_row % work.factor;
        for (; prepared < row + work.window; prepared++)
            add_row(prepared);
        for (Count tap = 0; tap < work.taps; tap++)
            starts[tap] = kept + (row + work.firsts[phase] + tap) % work.window * line_length;
        constexpr Count unit = Channels ? lanes<int32_t> : block, numbers_each = Channels ? Channels : 1;
        const Count outputs = count * work.factor * step, whole = outputs / unit * unit;
        auto *out = reinterpret_cast<Pixel *>(work.out + out_row * work.out_row_bytes)
                    + first * work.factor * work.channels;
        const Sum *row_weights = weights + phase * work.taps;
        fill_outputs(Sums<Sum, Taps>(starts, row_weights, work.taps), whole, out);
        if (whole < outputs) {  // a block that ends after the row
            Pixel last[unit * numbers_each];
            for (Count tap = 0; tap < work.taps; tap++)
                starts[tap] += whole;
            fill_outputs(Sums<Sum, Taps>(starts, row_weights, work.taps), unit, last);
            std::memcpy(out + whole * numbers_each, last, (outputs - whole) * numbers_each * sizeof(Pixel));
        }
    }
};

// Enlarges all rows of a tile. Returns false if there is not enough memory.
template <class Pixel, class Sum, int Taps, int Channels, bool Overshoots> bool enlarge_separable(const Work &work)
{
    Strip<Pixel, Sum, Taps, Channels, Overshoots> strip(work);
    if (strip.scratch.is_full)
        return false;
    for (strip.first = 0; strip.first < work.width; strip.first += strip.most) {
        strip.count = std::min(strip.most, work.width - strip.first);
        strip.prepared = 0;
        for (Count out_row = 0; out_row < work.rows * work.factor; out_row++)
            strip.write_row(out_row);
    }
    return true;
}

template <class Pixel, class Sum, int Channels, bool Overshoots> bool enlarge_any(const Work &work)
{
    if (sizeof(Sum) > 2 && work.is_direct)
        return enlarge_direct<Pixel, Sum, Channels, Overshoots>(work);
    switch (work.taps) {
    case 2: return enlarge_separable<Pixel, Sum, 2, Channels, Overshoots>(work);
    case 4: return enlarge_separable<Pixel, Sum, 4, Channels, Overshoots>(work);
    default: return enlarge_separable<Pixel, Sum, 0, Channels, Overshoots>(work);
    }
}

template <class Pixel, class Sum, int Channels> bool enlarge_with_channels(const Work &work)
{
    if constexpr (!std::is_same_v<Sum, Pair>)
        if (!work.division.overshoots)
            return enlarge_any<Pixel, Sum, Channels, false>(work);
    return enlarge_any<Pixel, Sum, Channels, true>(work);
}

template <class Pixel, class Sum> bool enlarge_tile(const Work &work)
{
    if constexpr (sizeof(Sum) == 2)
        return enlarge_any<Pixel, Sum, 0, false>(work);
    if constexpr (sizeof(Sum) >= 4 * sizeof(Pixel))  // holds colour times alpha
        if (work.has_alpha) {
            using Number = std::conditional_t<std::is_same_v<Sum, int32_t>, Pair, Sum>;
            return work.channels == 4 ? enlarge_with_channels<Pixel, Number, 4>(work)
                                      : enlarge_with_channels<Pixel, Number, 2>(work);
        }
    if constexpr (sizeof(Sum) > 2)
        return enlarge_with_channels<Pixel, Sum, 0>(work);
}

}  // namespace
