// Convolutions of 3 by 3 in tiles of 2 by 2 outputs, with 16 products instead of 36 (Winograd's F(2x2, 3x3)).
//
// The 4 by 4 inputs of a tile, and the filter, are each transformed to 16 numbers. The products of these, summed over the
// channels, are transformed to the 4 outputs. The filter is transformed twice as large in each direction, so all numbers
// are whole, and the sums are exactly 4 times those of the filter: inputs from 0 to 255 become numbers up to 1020, weights
// become numbers up to 9 * 127, and all sums fit in 32 bits.

namespace {
namespace net {

constexpr int spots = 16;  // of a transformed tile

constexpr int registers = vector_bytes == 64 ? 32 : 16;

// How many tiles are computed together, so that their numbers stay in the nearest caches.
constexpr int group = 24;

template <class Function, int... at>
__attribute__((always_inline)) inline void repeat(std::integer_sequence<int, at...>, Function function)
{
    (function(std::integral_constant<int, at>()), ...);
}

// A loop that is unrolled before anything else, so that the vectors of an array stay in registers.
template <int count, class Function> __attribute__((always_inline)) inline void repeat(Function function)
{
    repeat(std::make_integer_sequence<int, count>(), function);
}

// Products of lists of words with the weights of outputs. A word is two 16-bit numbers; a word in every lane, times the
// weights of two inputs for as many outputs as there are lanes, is one product of vectors.
template <int Lists, int Length, int Step, int Outputs> struct Product {
    static constexpr int vectors = (Outputs + lanes<int32_t> - 1) / lanes<int32_t>, outputs = vectors * lanes<int32_t>;
    static constexpr int packed_words = Lists * Length * outputs;
    // Pixels computed together: the sums, the weights of a word, the word and a product need 16 registers.
    static constexpr int pixels = std::max(1, std::min(8, (registers - 2 - vectors) / vectors));

    // The sums of `pixels` pixels, whose words begin at `starts`, `Step` apart.
    static inline void add(const int32_t *const (&starts)[Lists], const int32_t *packed, Ints (&sums)[pixels][vectors])
    {
        PairSums made[pixels][vectors] = {};
        for (int list = 0; list < Lists; list++) {
            const int32_t *words = starts[list];
            for (int at = 0; at < Length; at++, words++, packed += outputs)
                repeat<pixels>([&](auto pixel) __attribute__((always_inline)) {
                    const Ints word = Ints{} + words[pixel * Step];
                    repeat<vectors>([&](auto vector) __attribute__((always_inline)) {
                        made[pixel][vector].add(word, loaded<Ints>(packed + vector * lanes<int32_t>));
                    });
                });
        }
        repeat<pixels>([&](auto pixel) __attribute__((always_inline)) {
            repeat<vectors>([&](auto vector) __attribute__((always_inline)) {
                sums[pixel][vector] = made[pixel][vector].total();
            });
        });
    }
};

// One half of a word of the weights of an output; the words of all outputs are side by side.
inline void pack(int32_t *packed, Count outputs, Count word, Count output, Count half, int16_t weight)
{
    auto *halves_of_word = reinterpret_cast<char *>(packed + word * outputs + output);
    std::memcpy(halves_of_word + half * sizeof weight, &weight, sizeof weight);
}

// Three numbers, transformed to four twice as large.
inline void widen(const int *from, Count from_step, int *to, Count to_step)
{
    const int first = from[0], second = from[from_step], third = from[2 * from_step];
    to[0] = 2 * first;
    to[to_step] = first + second + third;
    to[2 * to_step] = first - second + third;
    to[3 * to_step] = 2 * third;
}

// A convolution of pixels of several channels, side by side, for two rows of outputs at a time.
template <int Channels, int Outputs> class Tiles {
    static constexpr int words = Channels / 2, columns = std::min({16, lanes<int16_t>, Channels});
    using Spot = Product<1, words, words, Outputs>;
    using Numbers = Vector<int16_t, columns>;

public:
    static constexpr int outputs = Spot::outputs, vectors = Spot::vectors, packed_words = spots * Spot::packed_words;
    static constexpr int transformed_words = spots * (group + Spot::pixels) * words;
    static constexpr int summed_words = spots * (group + Spot::pixels) * outputs;

    // Packs the weights (outputs, channels, 3, 3).
    static void pack_all(const int8_t *weights, Count given_outputs, Count channels, int32_t *packed)
    {
        for (Count output = 0; output < given_outputs; output++)
            for (Count channel = 0; channel < channels; channel++, weights += 9) {
                int filter[9], halfway[12], made[spots];
                std::copy_n(weights, 9, filter);
                for (int column = 0; column < 3; column++)
                    widen(filter + column, 3, halfway + column, 3);
                for (int row = 0; row < 4; row++)
                    widen(halfway + 3 * row, 1, made + 4 * row, 1);
                for (int spot = 0; spot < spots; spot++)
                    pack(packed, outputs, spot * words + channel / 2, output, channel % 2, made[spot]);
            }
    }

    // Transforms the inputs of `count` tiles in four rows.
    static void transform(const int16_t *const (&rows)[4], Count count, int32_t *transformed)
    {
        for (int channel = 0; channel < Channels; channel += columns) {
            const int start = std::min(channel, Channels - columns);  // the last vector ends with the pixel
            auto *to = reinterpret_cast<int16_t *>(transformed) + start;
            Numbers left[2][4], right[2][4];
            take_column(rows, start, left[0]);
            take_column(rows, start + Channels, left[1]);
            for (Count tile = 0; tile < count; tile++, to += Channels) {
                take_column(rows, start + (2 * tile + 2) * Channels, right[0]);
                take_column(rows, start + (2 * tile + 3) * Channels, right[1]);
                for (int row = 0; row < 4; row++) {
                    int16_t *out = to + row * 4 * spot_words * 2;
                    store(left[0][row] - right[0][row], out);
                    store(left[1][row] + right[0][row], out + spot_words * 2);
                    store(right[0][row] - left[1][row], out + spot_words * 4);
                    store(left[1][row] - right[1][row], out + spot_words * 6);
                    left[0][row] = right[0][row];
                    left[1][row] = right[1][row];
                }
            }
        }
    }

    // The sums of all products, for each spot. Compiled into a larger function, GCC keeps them in memory: half as fast.
    __attribute__((noinline)) static void multiply(const int32_t *transformed, const int32_t *packed, Count count, int32_t *summed)
    {
        for (int spot = 0; spot < spots; spot++, packed += Spot::packed_words)
            for (Count tile = 0; tile < count; tile += Spot::pixels) {
                Ints sums[Spot::pixels][vectors];
                Spot::add({transformed + spot * spot_words + tile * words}, packed, sums);
                int32_t *out = summed + (spot * tiles + tile) * outputs;
                repeat<Spot::pixels>([&](auto pixel) __attribute__((always_inline)) {
                    repeat<vectors>([&](auto vector) __attribute__((always_inline)) {
                        store(sums[pixel][vector], out + pixel * outputs + vector * lanes<int32_t>);
                    });
                });
            }
    }

    // A vector of each of the four outputs of a tile, row by row, 4 times as large as the sums of the filter.
    static inline void sum_of(const int32_t *summed, Count tile, int vector, Ints (&made)[4])
    {
        const int32_t *from = summed + tile * outputs + vector * lanes<int32_t>;
        Ints top[4], bottom[4];
        for (int column = 0; column < 4; column++) {
            Ints each[4];
            for (int row = 0; row < 4; row++)
                each[row] = loaded<Ints>(from + (4 * row + column) * tiles * outputs);
            top[column] = each[0] + each[1] + each[2];
            bottom[column] = each[1] - each[2] - each[3];
        }
        made[0] = top[0] + top[1] + top[2];
        made[1] = top[1] - top[2] - top[3];
        made[2] = bottom[0] + bottom[1] + bottom[2];
        made[3] = bottom[1] - bottom[2] - bottom[3];
    }

private:
    static constexpr int tiles = group + Spot::pixels, spot_words = tiles * words;  // of each spot

    static inline void take_column(const int16_t *const (&rows)[4], Count at, Numbers (&made)[4])
    {
        Numbers given[4];
        for (int row = 0; row < 4; row++)
            given[row] = loaded<Numbers>(rows[row] + at);
        made[0] = given[0] - given[2];
        made[1] = given[1] + given[2];
        made[2] = given[2] - given[1];
        made[3] = given[1] - given[3];
    }
};

}  // namespace net
}  // namespace
