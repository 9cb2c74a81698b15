// From sums to pixels: one division. The pixels are side by side, as a plane: those of one phase (tile.h) or of a row
// (separable.h).

namespace {

// How many numbers are computed together.
constexpr int block = line_slack / 2;

// Turns sums into pixel values. 16-bit sums are multiplied by a verified multiplier. Floats are divided, or multiplied
// by the inverse of the divisor; compiled.py proves where that is exact.
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

// Computes a plane without alpha.
template <class Pixel, class Sum, bool Overshoots, class Sums>
void fill_plane(const Finish<Pixel, Sum, Overshoots> &given, const Sums &sums, Count count, Pixel *__restrict plane)
{
    constexpr int vectors = block / lanes<Sum>;
    const Finish<Pixel, Sum, Overshoots> finish = given;  // a local copy: stores of pixels cannot change it
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

}  // namespace
