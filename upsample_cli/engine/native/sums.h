// Sums of whole numbers. A separable kernel sums along the rows first, then down the columns; any other kernel sums over
// all inputs of an output.

namespace {

// How many spare numbers follow the last one of a line.
constexpr Count line_slack = std::max(64, 2 * vector_bytes);

// A number below 2**52. No processor without AVX-512 converts whole numbers of 64 bits in vectors.
inline double float64_of(uint64_t number)
{
    const uint64_t bits = number | 0x4330000000000000;  // of 2**52 + number
    return loaded<double>(&bits) - 0x1p52;
}

// Prepares `width` pixels of an input row for the sums: the pixels, or with alpha a part for each channel, colour
// multiplied by alpha.
template <class Pixel, class Sum, int Channels>
void prepare(const Work &work, Count row, Count first, Count width, Count stride, Sum *__restrict numbers)
{
    const Count count = width * work.channels, before = row * (work.width + work.window - 1) + first;
    const Pixel *__restrict pixels = static_cast<const Pixel *>(work.padded) + before * work.channels;
    if constexpr (Channels == 0) {
        for (Count at = 0; at < count; at++)
            numbers[at] = pixels[at];
    } else if constexpr (std::is_same_v<Sum, Pair>) {
        prepare_pairs<Channels>(pixels, width, stride, numbers);
    } else if constexpr (Channels == 4 && sizeof(Pixel) == 1) {
        for (Count at = 0; at < width; at++) {  // GCC vectorizes loads of whole pixels, but not of every fourth byte
            const uint32_t pixel = loaded<uint32_t>(pixels + 4 * at);
            const int32_t alpha = pixel >> 24;
            numbers[at] = static_cast<int32_t>(pixel & 255) * alpha;
            numbers[at + stride] = static_cast<int32_t>(pixel >> 8 & 255) * alpha;
            numbers[at + 2 * stride] = static_cast<int32_t>(pixel >> 16 & 255) * alpha;
            numbers[at + 3 * stride] = alpha;
        }
    } else if constexpr (Channels == 4) {
        for (Count at = 0; at < width; at++) {
            const uint64_t pixel = loaded<uint64_t>(pixels + 4 * at);
            const double alpha = float64_of(pixel >> 48);
            numbers[at] = float64_of(pixel & 0xFFFF) * alpha;
            numbers[at + stride] = float64_of(pixel >> 16 & 0xFFFF) * alpha;
            numbers[at + 2 * stride] = float64_of(pixel >> 32 & 0xFFFF) * alpha;
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

// The sums of one phase: over its inputs, each with a weight of its own. The inputs of the first output are at `starts`.
// Taps is their number if it is known when compiling, otherwise 0.
template <class Sum, int Taps> class Sums {
public:
    Sums(const Sum *const *given, const Sum *weights, Count)
    {
        for (int tap = 0; tap < Taps; tap++) {
            starts[tap] = given[tap];
            spread[tap] = weights[tap] - Full<Sum>{};
        }
    }

    // Of the outputs from `at` on, as many vectors. Every sum begins with `start`.
    template <int vectors> void add(Count at, Full<Sum> start, Full<Sum> *sums) const
    {
        for (int vector = 0; vector < vectors; vector++, at += lanes<Sum>) {
            Products<Sum> made(start);
            for (int tap = 0; tap < Taps; tap++)
                made.add(loaded<Full<Sum>>(starts[tap] + at), spread[tap]);
            sums[vector] = made.total();
        }
    }

private:
    const Sum *starts[Taps];
    Full<Sum> spread[Taps];
};

template <class Sum> class Sums<Sum, 0> {
public:
    Sums(const Sum *const *starts, const Sum *weights, Count taps) : starts(starts), weights(weights), taps(taps) {}

    template <int vectors> void add(Count at, Full<Sum> start, Full<Sum> *sums) const
    {
        Products<Sum> made[vectors];
        std::fill(made, made + vectors, Products<Sum>(start));
        for (Count tap = 0; tap < taps; tap++) {
            const Full<Sum> weight = weights[tap] - Full<Sum>{};  // subtracting a zero changes no number, adding one does
            const Sum *from = starts[tap] + at;
            asm("" : "+r"(from));  // GCC would keep an offset for each vector, and every sum would be two steps
            for (int vector = 0; vector < vectors; vector++)
                made[vector].add(loaded<Full<Sum>>(from + vector * lanes<Sum>), weight);
        }
        for (int vector = 0; vector < vectors; vector++)
            sums[vector] = made[vector].total();
    }

private:
    const Sum *const *starts, *weights;
    Count taps;
};

}  // namespace
