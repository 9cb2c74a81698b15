// From sums to whole numbers: one division each, exact for the sums that division.py allows.
//
// Every finish has
// - start, colour_start: what sums begin with, without alpha or of alpha itself, and of colour,
// - a call: the pixels of such sums,
// - opacity: what the colours of a pixel need of its sum of alpha,
// - colour: colour from its sum and the opacity, plus `rest` above the bits of a pixel. Without alpha it is zero.
// That of pairs has only the last two, and its colours are not clipped.
//
// Multiplies says whether colour in floats is multiplied by the inverse of alpha instead of divided by it.

namespace {

// As wide as the sums. Of numbers of 64 bits, only the lower half counts.
template <class Sum>
using Quotients = std::conditional_t<sizeof(Sum) == 2, Shorts, std::conditional_t<sizeof(Sum) == 4, Ints, Longs>>;

template <class Vector> inline Vector at_least(Vector least, Vector numbers) { return numbers > least ? numbers : least; }

template <class Vector> inline Vector within(Vector least, Vector most, Vector numbers)
{
    const Vector raised = at_least(least, numbers);
    return raised < most ? raised : most;
}

// From here on, floats are one apart. A smaller number is rounded to the nearest whole number when this is added, which
// then is the lowest bits of the sum.
template <class Number> constexpr Number float_unit = sizeof(Number) == 8 ? 0x1p52 : 0x1p23;

// Floats, which are divided, or multiplied by the inverse of the divisor.
template <class Pixel, class Sum, bool Overshoots> struct Finish {
    using Numbers = Full<Sum>;
    const Numbers zero = {}, one = zero + Sum(1), unit = zero + float_unit<Sum>;
    const Numbers most = unit + Sum(std::numeric_limits<Pixel>::max());
    const Quotients<Sum> rest = (Quotients<Sum>)unit;
    Numbers start, colour_start, divisor, inverse;
    bool multiplies;

    explicit Finish(const Division &by) : multiplies(by.multiplies)
    {
        const auto whole = static_cast<int64_t>(by.divisor);
        start = zero + Sum(!multiplies ? whole / 2 : whole % 2 ? 0 : 0.5);
        colour_start = zero + Sum(by.alpha_multiplies ? 0.25 : 0);
        divisor = zero + Sum(by.divisor);
        inverse = zero + Sum(1 / by.divisor);
    }

    // Pixels plus `rest`, from numbers to which `unit` was added.
    Quotients<Sum> taken(Numbers rounded) const
    {
        if constexpr (Overshoots && sizeof(Sum) == 8)
            rounded = within(unit, most, rounded);
        const auto bits = (Quotients<Sum>)rounded;
        if constexpr (Overshoots && sizeof(Sum) == 4)  // in the order of the floats, and faster to compare
            return within((Ints)unit, (Ints)most, bits);
        return bits;
    }

    // The same, of numbers that are rounded down.
    Quotients<Sum> rounded_down(Numbers quotients) const
    {
        if constexpr (sizeof(Sum) == 8) {
            const Numbers nearest = quotients + unit;
            return taken(nearest - unit > quotients ? nearest - one : nearest);
        } else {
            const Ints whole = __builtin_convertvector(quotients, Ints);
            return (Overshoots ? within(Ints{}, (Ints)most - rest, whole) : whole) + rest;
        }
    }

    Quotients<Sum> operator()(Numbers sums) const
    {
        const Quotients<Sum> made = multiplies ? taken(sums * inverse + unit) : rounded_down(sums / divisor);
        return sizeof(Sum) == 8 ? made : made - rest;
    }

    struct Opacity {
        Numbers alphas, factors;  // factors: divisors or inverses
    };

    template <bool Multiplies> Opacity opacity(Numbers alphas) const
    {
        if constexpr (Overshoots)
            alphas = at_least(zero, alphas);
        const Numbers divisors = at_least(one, alphas);
        if constexpr (!Multiplies)
            return {alphas, divisors + divisors};
        const Numbers inverses = one / divisors;
        return {alphas, Overshoots ? (alphas > zero ? inverses : zero) : inverses};
    }

    template <bool Multiplies> Quotients<Sum> colour(Numbers sums, const Opacity &by) const
    {
        if constexpr (Multiplies)
            return taken(sums * by.factors + unit);
        Numbers dividends = sums + sums + by.alphas;
        if constexpr (Overshoots)
            dividends = by.alphas > zero ? dividends : zero;
        return rounded_down(dividends / by.factors);
    }
};

// Whole numbers of 16 bits without alpha, multiplied by a multiplier that was verified for every sum.
template <class Pixel> struct Finish<Pixel, uint16_t, false> {
    Shorts start, multiplier;
    int shift;

    explicit Finish(const Division &by)
        : start(Shorts{} + static_cast<uint16_t>(static_cast<int64_t>(by.divisor) / 2)),
          multiplier(Shorts{} + static_cast<uint16_t>(by.multiplier)), shift(by.shift)
    {
    }

    Shorts operator()(Shorts sums) const { return upper_half(sums, multiplier) >> shift; }
};

// Whole numbers of 32 bits, multiplied by a multiplier.
template <class Pixel, bool Overshoots> struct Finish<Pixel, int32_t, Overshoots> {
    static constexpr int largest = std::numeric_limits<Pixel>::max();
    const Ints zero = {}, one = zero + 1, most = zero + largest;
    Ints start, multiplier;
    int shift;

    explicit Finish(const Division &by)
        : start(zero + static_cast<int32_t>(by.divisor) / 2), multiplier(zero + static_cast<int32_t>(by.multiplier)),
          shift(by.shift)
    {
    }

    Ints operator()(Ints sums) const
    {
        if constexpr (Overshoots)
            sums = at_least(zero, sums);
        const Ints quotients = upper_half(sums, multiplier) >> shift;
        return Overshoots ? (quotients < most ? quotients : most) : quotients;
    }
};

// Sums of pairs, of bytes with alpha.
//
// A sum of alpha, A, is below 2**23, and a sum of colour times alpha below 2**31 - 2**23, regardless of signs (division.py).
// Colour was centred, so its sum S lacks 128 * A, and is between -2**30 and 2**30.
//
// Proof: let A be positive, x = S / A + 128 the quotient to be rounded half up, and y = x + 1/2 - 2**-12, in float32. If x is
// from -128 to 384, three roundings of S / A and one of the sum change y by less than 2**-13, so it is below x + 1/2 by less
// than 2**-11. Cut off, it is x rounded half up or one less, and the rest of the division decides; or it is 0 or less where y
// is negative, and the rest is less than half of A. If x is smaller or larger, so is y, and the colour is clipped. y * A is
// near S + 128 * A, so no product or rest overflows.
template <> struct Finish<uint8_t, Pair, true> {
    using Floats = Full<float>;
    const Ints one = Ints{} + 1;
    Floats half, divisor;

    explicit Finish(const Division &by)
        : half(Floats{} + static_cast<float>(static_cast<int32_t>(by.divisor) / 2)),
          divisor(Floats{} + static_cast<float>(by.divisor))
    {
    }

    struct Opacity {
        Ints pixels, divisors, most;  // what is left of a centred sum is rounded up if it is more than `most`
        Floats inverses;
    };

    // Sums that are not positive are masked later. Float32 divides the whole numbers of `pixels` exactly, as exact.py proves.
    Opacity opacity(Ints alphas) const
    {
        const Ints divisors = at_least(one, alphas);
        const Floats floats = __builtin_convertvector(divisors, Floats);
        return {__builtin_convertvector((floats + half) / divisor, Ints), divisors,
                ((divisors - one) >> 1) - (divisors << 7), (Floats{} + 1) / floats};
    }

    Ints colour(Ints sums, const Opacity &by) const
    {
        const Floats raised = __builtin_convertvector(sums, Floats) * by.inverses + (128.5f - 0x1p-12f);
        const Ints estimate = __builtin_convertvector(raised, Ints);
        const auto is_more = sums - estimate * by.divisors > by.most;
        if constexpr (vector_bytes == 64)  // AVX-512 compares into a mask, and adds under it
            return is_more ? estimate + one : estimate;
        else
            return estimate - is_more;
    }
};

}  // namespace
