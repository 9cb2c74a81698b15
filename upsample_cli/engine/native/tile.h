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

// The kept lines of one tile, and the room for one row of outputs.
template <class Pixel, class Sum, int Channels, bool Overshoots> struct Tile {
    const Work &work;
    const Count width = work.width + work.window - 1, stride = width + line_slack;
    const Count line_numbers = Channels ? Channels * stride : width * work.channels + line_slack;
    const Count pixel_bytes = work.channels * sizeof(Pixel), step = Channels ? 1 : work.channels;
    const Count most = std::max<Count>(block, plane_numbers / sizeof(Pixel) / work.factor / work.channels);
    const Count plane_length = most * work.channels + plane_slack;
    const Finish<Pixel, Sum, Overshoots> finish{work.division};
    Scratch scratch;
    Sum *kept = scratch.room<Sum>(work.window, line_numbers);
    const Sum **lines = scratch.room<const Sum *>(1, work.taps);
    Pixel *planes = scratch.room<Pixel>(work.factor, plane_length);
    Interleaving tables = measured(work.factor, pixel_bytes);
    Count prepared = 0;

    explicit Tile(const Work &work) : work(work)
    {
        tables.masks = scratch.room<Bytes>(tables.period, tables.pieces);
        tables.from = scratch.room<Count>(tables.period, tables.pieces * halves);
        if (!scratch.is_full)
            fill(tables, work.factor, pixel_bytes, plane_length * sizeof(Pixel));
    }

    // Prepares the input rows of a row of outputs, and finds the lines that its phase takes.
    void take_lines(Count row, Count row_phase)
    {
        for (; prepared < row + work.window; prepared++)
            prepare<Pixel, Sum, Channels>(work, prepared, 0, width, stride,
                                          kept + prepared % work.window * line_numbers);
        for (Count tap = 0; tap < work.taps; tap++)
            lines[tap] = kept + (row + work.firsts[row_phase] + tap) % work.window * line_numbers;
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
    const Count taps = work.taps * work.taps;
    Tile<Pixel, Sum, Channels, Overshoots> tile(work);
    const Sum **starts = tile.scratch.template room<const Sum *>(1, taps);
    if (tile.scratch.is_full)
        return false;
    for (Count out_row = 0; out_row < work.rows * work.factor; out_row++) {
        tile.take_lines(out_row / work.factor, out_row % work.factor);
        const Sum *row_weights = static_cast<const Sum *>(work.weights) + out_row % work.factor * work.factor * taps;
        tile.write_row(out_row, [&](Count done, Count count) {
            for (Count phase = 0; phase < work.factor; phase++) {
                for (Count tap = 0; tap < taps; tap++)
                    starts[tap] = tile.lines[tap / work.taps]
                                  + (done + work.firsts[phase] + tap % work.taps) * tile.step;
                tile.fill_phase(TileSums<Sum>(starts, row_weights + phase * taps, taps), phase, count);
            }
        });
    }
    return true;
}

}  // namespace
