// Sums of whole numbers: down the columns first, then along the rows, then one division.
//
// Outputs at the same position between two inputs form a phase. All outputs of one phase in a row have the same
// weights, so they are computed side by side, as a plane. Then the planes of all phases are interleaved.

namespace {

// How many numbers are computed together, and how many spare numbers follow the last one of a line.
constexpr int block = 32;
constexpr Count line_slack = 2 * block;

constexpr Count plane_numbers = 16384;  // of all phases together, so that they stay in the L1 cache

// Turns sums into pixel values. 16-bit sums are multiplied by a verified multiplier. Floats are divided, or multiplied
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

// The weights of one phase, each in all lanes. Taps is the number of inputs of an output along an axis if that is known
// when compiling, otherwise 0.
template <class Sum, int Taps> struct Weights {
    Full<Sum> first[Taps ? Taps : 1];
    const Sum *all;
    int taps;

    Weights(const Sum *weights, Count count) : all(weights), taps(Taps ? Taps : count)
    {
        for (int tap = 0; tap < (Taps ? Taps : 1); tap++)
            first[tap] = Full<Sum>{} + weights[tap];
    }

    // The sums of a vector of outputs. Their first inputs start at `line`, each next input is `step` numbers further.
    Full<Sum> sums(const Sum *line, Count step) const
    {
        Full<Sum> made = loaded<Full<Sum>>(line) * first[0];
        for (int tap = 1; tap < taps; tap++)
            made += loaded<Full<Sum>>(line + tap * step) * (Taps ? first[Taps ? tap : 0] : Full<Sum>{} + all[tap]);
        return made;
    }
};

// Stores `block` quotients as pixels.
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

// A vector of whole numbers from the quotients that `finished` gives, beginning with number `at`.
template <class Sum, class Finished> inline auto quotients_at(Count at, Finished finished)
{
    if constexpr (sizeof(Sum) == 2)
        return finished(at);
    else if constexpr (sizeof(Sum) == 4)
        return __builtin_convertvector(finished(at), Ints);
    else
        return whole(finished(at), finished(at + lanes<double>));
}

// Computes one phase of a part of a row without alpha.
template <class Pixel, class Sum, int Taps, bool Overshoots>
void fill_plane(const Finish<Pixel, Sum, Overshoots> &given, Count channels, const Sum *__restrict line,
                const Sum *phase_weights, Count taps, Count count, Pixel *__restrict plane)
{
    using Quotients = std::conditional_t<sizeof(Sum) == 2, Shorts, Ints>;
    constexpr int step = sizeof(Quotients) / (sizeof(Sum) == 2 ? 2 : 4);
    const Finish<Pixel, Sum, Overshoots> finish = given;  // a local copy: stores of pixels cannot change it
    const Weights<Sum, Taps> weights(phase_weights, taps);
    for (Count done = 0; done < count; done += block) {
        Quotients quotients[block / step];
        for (int part = 0; part < block / step; part++)
            quotients[part] = quotients_at<Sum>(done + part * step, [&](Count at) {
                return finish(weights.sums(line + at, channels));
            });
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

// The same with alpha. The line has a part for each channel, `stride` numbers apart; the last is alpha.
template <class Pixel, class Sum, int Taps, int Channels, bool Overshoots>
void fill_alpha_plane(const Finish<Pixel, Sum, Overshoots> &given, bool multiplies, Count stride,
                      const Sum *__restrict line, const Sum *phase_weights, Count taps, Count count,
                      Pixel *__restrict plane)
{
    const Finish<Pixel, Sum, Overshoots> finish = given;
    const Weights<Sum, Taps> weights(phase_weights, taps);
    const Full<Sum> zero = {}, one = zero + Sum(1), half = zero + Sum(0.5);
    const auto positive = [&](Full<Sum> sums) { return Overshoots ? sums > zero ? sums : zero : sums; };
    const auto sums_at = [&](int channel, Count at) { return weights.sums(line + channel * stride + at, 1); };
    for (Count done = 0; done < count; done += lanes<int32_t>) {
        Ints quotients[Channels];
        for (int channel = 0; channel < Channels - 1; channel++)
            quotients[channel] = quotients_at<Sum>(done, [&](Count at) {
                const Full<Sum> alpha = positive(sums_at(Channels - 1, at)), colour = sums_at(channel, at);
                const Full<Sum> divisors = alpha > zero ? alpha + alpha : one;
                Full<Sum> dividends = colour + colour + alpha;
                if constexpr (Overshoots)
                    dividends = alpha > zero ? dividends : zero;
                return finish.clipped(multiplies ? (dividends + half) * (one / divisors) : dividends / divisors);
            });
        quotients[Channels - 1] = quotients_at<Sum>(done, [&](Count at) { return finish(sums_at(Channels - 1, at)); });
        store_pixels<Channels>(quotients, plane + done * Channels);
    }
}

// Prepares one input row for the sums: its pixels, or with alpha a part for each channel, colour multiplied by alpha.
template <class Pixel, class Sum, int Channels>
void prepare(const Work &work, Count row, Count stride, Sum *__restrict numbers)
{
    const Count width = work.width + work.window - 1, count = width * work.channels;
    const Pixel *__restrict pixels = static_cast<const Pixel *>(work.padded) + row * count;
    if constexpr (Channels == 0) {
        for (Count at = 0; at < count; at++)
            numbers[at] = pixels[at];
    } else if constexpr (Channels == 4 && sizeof(Pixel) == 1) {
        for (Count at = 0; at < width; at++) {  // GCC vectorizes loads of whole pixels, but not of every fourth byte
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

// Computes the sums down the columns. `lines` has the input rows.
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

// Enlarges all rows of a tile. Channels is 0 without alpha. Returns false if there is not enough memory.
template <class Pixel, class Sum, int Taps, int Channels, bool Overshoots> bool enlarge_rows(const Work &work)
{
    const Count channels = work.channels, taps = Taps ? Taps : work.taps, pixel_bytes = channels * sizeof(Pixel);
    const Count width = work.width + work.window - 1, stride = width + line_slack;
    const Count line_numbers = Channels ? Channels * stride : width * channels + line_slack;
    const Count most = std::max<Count>(block, plane_numbers / sizeof(Pixel) / work.factor / channels);
    const Count plane = most * channels + plane_slack;
    Interleaving tables = measured(work.factor, pixel_bytes);
    Scratch scratch;
    Sum *kept = scratch.room<Sum>(work.window, line_numbers), *line = scratch.room<Sum>(1, line_numbers);
    const Sum **lines = scratch.room<const Sum *>(1, taps);
    Pixel *planes = scratch.room<Pixel>(work.factor, plane);
    tables.masks = scratch.room<Bytes>(tables.period, tables.pieces);
    tables.from = scratch.room<Count>(tables.period, tables.pieces * halves);
    if (scratch.is_full)
        return false;
    fill(tables, work.factor, pixel_bytes, plane * sizeof(Pixel));
    const Finish<Pixel, Sum, Overshoots> finish(work.division);
    const Sum *weights = static_cast<const Sum *>(work.weights);

    Count prepared = 0;
    for (Count row = 0; row < work.rows; row++) {
        for (; prepared < row + work.window; prepared++)
            prepare<Pixel, Sum, Channels>(work, prepared, stride, kept + prepared % work.window * line_numbers);
        for (Count row_phase = 0; row_phase < work.factor; row_phase++) {
            for (Count tap = 0; tap < taps; tap++)
                lines[tap] = kept + (row + work.firsts[row_phase] + tap) % work.window * line_numbers;
            add_rows<Sum, Taps>(lines, weights + row_phase * taps, taps, line_numbers, line);
            char *out = work.out + (row * work.factor + row_phase) * work.out_row_bytes;
            for (Count done = 0; done < work.width; done += most) {
                const Count count = std::min(most, work.width - done);
                for (Count phase = 0; phase < work.factor; phase++) {
                    const Count first = done + work.firsts[phase];
                    if constexpr (Channels)
                        fill_alpha_plane<Pixel, Sum, Taps, Channels>(finish, work.division.alpha_multiplies, stride,
                                                                     line + first, weights + phase * taps, taps,
                                                                     count, planes + phase * plane);
                    else
                        fill_plane<Pixel, Sum, Taps>(finish, channels, line + first * channels, weights + phase * taps,
                                                     taps, count * channels, planes + phase * plane);
                }
                interleave(tables, planes, count * work.factor * pixel_bytes, out + done * work.factor * pixel_bytes);
            }
        }
    }
    return true;
}

template <class Pixel, class Sum, int Channels, bool Overshoots> bool enlarge_with_taps(const Work &work)
{
    switch (work.taps) {
    case 2: return enlarge_rows<Pixel, Sum, 2, Channels, Overshoots>(work);
    case 4: return enlarge_rows<Pixel, Sum, 4, Channels, Overshoots>(work);
    default: return enlarge_rows<Pixel, Sum, 0, Channels, Overshoots>(work);
    }
}

template <class Pixel, class Sum, int Channels> bool enlarge_with_channels(const Work &work)
{
    return work.division.overshoots ? enlarge_with_taps<Pixel, Sum, Channels, true>(work)
                                    : enlarge_with_taps<Pixel, Sum, Channels, false>(work);
}

template <class Pixel, class Sum> bool enlarge_tile(const Work &work)
{
    if constexpr (sizeof(Sum) == 2)
        return enlarge_with_taps<Pixel, Sum, 0, false>(work);
    else if (work.has_alpha)
        return work.channels == 4 ? enlarge_with_channels<Pixel, Sum, 4>(work)
                                  : enlarge_with_channels<Pixel, Sum, 2>(work);
    else
        return enlarge_with_channels<Pixel, Sum, 0>(work);
}

}  // namespace
