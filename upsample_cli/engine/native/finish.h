// From sums to whole numbers: one division each, exact for the sums that division.py allows.
//
// Every finish has
// - start, colour_start: what sums begin with, without alpha or of alpha itself, and of colour,
// - a call: the pixels of such sums,
// - opacity: what the colours of a pixel need of its sum of alpha,
// - colour: colour from its sum and the opacity, plus `rest` above the bits of a pixel. Without alpha it is zero.
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
//
// A colour is estimated in float32, a little too low: it is exact or one level below. The rest of the division decides.
// Proof: the quotient x of both sums is at most 255, and alpha is less than 2**24. Three roundings and the factor
// 1 - 2**-20 give a float from x * (1 - 2**-19) to x, less than 1/2000 below x. So its nearest whole number is never above
// x rounded half up, and less than 1 + 1/2000 below it. A quotient that overshoots is estimated as one level below the
// largest pixel, or as 0: what is left is then more than half of alpha, or less.
template <class Pixel, bool Overshoots> struct Finish<Pixel, int32_t, Overshoots> {
    using Floats = Full<float>;
    static constexpr int largest = std::numeric_limits<Pixel>::max();
    const Ints zero = {}, one = zero + 1, most = zero + largest, colour_start = {}, rest = {};
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

    struct Opacity {
        Ints divisors, halves;  // what is left of a sum is rounded up if it is more than `halves`
        Floats inverses;
    };

    template <bool> Opacity opacity(Ints alphas) const
    {
        const Ints divisors = at_least(one, alphas), halves = (divisors - one) >> 1;
        const Floats inverses = (Floats{} + (1 - 0x1p-20f)) / __builtin_convertvector(divisors, Floats);
        if constexpr (!Overshoots)
            return {divisors, halves, inverses};
        const Ints positive = alphas > zero;
        return {divisors, positive ? halves : zero + 0x7FFFFFFF, (Floats)(positive & (Ints)inverses)};
    }

    template <bool> Ints colour(Ints sums, const Opacity &by) const
    {
        const Ints unit = (Ints)(Floats{} + float_unit<float>);
        Ints estimate = (Ints)(__builtin_convertvector(sums, Floats) * by.inverses + (Floats)unit);
        if constexpr (Overshoots)
            estimate = within(unit, unit + (largest - 1), estimate);
        estimate -= unit;
        return estimate - (sums - estimate * by.divisors > by.halves);
    }
};

}  // namespace
