// All rows of one tile, for a kernel that is not separable.
//
// Outputs at the same position between two inputs form a phase. All outputs of one phase in a row have the same
// weights, so they are computed side by side, as a plane. Then the planes of all phases are interleaved.

namespace {

// A type of its own, so that what is computed with it is compiled into the loop over tiles: a quarter faster.
template <class Sum> struct TileSums : Sums<Sum, 0> {
    using Sums<Sum, 0>::Sums;
};

constexpr Count plane_numbers = 16384;  // of all phases together, so that they stay in the L1 cache

// The kept lines of one tile.
template <class Pixel, class Sum, int Channels> struct Lines {
    const Work &work;
    const Count width = work.width + work.window - 1, stride = width + line_slack;
    const Count line_numbers = Channels ? Channels * stride : width * work.channels + line_slack;
    const Count row_products = products_of<Sum>(work.taps), products = work.taps * row_products;
    const Count step = Channels ? 1 : work.channels;
    Scratch scratch;
    Sum *kept = scratch.room<Sum>(work.window, line_numbers);
    const Sum **lines = scratch.room<const Sum *>(1, work.taps);
    const Sum **starts = scratch.room<const Sum *>(1, products);
    Sum *weights = scratch.room<Sum>(work.factor * work.factor, products);
    Count prepared = 0;

    explicit Lines(const Work &work) : work(work)
    {
        for (Count at = 0; !scratch.is_full && at < work.factor * work.factor * products; at++)
            weights[at] = weight_of<Sum>(work, at / row_products, at % row_products);
    }

    // Prepares the input rows of a row of outputs, and finds the lines that its phase takes.
    void take(Count row, Count row_phase)
    {
        for (; prepared < row + work.window; prepared++)
            prepare<Pixel, Sum, Channels>(work, prepared, 0, width, stride,
                                          kept + prepared % work.window * line_numbers);
        for (Count tap = 0; tap < work.taps; tap++)
            lines[tap] = kept + (row + work.firsts[row_phase] + tap) % work.window * line_numbers;
    }

    // The sums of a phase of the row whose lines were taken, from the output of its input `done` on.
    TileSums<Sum> sums_of(Count done, Count row_phase, Count phase)
    {
        for (Count at = 0; at < products; at++)
            starts[at] = lines[at / row_products]
                         + (done + work.firsts[phase] + at % row_products * Products<Sum>::inputs) * step;
        return {starts, weights + (row_phase * work.factor + phase) * products, products};
    }
};

// The room for one row of outputs.
template <class Pixel, class Sum, int Channels, bool Overshoots> struct Tile : Lines<Pixel, Sum, Channels> {
    using Lines<Pixel, Sum, Channels>::work, Lines<Pixel, Sum, Channels>::scratch, Lines<Pixel, Sum, Channels>::stride;
    const Count pixel_bytes = work.channels * sizeof(Pixel);
    const Count most = std::max<Count>(block, plane_numbers / sizeof(Pixel) / work.factor / work.channels);
    const Count plane_length = most * work.channels + plane_slack;
    const Finish<Pixel, Sum, Overshoots> finish{work.division};
    Pixel *planes = scratch.template room<Pixel>(work.factor, plane_length);
    Interleaving tables = measured(work.factor, pixel_bytes);

    explicit Tile(const Work &given) : Lines<Pixel, Sum, Channels>(given)
    {
        tables.masks = scratch.template room<Bytes>(tables.period, tables.pieces);
        tables.from = scratch.template room<Count>(tables.period, tables.pieces * halves);
        if (!scratch.is_full)
            fill(tables, work.factor, pixel_bytes, plane_length * sizeof(Pixel));
    }

    template <class Sums> void fill_phase(const Sums &sums, Count phase, Count count)
    {
        Pixel *plane = planes + phase * plane_length;
        if constexpr (Channels)
            fill_with_alpha<Channels>(finish, work.division.alpha_multiplies, stride, sums, count, plane);
        else
            fill_plane(finish, sums, count * work.channels, plane);
    }

    // Calls `fill_phases` for one part of a row after the other, and writes the pixels.
    template <class FillPhases> void write_row(Count out_row, FillPhases fill_phases)
    {
        const Count bytes = work.factor * pixel_bytes;
        for (Count done = 0; done < work.width; done += most) {
            const Count count = std::min(most, work.width - done);
            fill_phases(done, count);
            interleave(tables, planes, count * bytes, work.out + out_row * work.out_row_bytes + done * bytes);
        }
    }
};

template <class Pixel, class Sum, int Channels, bool Overshoots> bool enlarge_direct(const Work &work)
{
    Tile<Pixel, Sum, Channels, Overshoots> tile(work);
    if (tile.scratch.is_full)
        return false;
    for (Count out_row = 0; out_row < work.rows * work.factor; out_row++) {
        const Count row_phase = out_row % work.factor;
        tile.take(out_row / work.factor, row_phase);
        tile.write_row(out_row, [&](Count done, Count count) {
            for (Count phase = 0; phase < work.factor; phase++)
                tile.fill_phase(tile.sums_of(done, row_phase, phase), phase, count);
        });
    }
    return true;
}

// Writes a row of the sums of one phase. The numbers of an output, one for each channel, stay together. (Interleaving
// planes of such large outputs with `interleave` takes twice the time.)
template <int Channels, class Pixel, class Sum>
void write_sums(Lines<Pixel, Sum, Channels> &tile, Count row_phase, Count phase, Sum *out)
{
    constexpr int vectors = block / lanes<Sum>;
    const Count channels = tile.work.channels, apart = tile.work.factor * channels, length = tile.work.width * tile.step;
    const TileSums<Sum> sums = tile.sums_of(0, row_phase, phase);
    for (Count part = 0; part < std::max(Channels, 1); part++) {
        Count column = 0, channel = part;  // of the next sum
        for (Count done = 0; done < length; done += block) {
            Full<Sum> made[vectors];
            Sum numbers[block];
            sums.template add<vectors>(part * tile.stride + done, Full<Sum>{}, made);
            std::memcpy(numbers, made, sizeof made);
            for (Count at = 0; at < std::min<Count>(block, length - done); at++) {
                out[column * apart + channel] = numbers[at];
                if (Channels || ++channel == channels) {
                    channel = part;
                    column++;
                }
            }
        }
    }
}

// The sums of a tile, not divided, for a kernel that is not separable. With alpha, of colour times alpha.
template <class Pixel, class Sum, int Channels> bool sum_direct(const Work &work)
{
    Lines<Pixel, Sum, Channels> tile(work);
    if (tile.scratch.is_full)
        return false;
    for (Count out_row = 0; out_row < work.rows * work.factor; out_row++) {
        tile.take(out_row / work.factor, out_row % work.factor);
        for (Count phase = 0; phase < work.factor; phase++)
            write_sums<Channels>(tile, out_row % work.factor, phase,
                                 reinterpret_cast<Sum *>(work.out + out_row * work.out_row_bytes) + phase * work.channels);
    }
    return true;
}

template <class Pixel, class Sum> bool sum_tile(const Work &work)
{
    if constexpr (sizeof(Sum) == 8)
        if (work.has_alpha)
            return work.channels == 4 ? sum_direct<Pixel, Sum, 4>(work) : sum_direct<Pixel, Sum, 2>(work);
    return sum_direct<Pixel, Sum, 0>(work);
}

}  // namespace
