// Bilinear enlargement by two with varying alpha.
//
// The two rows of outputs between two rows of inputs are sums over the same inputs, so they are computed together; and so
// are the outputs on the left and on the right of an input.

namespace {
namespace twofold {

constexpr Count kept_bytes = 65536;  // of two rows of numbers

// Stores pixels of two vectors in turn. With two channels, a pixel is the lower half of a number.
template <int channels, class Wholes> inline void store_in_turn(Wholes left, Wholes right, char *out)
{
    constexpr int bytes = sizeof left[0], side = sizeof left / bytes;
    constexpr auto all = std::make_integer_sequence<int, side>();
    if constexpr (channels == 2) {
        store(left | right << 4 * bytes, out);
    } else {
        store(zipped<0>(left, right, all), out);
        store(zipped<side / 2>(left, right, all), out + sizeof left);
    }
}

// The sums of the outputs around the inputs after `above` and `below`: upper left and right, lower left and right.
template <class Sum>
[[gnu::always_inline]] inline void add_around(const Sum *above, const Sum *below, Full<Sum> start, Full<Sum> *sums)
{
    using Numbers = Full<Sum>;
    const Numbers upper = loaded<Numbers>(above + 1), lower = loaded<Numbers>(below + 1);
    for (int side = 0; side < 2; side++) {
        const Numbers high = upper * 3 + loaded<Numbers>(above + 2 * side);
        const Numbers low = lower * 3 + loaded<Numbers>(below + 2 * side);
        const Numbers both = high + low + start;
        sums[side] = high * 2 + both;
        sums[2 + side] = low * 2 + both;
    }
}

// Computes the outputs around `count` columns, whole vectors of them. Numbers of a channel are `stride` apart.
template <int Channels, class Pixel, class Sum>
void fill_around(const Finish<Pixel, Sum, false> &given, const Sum *above, const Sum *below, Count stride, Count count,
                 char *upper, char *lower)
{
    constexpr int around = 4, bits = 8 * sizeof(Pixel), alpha = Channels - 1;
    const Finish<Pixel, Sum, false> finish = given;  // a local copy: stores of pixels cannot change it
    for (Count at = 0; at < count; at += lanes<Sum>) {
        Full<Sum> sums[around];
        Quotients<Sum> pixels[around];
        typename Finish<Pixel, Sum, false>::Opacity opacity[around];
        add_around(above + at + alpha * stride, below + at + alpha * stride, Full<Sum>{}, sums);
        for (int place = 0; place < around; place++) {
            pixels[place] = finish(sums[place] + finish.start) << alpha * bits ^ finish.rest;
            opacity[place] = finish.template opacity<true>(sums[place]);
        }
        for (int channel = 0; channel < alpha; channel++) {
            add_around(above + at + channel * stride, below + at + channel * stride, finish.colour_start, sums);
            for (int place = 0; place < around; place++)
                pixels[place] ^= finish.template colour<true>(sums[place], opacity[place]) << channel * bits;
        }
        const Count offset = 2 * at * Channels * sizeof(Pixel);
        store_in_turn<Channels>(pixels[0], pixels[1], upper + offset);
        store_in_turn<Channels>(pixels[2], pixels[3], lower + offset);
    }
}

// A part of the columns of a tile.
template <class Pixel, class Sum, int Channels> struct AlphaStrip {
    static constexpr Count pair_bytes = 2 * Channels * sizeof(Pixel);  // of the outputs around an input, in a row

    const Work &work;
    const Count most = std::min<Count>(work.width, kept_bytes / 2 / Channels / sizeof(Sum));
    const Count stride = (most / line_slack + 2) * line_slack;
    // division.py allows to multiply by the inverses of 16 and of alpha.
    const Finish<Pixel, Sum, false> finish{Division{16, 0, 0, true, true, false}};
    Scratch scratch;
    Sum *above = scratch.room<Sum>(Channels, stride), *below = scratch.room<Sum>(Channels, stride);
    char *outside = scratch.room<char>(most, pair_bytes);  // rows of outputs that the tile does not have
    Count first = 0, count = 0;                            // the columns in work

    explicit AlphaStrip(const Work &work) : work(work) {}

    // Prepares an input row, below the one before.
    void take_row(Count row)
    {
        std::swap(above, below);
        prepare<Pixel, Sum, Channels>(work, row, first, count + 2, stride, below);
    }

    char *row_out(Count row) const
    {
        return row < 0 || row == 2 * work.rows ? outside : work.out + row * work.out_row_bytes + first * pair_bytes;
    }

    // Writes two rows of outputs, from the rows taken last.
    void write_rows(Count upper_row) const
    {
        char *const upper = row_out(upper_row), *const lower = row_out(upper_row + 1);
        const Count whole = count / lanes<Sum> * lanes<Sum>, rest_bytes = (count - whole) * pair_bytes;
        fill_around<Channels>(finish, above, below, stride, whole, upper, lower);
        if (whole < count) {  // a vector that ends after the row
            char last[2][lanes<Sum> * pair_bytes];
            fill_around<Channels>(finish, above + whole, below + whole, stride, lanes<Sum>, last[0], last[1]);
            std::memcpy(upper + whole * pair_bytes, last[0], rest_bytes);
            std::memcpy(lower + whole * pair_bytes, last[1], rest_bytes);
        }
    }
};

template <class Pixel, class Sum, int Channels> bool enlarge_strips(const Work &work)
{
    AlphaStrip<Pixel, Sum, Channels> strip(work);
    if (strip.scratch.is_full)
        return false;
    for (; strip.first < work.width; strip.first += strip.most) {
        strip.count = std::min(strip.most, work.width - strip.first);
        strip.take_row(0);
        for (Count row = 0; row <= work.rows; row++) {
            strip.take_row(row + 1);
            strip.write_rows(2 * row - 1);
        }
    }
    return true;
}

// Enlarges a tile that is padded by one pixel on each side. Returns false if there is not enough memory.
template <class Pixel, class Sum> bool enlarge(const Work &work)
{
    if (!work.has_alpha) {
        enlarge_without_alpha<Pixel>(work);
        return true;
    }
    return work.channels == 4 ? enlarge_strips<Pixel, Sum, 4>(work) : enlarge_strips<Pixel, Sum, 2>(work);
}

}  // namespace twofold
}  // namespace
