// Sums of whole numbers. A separable kernel sums down the columns first, then along the rows; any other kernel sums over
// all inputs of an output.

namespace {

// How many spare numbers follow the last one of a line.
constexpr Count line_slack = 64;

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

}  // namespace
