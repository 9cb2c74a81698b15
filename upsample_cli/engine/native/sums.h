// Sums of whole numbers, and one division. A separable kernel sums down the columns first, then along the rows; any
// other sums over all inputs of an output.
//
// Outputs at the same place between two inputs are a phase. All outputs of a row and a phase are weighted with the same
// numbers, so they are computed side by side, as a plane; then the planes of all phases are interleaved.

namespace {

// Numbers that are computed together, and how many numbers a line has after its last.
constexpr int block = 32;
constexpr Count line_slack = 2 * block;

constexpr Count plane_numbers = 16384;  // of all phases together, so that they stay in the first cache

// What comes between sums and pixels. 16 bits are multiplied by a verified multiplier. Floats are divided, or multiplied
// by the inverse of the divisor; separable.py proves where that is exact.
template <class Pixel, class Sum, bool Overshoots> struct Finish {
    Full<Sum> half, divisor, inverse, largest;
    Shorts multiplier;
    int shift;
    bool multiplies;

    explicit Finish(const Division &by)
    {
        const Full<Sum> zero = {};
        multiplies = sizeof(Sum) > 2 && by.multiplies;
        half = zero + static_cast<Sum>(static_cast<int64_t>(by.divisor) / 2);
        if (multiplies)
            half += static_cast<Sum>(0.5);
        divisor = zero + static_cast<Sum>(by.divisor);
        inverse = zero + static_cast<Sum>(1 / by.divisor);
        largest = zero + static_cast<Sum>(std::numeric_limits<Pixel>::max());
        multiplier = Shorts{} + static_cast<uint16_t>(by.multiplier);
        shift = by.shift;
    }

    Full<Sum> clipped(Full<Sum> quotients) const
    {
        if constexpr (Overshoots) {
            const Full<Sum> zero = {};
            quotients = quotients > zero ? quotients : zero;
            quotients = quotients < largest ? quotients : largest;
        }
        return quotients;
    }

    Full<Sum> operator()(Full<Sum> sums) const
    {
        if constexpr (sizeof(Sum) == 2)
            return upper_half(sums + half, multiplier) >> shift;
        else
            return clipped(multiplies ? (sums + half) * inverse : (sums + half) / divisor);
    }
};

// The sums of one phase of a separable kernel: along a line of column sums, whose next inputs are `step` numbers
// further. Taps is the number of inputs of an output along an axis, or 0.
template <class Sum, int Taps> class LineSums {
public:
    LineSums(const Sum *line, Count step, const Sum *weights, Count count)
        : line(line), weights(weights), step(step), taps(Taps ? Taps : count)
    {
        for (int tap = 0; tap < Taps; tap++)
            spread[tap] = Full<Sum>{} + weights[tap];
    }

    // Of the outputs from `at` on, as many vectors.
    template <int vectors> void add(Count at, Full<Sum> *sums) const
    {
        for (int vector = 0; vector < vectors; vector++, at += lanes<Sum>) {
            sums[vector] = loaded<Full<Sum>>(line + at) * weight(0);
            for (int tap = 1; tap < taps; tap++)
                sums[vector] += loaded<Full<Sum>>(line + at + tap * step) * weight(tap);
        }
    }

private:
    Full<Sum> weight(int tap) const
    {
        if constexpr (Taps > 0)
            return spread[tap];
        else
            return Full<Sum>{} + weights[tap];
    }

    const Sum *line, *weights;
    Count step;
    int taps;
    Full<Sum> spread[Taps ? Taps : 1];
};

// The sums of one phase of any other kernel: over all its inputs at once, which start at `starts`.
template <class Sum> class TileSums {
public:
    TileSums(const Sum *const *starts, const Sum *weights, Count taps) : starts(starts), weights(weights), taps(taps) {}

    template <int vectors> void add(Count at, Full<Sum> *sums) const
    {
        Full<Sum> made[vectors] = {};
        for (Count tap = 0; tap < taps; tap++) {
            const Full<Sum> weight = Full<Sum>{} + weights[tap];
            for (int vector = 0; vector < vectors; vector++)
                made[vector] += loaded<Full<Sum>>(starts[tap] + at + vector * lanes<Sum>) * weight;
        }
        std::copy(made, made + vectors, sums);
    }

private:
    const Sum *const *starts, *weights;
    Count taps;
};

// `block` quotients as pixels.
inline void store_block(const Shorts *quotients, uint8_t *out)
{
    for (int at = 0; at < block / lanes<uint8_t>; at++)
        store(narrowed(quotients[2 * at], quotients[2 * at + 1]), out + at * lanes<uint8_t>);
}

inline void store_block(const Ints *quotients, uint16_t *out)
{
    for (int at = 0; at < block / lanes<uint16_t>; at++)
        store(narrowed(quotients[2 * at], quotients[2 * at + 1]), out + at * lanes<uint16_t>);
}

inline void store_block(const Ints *quotients, uint8_t *out)
{
    Shorts halfway[block / lanes<uint16_t>];
    for (int at = 0; at < block / lanes<uint16_t>; at++)
        halfway[at] = narrowed(quotients[2 * at], quotients[2 * at + 1]);
    store_block(halfway, out);
}

// How many vectors of sums become one vector of whole numbers.
template <class Sum> constexpr int per_quotients = sizeof(Sum) == 8 ? 2 : 1;

template <class Sum> using Quotients = std::conditional_t<sizeof(Sum) == 2, Shorts, Ints>;

template <class Sum> inline Quotients<Sum> rounded_down(const Full<Sum> *quotients)
{
    if constexpr (sizeof(Sum) == 2)
        return quotients[0];
    else if constexpr (sizeof(Sum) == 4)
        return __builtin_convertvector(quotients[0], Ints);
    else
        return whole(quotients[0], quotients[1]);
}

// One phase of a part of a row without alpha.
template <class Pixel, class Sum, bool Overshoots, class Sums>
void fill_plane(const Finish<Pixel, Sum, Overshoots> &given, const Sums &sums, Count count, Pixel *__restrict plane)
{
    constexpr int vectors = block / lanes<Sum>;
    const Finish<Pixel, Sum, Overshoots> finish = given;  // its own copy: no pixel written can change it
    for (Count done = 0; done < count; done += block) {
        Full<Sum> made[vectors];
        Quotients<Sum> quotients[vectors / per_quotients<Sum>];
        sums.template add<vectors>(done, made);
        for (int vector = 0; vector < vectors; vector++)
            made[vector] = finish(made[vector]);
        for (int at = 0; at < vectors / per_quotients<Sum>; at++)
            quotients[at] = rounded_down<Sum>(made + at * per_quotients<Sum>);
        store_block(quotients, plane + done);
    }
}

// A vector of pixels, from a vector of each of their channels.
template <int Channels> inline void store_pixels(const Ints *channels, uint8_t *out)
{
    if constexpr (Channels == 4)
        store(channels[0] | channels[1] << 8 | channels[2] << 16 | channels[3] << 24, out);
    else
        store(__builtin_convertvector(channels[0] | channels[1] << 8, Vector<uint16_t, lanes<int32_t>>), out);
}

template <int Channels> inline void store_pixels(const Ints *channels, uint16_t *out)
{
    constexpr auto all = std::make_integer_sequence<int, lanes<int32_t>>();
    const Ints front = channels[0] | channels[1] << 16;
    if constexpr (Channels == 2) {
        store(front, out);
    } else {
        const Ints back = channels[2] | channels[3] << 16;
        store(alternating<0>(front, back, all), out);
        store(alternating<lanes<int32_t> / 2>(front, back, all), out + lanes<uint16_t>);
    }
}

// The same with alpha. Sums have a part for each channel, `stride` numbers apart; the last is alpha.
template <class Pixel, class Sum, int Channels, bool Overshoots, class Sums>
void fill_alpha_plane(const Finish<Pixel, Sum, Overshoots> &given, bool multiplies, Count stride, const Sums &sums,
                      Count count, Pixel *__restrict plane)
{
    constexpr int vectors = per_quotients<Sum>;
    const Finish<Pixel, Sum, Overshoots> finish = given;
    const Full<Sum> zero = {}, one = zero + Sum(1), half = zero + Sum(0.5);
    for (Count done = 0; done < count; done += lanes<int32_t>) {
        Full<Sum> alphas[vectors], divisors[vectors], made[vectors];
        Ints quotients[Channels];
        sums.template add<vectors>(done + (Channels - 1) * stride, alphas);
        for (int at = 0; at < vectors; at++)
            made[at] = finish(alphas[at]);
        quotients[Channels - 1] = rounded_down<Sum>(made);
        for (int at = 0; at < vectors; at++) {
            if constexpr (Overshoots)
                alphas[at] = alphas[at] > zero ? alphas[at] : zero;
            divisors[at] = alphas[at] > zero ? alphas[at] + alphas[at] : one;
            if (multiplies)
                divisors[at] = one / divisors[at];
        }
        for (int channel = 0; channel < Channels - 1; channel++) {
            sums.template add<vectors>(done + channel * stride, made);
            for (int at = 0; at < vectors; at++) {
                Full<Sum> dividends = made[at] + made[at] + alphas[at];
                if constexpr (Overshoots)
                    dividends = alphas[at] > zero ? dividends : zero;
                made[at] = finish.clipped(multiplies ? (dividends + half) * divisors[at] : dividends / divisors[at]);
            }
            quotients[channel] = rounded_down<Sum>(made);
        }
        store_pixels<Channels>(quotients, plane + done * Channels);
    }
}

// The layer's numbers of one input row: its pixels; with alpha a part for each channel, colour multiplied by alpha.
template <class Pixel, class Sum, int Channels>
void prepare(const Work &work, Count row, Count stride, Sum *__restrict numbers)
{
    const Count width = work.width + work.window - 1, count = width * work.channels;
    const Pixel *__restrict pixels = static_cast<const Pixel *>(work.padded) + row * count;
    if constexpr (Channels == 0) {
        for (Count at = 0; at < count; at++)
            numbers[at] = pixels[at];
    } else if constexpr (Channels == 4 && sizeof(Pixel) == 1) {
        for (Count at = 0; at < width; at++) {  // GCC makes vectors of whole pixels, but not of every fourth byte
            const uint32_t pixel = loaded<uint32_t>(pixels + 4 * at);
            const int32_t alpha = pixel >> 24;
            numbers[at] = static_cast<int32_t>(pixel & 255) * alpha;
            numbers[at + stride] = static_cast<int32_t>(pixel >> 8 & 255) * alpha;
            numbers[at + 2 * stride] = static_cast<int32_t>(pixel >> 16 & 255) * alpha;
            numbers[at + 3 * stride] = alpha;
        }
    } else {
        for (Count at = 0; at < width; at++) {
            const Sum alpha = pixels[Channels * at + Channels - 1];
            for (int channel = 0; channel < Channels - 1; channel++)
                numbers[at + channel * stride] = pixels[Channels * at + channel] * alpha;
            numbers[at + (Channels - 1) * stride] = alpha;
        }
    }
}

// The sums down the columns. `lines` has the input rows.
template <class Sum, int Taps>
void add_rows(const Sum *const *lines, const Sum *weights, Count taps, Count count, Sum *__restrict out)
{
    if constexpr (Taps == 2) {
        const Sum *__restrict above = lines[0], *__restrict below = lines[1];
        const Sum first = weights[0], second = weights[1];
        for (Count at = 0; at < count; at++)
            out[at] = static_cast<Sum>(above[at] * first) + static_cast<Sum>(below[at] * second);
    } else {
        for (Count tap = 0; tap < taps; tap++) {
            const Sum *__restrict line = lines[tap];
            const Sum weight = weights[tap];
            for (Count at = 0; at < count; at++)
                out[at] = (tap ? out[at] : Sum(0)) + line[at] * weight;
        }
    }
}

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
            prepare<Pixel, Sum, Channels>(work, prepared, stride, kept + prepared % work.window * line_numbers);
        for (Count tap = 0; tap < work.taps; tap++)
            lines[tap] = kept + (row + work.firsts[row_phase] + tap) % work.window * line_numbers;
    }

    template <class Sums> void fill_phase(const Sums &sums, Count phase, Count count)
    {
        Pixel *plane = planes + phase * plane_length;
        if constexpr (Channels)
            fill_alpha_plane<Pixel, Sum, Channels>(finish, work.division.alpha_multiplies, stride, sums, count, plane);
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

// All rows of a tile. Channels is 0 without alpha. False if there is not enough memory.
template <class Pixel, class Sum, int Taps, int Channels, bool Overshoots> bool enlarge_separable(const Work &work)
{
    Tile<Pixel, Sum, Channels, Overshoots> tile(work);
    Sum *line = tile.scratch.template room<Sum>(1, tile.line_numbers);
    if (tile.scratch.is_full)
        return false;
    const Sum *weights = static_cast<const Sum *>(work.weights);
    for (Count out_row = 0; out_row < work.rows * work.factor; out_row++) {
        tile.take_lines(out_row / work.factor, out_row % work.factor);
        const Sum *row_weights = weights + out_row % work.factor * work.taps;
        add_rows<Sum, Taps>(tile.lines, row_weights, work.taps, tile.line_numbers, line);
        tile.write_row(out_row, [&](Count done, Count count) {
            for (Count phase = 0; phase < work.factor; phase++) {
                const Sum *from = line + (done + work.firsts[phase]) * tile.step;
                tile.fill_phase(LineSums<Sum, Taps>(from, tile.step, weights + phase * work.taps, work.taps), phase, count);
            }
        });
    }
    return true;
}

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
    return work.division.overshoots ? enlarge_any<Pixel, Sum, Channels, true>(work)
                                    : enlarge_any<Pixel, Sum, Channels, false>(work);
}

template <class Pixel, class Sum> bool enlarge_tile(const Work &work)
{
    if constexpr (sizeof(Sum) == 2)
        return enlarge_any<Pixel, Sum, 0, false>(work);
    else if (work.has_alpha)
        return work.channels == 4 ? enlarge_with_channels<Pixel, Sum, 4>(work)
                                  : enlarge_with_channels<Pixel, Sum, 2>(work);
    else
        return enlarge_with_channels<Pixel, Sum, 0>(work);
}

}  // namespace
