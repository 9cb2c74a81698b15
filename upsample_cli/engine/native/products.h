// Products of inputs and weights: one by one, or in pairs.
//
// Bytes with alpha, in sums of 32 bits, are computed in pairs of 16-bit numbers: one instruction multiplies both by their
// weights and adds the products. Multiplying 32-bit numbers takes two, and each half of such a pair another.
// - Prepared colour is (colour - 128) * alpha, from -32640 to 32385. A pair is a number and the next one of the row.
// - Sums along a row are below 2**23: division.py allows a kernel to weight a row with 181 in all, regardless of signs. Each
//   becomes a pair: its lowest 8 bits, and the 16 bits above them. Their weights are the weight and 256 times the weight,
//   so weights are at most 127.

namespace {

// The first number is in the lower half.
using Pair = uint32_t;

inline Pair pair_of(Pair first, Pair second) { return (first & 0xFFFF) | second << 16; }

// The sums of products. A product has `inputs` inputs.
template <class Sum> struct Products {
    static constexpr int inputs = 1;
    Full<Sum> sums;

    Products() = default;
    explicit Products(Full<Sum> start) : sums(start) {}
    Products(Full<Sum> numbers, Full<Sum> weights) : sums(numbers * weights) {}
    void add(Full<Sum> numbers, Full<Sum> weights) { sums += numbers * weights; }
    Full<Sum> total() const { return sums; }
};

template <> struct Products<Pair> {
    static constexpr int inputs = 2;
    PairSums sums = {};

    Products() = default;
    explicit Products(Full<Pair>) {}  // sums of pairs begin with zero
    Products(Full<Pair> numbers, Full<Pair> weights) { add(numbers, weights); }
    void add(Full<Pair> numbers, Full<Pair> weights) { sums.add((Ints)numbers, (Ints)weights); }
    Full<Pair> total() const { return (Full<Pair>)sums.total(); }
};

// The number of products of a row of inputs.
template <class Sum> constexpr Count products_of(Count taps)
{
    return (taps + Products<Sum>::inputs - 1) / Products<Sum>::inputs;
}

// The weight of a product of a row of inputs. The rows are those of `work.weights`.
template <class Sum> inline Sum weight_of(const Work &work, Count row, Count product)
{
    return static_cast<const Sum *>(work.weights)[row * work.taps + product];
}

template <> inline Pair weight_of<Pair>(const Work &work, Count row, Count product)
{
    const int32_t *weights = static_cast<const int32_t *>(work.weights) + row * work.taps;
    return pair_of(weights[2 * product], 2 * product + 1 < work.taps ? weights[2 * product + 1] : 0);
}

// Sums along a row, as they are kept.
template <class Numbers> inline Numbers kept(Numbers sums) { return sums; }

inline Full<Pair> kept(Full<Pair> sums)
{
    Bytes mask = {};
    for (int at = 0; at < vector_bytes; at++)
        mask[at] = at % 4 == 1 ? 0x80 : (at - (at % 4 > 1)) % piece_bytes;
    return (Full<Pair>)shuffled((Bytes)sums, mask);
}

// The weight `at` of such sums.
template <class Sum> inline Sum kept_weight(const Work &work, Count at)
{
    return static_cast<const Sum *>(work.weights)[at];
}

template <> inline Pair kept_weight<Pair>(const Work &work, Count at)
{
    const Pair weight = static_cast<const int32_t *>(work.weights)[at];
    return pair_of(weight, 256 * weight);
}

// Prepares `width` pixels with alpha, a part for each channel.
template <int Channels> void prepare_pairs(const uint8_t *__restrict pixels, Count width, Count stride, Pair *numbers)
{
    constexpr int alpha_at = Channels - 1;
    for (Count at = 0; at < width; at++) {  // loads of whole pixels, as in sums.h
        const auto pixel = loaded<std::conditional_t<Channels == 4, uint32_t, uint16_t>>(pixels + Channels * at);
        const int32_t alpha = pixel >> 8 * alpha_at;
        for (int channel = 0; channel < alpha_at; channel++)
            numbers[at + channel * stride] = (static_cast<int32_t>(pixel >> 8 * channel & 255) - 128) * alpha;
        numbers[at + alpha_at * stride] = alpha;
    }
    for (int channel = 0; channel < Channels; channel++, numbers += stride)
        for (Count at = 0; at < width; at++)  // the last has no next one, and no weight for it
            numbers[at] = pair_of(numbers[at], numbers[at + 1]);
}

}  // namespace
