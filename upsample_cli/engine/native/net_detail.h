// The convolutions of a network, in whole numbers.
//
// Activations are 16-bit numbers, the channels of a pixel side by side. Two channels are a word of 32 bits: a word in
// every lane, times the weights of two inputs for as many outputs as there are lanes, is one product of a vector. The
// words of three neighbouring pixels of a row are side by side, so a convolution runs along three lists of words.
//
// The layers take turns, row by row, and each keeps three rows. A strip of columns is so narrow that these rows stay in
// the L2 cache.

namespace {
namespace net {

constexpr Count strip_columns = 256;
constexpr int kept_rows = 3;

// How many spare pixels follow a row, for the vectors that end after it.
constexpr Count row_slack = 8;

// One convolution: `lists` lists of words for each output.
template <int Lists, int Words, int Outputs> struct Convolution {
    static constexpr int vectors = (Outputs + lanes<int32_t> - 1) / lanes<int32_t>, outputs = vectors * lanes<int32_t>;
    static constexpr int length = 3 * Words, packed_words = Lists * length * outputs;
    static constexpr int pixels = std::max(1, std::min(8, 12 / vectors));  // that are computed together

    // The sums of the pixels whose words begin at `starts`, `Words` apart.
    static inline void add(const int32_t *const (&starts)[Lists], const int32_t *packed, Ints (&sums)[pixels][vectors])
    {
        PairSums made[pixels][vectors] = {};
        for (int list = 0; list < Lists; list++) {
            const int32_t *words = starts[list];
            for (int at = 0; at < length; at++, words++, packed += outputs)
                for (int pixel = 0; pixel < pixels; pixel++) {
                    const Ints word = Ints{} + words[pixel * Words];
                    for (int vector = 0; vector < vectors; vector++)
                        made[pixel][vector].add(word, loaded<Ints>(packed + vector * lanes<int32_t>));
                }
        }
        for (int pixel = 0; pixel < pixels; pixel++)
            for (int vector = 0; vector < vectors; vector++)
                sums[pixel][vector] = made[pixel][vector].total();
    }
};

// A 16-bit number of a word in `packed`; the lanes of a vector are its outputs.
inline void pack(int32_t *packed, Count outputs, Count word, Count output, Count half, int8_t weight)
{
    const int16_t wide = weight;
    std::memcpy(reinterpret_cast<char *>(packed + word * outputs + output) + half * sizeof wide, &wide, sizeof wide);
}

// The weights of (outputs, channels, 3, 3) for lists of words of two channels.
inline void pack_channels(const int8_t *weights, Count outputs, Count channels, Count words, Count lanes_each,
                          int32_t *packed)
{
    for (Count output = 0; output < outputs; output++)
        for (Count channel = 0; channel < channels; channel++)
            for (Count tap = 0; tap < 9; tap++)
                pack(packed, lanes_each, tap * words + channel / 2, output, channel % 2, *weights++);
}

// The weights of (outputs, 1, 3, 3) for two lists of words: of two pixels, one below the other, and of the third.
inline void pack_luma(const int8_t *weights, Count outputs, Count lanes_each, int32_t *packed)
{
    for (Count output = 0; output < outputs; output++)
        for (Count tap = 0; tap < 9; tap++)
            pack(packed, lanes_each, tap / 6 * 3 + tap % 3, output, tap / 3 % 2, *weights++);
}

// Sums become numbers from 0 to 255. Every sum is below 2**24, so it is exact as float32, and so is its product with a
// power of two.
template <int Channels> struct Activation {
    static constexpr int vectors = Channels / lanes<int32_t>;
    int32_t biases[Channels];
    float scales[Channels];

    void take(const NetLayer &layer, Count channels)
    {
        for (Count channel = 0; channel < channels; channel++) {
            biases[channel] = layer.biases[channel];
            scales[channel] = 1.0f / (int64_t(1) << layer.shifts[channel]);
        }
    }

    // Writes a pixel, and some numbers of the next one.
    void store_pixel(const Ints (&sums)[vectors], int16_t *out) const
    {
        Ints made[vectors + 1];
        for (int vector = 0; vector < vectors; vector++) {
            const auto scale = loaded<Full<float>>(scales + vector * lanes<int32_t>);
            Ints sum = sums[vector] + loaded<Ints>(biases + vector * lanes<int32_t>);
            sum = sum > 0 ? sum : Ints{};
            sum = __builtin_convertvector(__builtin_convertvector(sum, Full<float>) * scale, Ints);
            made[vector] = sum < 255 ? sum : Ints{} + 255;
        }
        made[vectors] = Ints{};
        for (int vector = 0; vector < vectors; vector += 2)
            store(narrowed(made[vector], made[vector + 1]), out + vector * lanes<int32_t>);
    }
};

// All layers. Channels is a multiple of 8; those that the network does not have are 0. Outputs is the square of the
// factor.
template <int Channels, int Outputs> class Detail {
public:
    explicit Detail(const NetDetail &work) : work(work)
    {
        activations = scratch.room<Activation<Channels>>(1, work.layer_count);
        packed = scratch.room<int32_t>(1, First::packed_words + (work.layer_count - 1) * Trunk::packed_words
                                              + Last::packed_words);
        luma = scratch.room<int32_t>(2, stride);
        kept = scratch.room<int16_t>(work.layer_count * kept_rows, row_numbers);
        if (!scratch.is_full)
            pack_all();
    }

    // Returns false if there is not enough memory.
    bool make()
    {
        if (scratch.is_full)
            return false;
        const Count layers = work.layer_count;
        for (first = 0; first < work.width; first += most) {
            count = std::min(most, work.width - first);
            for (Count row = 0; row < work.rows + 2 * layers; row++) {
                make_first(row);
                for (Count layer = 1; layer < layers && row >= 2 * layer; layer++)
                    make_layer(layer, row - 2 * layer);
                if (row >= 2 * layers)
                    make_detail(row - 2 * layers);
            }
        }
        return true;
    }

private:
    static constexpr int words = Channels / 2;
    using First = Convolution<2, 1, Channels>;
    using Trunk = Convolution<3, words, Channels>;
    using Last = Convolution<3, words, Outputs>;

    void pack_all()
    {
        const Count layers = work.layer_count, channels = work.channels;
        for (Count layer = 0; layer < layers; layer++)
            activations[layer].take(work.layers[layer], channels);
        pack_luma(work.layers[0].weights, channels, Channels, packed);
        for (Count layer = 1; layer < layers; layer++)
            pack_channels(work.layers[layer].weights, channels, channels, words, Channels, packed_of(layer));
        pack_channels(work.weights, Outputs, channels, words, Last::outputs, packed_of(layers));
    }

    // The weights of a layer after the first one.
    int32_t *packed_of(Count layer) const { return packed + First::packed_words + (layer - 1) * Trunk::packed_words; }

    int16_t *row_of(Count layer, Count row) const { return kept + (layer * kept_rows + row % kept_rows) * row_numbers; }

    // How many pixels of a row of a layer are needed.
    Count columns(Count layer) const { return count + 2 * (work.layer_count - layer); }

    // The words of the three rows from `row` on.
    void find_rows(Count layer, Count row, const int32_t *(&starts)[3]) const
    {
        for (Count each = 0; each < 3; each++)
            starts[each] = reinterpret_cast<const int32_t *>(row_of(layer, row + each));
    }

    template <class Convolved, int Lists>
    void make_row(const int32_t *(&starts)[Lists], Count step, const int32_t *weights, Count layer, Count row) const
    {
        const Activation<Channels> &activation = activations[layer];
        int16_t *out = row_of(layer, row);
        const Count needed = columns(layer);
        for (Count at = 0; at < needed; at += Convolved::pixels, out += Convolved::pixels * Channels) {
            Ints sums[Convolved::pixels][Convolved::vectors];
            Convolved::add(starts, weights, sums);
            for (int pixel = 0; pixel < Convolved::pixels; pixel++)
                activation.store_pixel(sums[pixel], out + pixel * Channels);
            for (const int32_t *&start : starts)
                start += Convolved::pixels * step;
        }
    }

    void make_first(Count row)
    {
        const Count needed = columns(0) + 2;
        const uint8_t *top = work.luma + row * work.luma_row_bytes + first, *middle = top + work.luma_row_bytes,
                      *bottom = middle + work.luma_row_bytes;
        for (Count at = 0; at < needed; at++) {
            luma[at] = top[at] | middle[at] << 16;
            luma[stride + at] = bottom[at];
        }
        const int32_t *starts[2] = {luma, luma + stride};
        make_row<First>(starts, 1, packed, 0, row);
    }

    void make_layer(Count layer, Count row) const
    {
        const int32_t *starts[3];
        find_rows(layer - 1, row, starts);
        make_row<Trunk>(starts, words, packed_of(layer), layer, row);
    }

    void make_detail(Count row) const
    {
        const int32_t *starts[3], *weights = packed_of(work.layer_count);
        find_rows(work.layer_count - 1, row, starts);
        int32_t *out = work.out + (row * work.width + first) * Outputs;
        for (Count at = 0; at < count; at += Last::pixels) {
            Ints sums[Last::pixels][Last::vectors];
            Last::add(starts, weights, sums);
            for (int pixel = 0; pixel < Last::pixels && at + pixel < count; pixel++, out += Outputs) {
                int32_t made[Last::outputs];
                std::memcpy(made, sums[pixel], sizeof made);
                for (int output = 0; output < Outputs; output++)
                    out[output] = made[output] + work.offsets[output];
            }
            for (const int32_t *&start : starts)
                start += Last::pixels * words;
        }
    }

    const NetDetail &work;
    const Count most = std::min(work.width, strip_columns);
    const Count stride = most + 2 * work.layer_count + 2 + row_slack, row_numbers = stride * Channels;
    Scratch scratch;
    Activation<Channels> *activations;
    int32_t *packed, *luma;
    int16_t *kept;  // (layers, kept rows, stride, channels)
    Count first = 0, count = 0;
};

template <int Channels> bool make_detail_of(const NetDetail &work)
{
    switch (work.outputs) {
    case 4: return Detail<Channels, 4>(work).make();
    case 9: return Detail<Channels, 9>(work).make();
    default: return Detail<Channels, 16>(work).make();
    }
}

inline bool make_detail(const NetDetail &work)
{
    switch ((work.channels + 7) / 8) {
    case 1: return make_detail_of<8>(work);
    case 2: return make_detail_of<16>(work);
    case 3: return make_detail_of<24>(work);
    default: return make_detail_of<32>(work);
    }
}

}  // namespace net
}  // namespace
