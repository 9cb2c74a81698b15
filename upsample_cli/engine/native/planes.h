// From whole numbers to pixels that are side by side, as a plane: those of one phase (tile.h) or of a row (separable.h).

namespace {

// How many numbers are computed together.
constexpr int block = line_slack / 2;

// Stores `block` quotients as pixels.
[[gnu::always_inline]] inline void store_block(const Shorts *quotients, uint8_t *out)
{
    for (int at = 0; at < block / lanes<uint8_t>; at++)
        store(narrowed(quotients[2 * at], quotients[2 * at + 1]), out + at * lanes<uint8_t>);
}

[[gnu::always_inline]] inline void store_block(const Ints *quotients, uint16_t *out)
{
    for (int at = 0; at < block / lanes<uint16_t>; at++)
        store(narrowed(quotients[2 * at], quotients[2 * at + 1]), out + at * lanes<uint16_t>);
}

[[gnu::always_inline]] inline void store_block(const Ints *quotients, uint8_t *out)
{
    Shorts halfway[block / lanes<uint16_t>];
    for (int at = 0; at < block / lanes<uint16_t>; at++)
        halfway[at] = narrowed(quotients[2 * at], quotients[2 * at + 1]);
    store_block(halfway, out);
}

template <class Pixel> [[gnu::always_inline]] inline void store_block(const Longs *quotients, Pixel *out)
{
    Ints halfway[block / lanes<int32_t>];
    for (int at = 0; at < block / lanes<int32_t>; at++)
        halfway[at] = narrowed(quotients[2 * at], quotients[2 * at + 1]);
    store_block(halfway, out);
}

// Computes a plane without alpha.
template <class Pixel, class Sum, bool Overshoots, class Sums>
void fill_plane(const Finish<Pixel, Sum, Overshoots> &given, const Sums &sums, Count count, Pixel *__restrict plane)
{
    constexpr int vectors = block / lanes<Sum>;
    const Finish<Pixel, Sum, Overshoots> finish = given;  // a local copy: stores of pixels cannot change it
    for (Count done = 0; done < count; done += block) {
        Full<Sum> made[vectors];
        Quotients<Sum> quotients[vectors];
        sums.template add<vectors>(done, finish.start, made);
        for (int vector = 0; vector < vectors; vector++)
            quotients[vector] = finish(made[vector]);
        store_block(quotients, plane + done);
    }
}

// Stores `lanes<int32_t>` pixels of two or four bytes, each of which is the lower half or all of a number.
template <int bytes> [[gnu::always_inline]] inline void store_pixels(const Ints *pixels, uint8_t *out)
{
    if constexpr (bytes == 4)
        store(pixels[0], out);
    else
        store(__builtin_convertvector(pixels[0], Vector<uint16_t, lanes<int32_t>>), out);
}

// The same, of up to eight bytes.
template <int bytes, class Pixel> [[gnu::always_inline]] inline void store_pixels(const Longs *pixels, Pixel *out)
{
    if constexpr (bytes == 8) {
        store(pixels[0], out);
        store(pixels[1], out + sizeof *pixels / sizeof(Pixel));
    } else {
        const Ints halves = narrowed(pixels[0], pixels[1]);
        store_pixels<bytes>(&halves, reinterpret_cast<uint8_t *>(out));
    }
}

// The same with alpha. Sums have a part for each channel, `stride` numbers apart; the last is alpha.
template <bool Multiplies, int Channels, class Pixel, class Sum, bool Overshoots, class Sums>
void fill_alpha_plane(const Finish<Pixel, Sum, Overshoots> &given, Count stride, const Sums &sums, Count count,
                      Pixel *__restrict plane)
{
    constexpr int vectors = lanes<int32_t> / lanes<Sum>, bits = 8 * sizeof(Pixel);
    const Finish<Pixel, Sum, Overshoots> finish = given;
    for (Count done = 0; done < count; done += lanes<int32_t>) {
        Full<Sum> alphas[vectors], made[vectors];
        Quotients<Sum> pixels[vectors];
        sums.template add<vectors>(done + (Channels - 1) * stride, Full<Sum>{}, alphas);
        for (int at = 0; at < vectors; at++)
            pixels[at] = finish(alphas[at] + finish.start) << (Channels - 1) * bits ^ finish.rest;
        typename Finish<Pixel, Sum, Overshoots>::Opacity opacity[vectors];
        for (int at = 0; at < vectors; at++)
            opacity[at] = finish.template opacity<Multiplies>(alphas[at]);
        for (int channel = 0; channel < Channels - 1; channel++) {
            sums.template add<vectors>(done + channel * stride, finish.colour_start, made);
            for (int at = 0; at < vectors; at++)
                pixels[at] ^= finish.template colour<Multiplies>(made[at], opacity[at]) << channel * bits;
        }
        store_pixels<Channels * sizeof(Pixel)>(pixels, plane + done * Channels);
    }
}

// The same of pairs.
template <int Channels, class Sums>
void fill_pairs(const Finish<uint8_t, Pair, true> &given, Count stride, const Sums &sums, Count count,
                uint8_t *__restrict plane)
{
    const Finish<uint8_t, Pair, true> finish = given;
    for (Count done = 0; done < count; done += lanes<int32_t>) {
        Full<Pair> made;
        Ints numbers[4] = {};
        sums.template add<1>(done + (Channels - 1) * stride, Full<Pair>{}, &made);
        const Ints alphas = (Ints)made;
        const auto opacity = finish.opacity(alphas);
        numbers[Channels - 1] = opacity.pixels;
        for (int channel = 0; channel < Channels - 1; channel++) {
            sums.template add<1>(done + channel * stride, Full<Pair>{}, &made);
            numbers[channel] = finish.colour((Ints)made, opacity);
        }
        const Ints pixels = (Ints)clipped(numbers) & (alphas > 0);
        store_pixels<Channels>(&pixels, plane + done * Channels);
    }
}

template <int Channels, class Pixel, class Sum, bool Overshoots, class Sums>
void fill_with_alpha(const Finish<Pixel, Sum, Overshoots> &finish, bool multiplies, Count stride, const Sums &sums,
                     Count count, Pixel *plane)
{
    if constexpr (std::is_same_v<Sum, Pair>)
        return fill_pairs<Channels>(finish, stride, sums, count, plane);
    else if (multiplies)
        fill_alpha_plane<true, Channels>(finish, stride, sums, count, plane);
    else
        fill_alpha_plane<false, Channels>(finish, stride, sums, count, plane);
}

}  // namespace
