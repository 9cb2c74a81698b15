// How the sums of resample.h become pixels: rounded if that is decided, otherwise computed again in whole numbers.

namespace {
namespace resample {

// After adding it to a number, no bits are left for fractions.
template <class Number> constexpr Number magic = sizeof(Number) == 4 ? Number(0x1.8p23) : Number(0x1.8p52);

// One pixel in whole numbers.
template <class Pixel, class Number> class Exact {
public:
    explicit Exact(const Resampling &work) : work(work) {}

    Pixel operator()(Count row, Count column, Count channel) const
    {
        return work.is_short ? made<int64_t>(row, column, channel) : made<__int128>(row, column, channel);
    }

private:
    template <class Wide> Pixel made(Count row, Count column, Count channel) const
    {
        const Wide most = std::numeric_limits<Pixel>::max(), divisor = static_cast<Wide>(work.divisor);
        const Count alpha = work.channels - 1;
        Wide by = divisor;
        if (work.has_alpha && channel < alpha) {
            by = sum<Wide>(row, column, alpha);
            if (by <= 0)
                return 0;
        }
        const Wide dividend = 2 * sum<Wide>(row, column, channel) + by;
        return dividend <= 0 ? 0 : std::min(most, dividend / (2 * by));
    }

    // With alpha, of colour times alpha.
    template <class Wide> Wide sum(Count row, Count column, Count channel) const
    {
        const Count row_numbers = work.source_width * work.channels;
        Count pixel = work.row_firsts[row] * row_numbers + work.column_firsts[column] * work.channels;
        const double *down = work.row_weights + row * work.row_taps;
        const double *along = work.column_weights + column * work.column_taps;
        Wide all = 0;
        for (Count above = 0; above < work.row_taps; above++, pixel += row_numbers) {
            Wide added = 0;
            for (Count tap = 0; tap < work.column_taps; tap++)
                added += static_cast<Wide>(static_cast<int64_t>(along[tap])) * number(pixel + tap * work.channels, channel);
            all += added * static_cast<int64_t>(down[above]);
        }
        return all;
    }

    int64_t number(Count pixel, Count channel) const
    {
        if (work.is_summed)
            return static_cast<int64_t>(static_cast<const Number *>(work.source)[pixel + channel]);
        const Pixel *channels = static_cast<const Pixel *>(work.source) + pixel;
        const Count alpha = work.channels - 1;
        return static_cast<int64_t>(channels[channel]) * (work.has_alpha && channel < alpha ? channels[alpha] : 1);
    }

    const Resampling &work;
};

// Rounds numbers, in levels, to pixels; see resize_rounding.py.
//
// A number plus a half becomes a whole number of 32 bits, of which the lowest `bits` are its fraction.
template <class Number> struct Rounding {
    const int bits;
    const Full<Number> unit;
    const Ints less, more, above;  // above: the bits of a pixel

    Rounding(int bits, int near)
        : bits(bits), unit(spread(zero_of(bits) + Number(0.5))),
          less((sizeof(Number) == 4 ? -(Ints)spread(zero_of(bits)) : Ints{}) - near), more(less + 2 * near),
          above(Ints{} - (1 << bits))
    {
    }

    // The least pixels that the numbers can be, and how the largest ones differ. If they do in the bits `above`, whole
    // numbers must decide.
    void operator()(const Full<Number> *numbers, Ints &pixels, Ints &differ) const
    {
        Ints made;
        if constexpr (sizeof(Number) == 4)
            made = (Ints)(numbers[0] + unit);
        else
            made = narrowed((Longs)(numbers[0] + unit), (Longs)(numbers[1] + unit));
        const Ints least = made + less;
        pixels = least >> bits;
        differ = least ^ (made + more);
    }

private:
    static Number zero_of(int bits) { return magic<Number> / (1 << bits); }
};

template <class Number> inline Full<Number> within(Full<Number> number, Number most)
{
    number = number > Full<Number>{} ? number : Full<Number>{};
    return number < spread(most) ? number : spread(most);
}

// The inverses, off by less than 2**-44 of them: one step of Newton's method doubles the bits of float32.
inline Full<double> inverse_of(Full<double> numbers)
{
    const auto near = 1 / __builtin_convertvector(numbers, Vector<float, lanes<double>>);
    const auto inverse = __builtin_convertvector(near, Full<double>);
    return inverse * (2 - numbers * inverse);
}

// Calls `compute` for each place where some bits are set.
template <class Compute>
__attribute__((noinline)) void decide(const Ints *numbers, Count vectors, Ints bits, const Compute &compute)
{
    for (Count vector = 0; vector < vectors; vector++) {
        const Ints found = numbers[vector] & bits;
        if (is_set((Bytes)found))
            for (Count at = 0; at < lanes<int32_t>; at++)
                if (found[at])
                    compute(vector * lanes<int32_t> + at);
    }
}

}  // namespace resample
}  // namespace
