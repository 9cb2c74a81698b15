// The convolutions of a network, in whole numbers.
//
// Activations are 16-bit numbers, the channels of a pixel side by side. The layers take turns, two rows at a time, and
// each keeps four rows. A strip of columns is so narrow that these rows stay in the L2 cache.

namespace {
namespace net {

constexpr Count strip_columns = 256;
constexpr int kept_rows = 4;

// How many spare pixels follow a row, for the tiles that are computed together.
constexpr Count row_slack = 20;

// Sums become numbers from 0 to 255.
//
// A sum is a whole number below 2**24, or 4 times such a number. So it is exact as float32, and so is its product with a
// power of two.
template <int Channels> struct Activation {
    static constexpr int vectors = (Channels + lanes<int32_t> - 1) / lanes<int32_t>, numbers = vectors * lanes<int32_t>;
    int32_t biases[numbers];
    float scales[numbers];

    // For sums that are `times` as large.
    void take(const NetLayer &layer, Count channels, int32_t times)
    {
        for (Count channel = 0; channel < channels; channel++) {
            biases[channel] = layer.biases[channel] * times;
            scales[channel] = 1.0f / (int64_t(times) << layer.shifts[channel]);
        }
    }

    // Writes a pixel, and some numbers of the next one.
    void store_pixel(const Ints (&sums)[vectors], int16_t *out) const
    {
        const Ints zero = {}, most = zero + 255;
        Ints made[vectors + 1];
        made[vectors] = zero;
        for (int vector = 0; vector < vectors; vector++) {
            Ints sum = sums[vector] + loaded<Ints>(biases + vector * lanes<int32_t>);
            sum = sum > zero ? sum : zero;
            const auto scaled = __builtin_convertvector(sum, Full<float>)
                                * loaded<Full<float>>(scales + vector * lanes<int32_t>);
            sum = __builtin_convertvector(scaled, Ints);
            made[vector] = sum < most ? sum : most;
        }
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
        transformed = scratch.room<int32_t>(1, std::max(Trunk::transformed_words, Last::transformed_words));
        summed = scratch.room<int32_t>(1, std::max(Trunk::summed_words, Last::summed_words));
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
            for (Count row = 0; row < work.rows + 2 * layers; row += 2) {
                make_first(row);
                if (row + 1 < work.rows + 2 * layers)
                    make_first(row + 1);
                for (Count layer = 1; layer < layers && row >= 2 * layer; layer++)
                    make_layer(layer, row - 2 * layer);
                if (row >= 2 * layers)
                    make_detail(row - 2 * layers);
            }
        }
        return true;
    }

private:
    using First = Product<2, 3, 1, Channels>;
    using Trunk = Tiles<Channels, Channels>;
    using Last = Tiles<Channels, Outputs>;

    void pack_all()
    {
        const Count layers = work.layer_count, channels = work.channels;
        for (Count layer = 0; layer < layers; layer++)
            activations[layer].take(work.layers[layer], channels, layer ? 4 : 1);
        const int8_t *weight = work.layers[0].weights;
        for (Count output = 0; output < channels; output++)
            for (Count tap = 0; tap < 9; tap++)
                pack(packed, First::outputs, tap / 6 * 3 + tap % 3, output, tap / 3 % 2, *weight++);
        for (Count layer = 1; layer < layers; layer++)
            Trunk::pack_all(work.layers[layer].weights, channels, channels, packed_of(layer));
        Last::pack_all(work.weights, Outputs, channels, packed_of(layers));
    }

    // The weights of a layer after the first one.
    int32_t *packed_of(Count layer) const { return packed + First::packed_words + (layer - 1) * Trunk::packed_words; }

    int16_t *row_of(Count layer, Count row) const { return kept + (layer * kept_rows + row % kept_rows) * row_numbers; }

    // How many pixels of a row of a layer are needed.
    Count columns(Count layer) const { return count + 2 * (work.layer_count - layer); }

    // Makes a row of the first layer. A word is two pixels of luma, one below the other, or one of the third row.
    void make_first(Count row)
    {
        const Count needed = columns(0);
        const uint8_t *top = work.luma + row * work.luma_row_bytes + first, *middle = top + work.luma_row_bytes,
                      *bottom = middle + work.luma_row_bytes;
        for (Count at = 0; at < needed + 2; at++) {
            luma[at] = top[at] | middle[at] << 16;
            luma[stride + at] = bottom[at];
        }
        int16_t *out = row_of(0, row);
        for (Count at = 0; at < needed; at += First::pixels) {
            Ints sums[First::pixels][First::vectors];
            First::add({luma + at, luma + stride + at}, packed, sums);
            for (int pixel = 0; pixel < First::pixels; pixel++)
                activations[0].store_pixel(sums[pixel], out + (at + pixel) * Channels);
        }
    }

    // Sums up a group of tiles of a layer, from the four rows of the one before it. `at` is the first column.
    template <class Layer> void sum_up(Count layer, Count row, Count at, Count tiles)
    {
        const int16_t *rows[4];
        for (Count each = 0; each < 4; each++)
            rows[each] = row_of(layer - 1, row + each) + at * Channels;
        Layer::transform(rows, tiles, transformed);
        Layer::multiply(transformed, packed_of(layer), tiles, summed);
    }

    void make_layer(Count layer, Count row)
    {
        const Activation<Channels> &activation = activations[layer];
        for (Count at = 0; at < columns(layer); at += 2 * group) {
            const Count tiles = std::min<Count>(group, (columns(layer) - at + 1) / 2);
            sum_up<Trunk>(layer, row, at, tiles);
            int16_t *top = row_of(layer, row) + at * Channels, *bottom = row_of(layer, row + 1) + at * Channels;
            for (Count tile = 0; tile < tiles; tile++, top += 2 * Channels, bottom += 2 * Channels) {
                Ints made[4][Trunk::vectors];
                for (int vector = 0; vector < Trunk::vectors; vector++) {
                    Ints sums[4];
                    Trunk::sum_of(summed, tile, vector, sums);
                    for (int pixel = 0; pixel < 4; pixel++)
                        made[pixel][vector] = sums[pixel];
                }
                activation.store_pixel(made[0], top);
                activation.store_pixel(made[1], top + Channels);
                activation.store_pixel(made[2], bottom);
                activation.store_pixel(made[3], bottom + Channels);
            }
        }
    }

    void make_detail(Count row)
    {
        for (Count at = 0; at < count; at += 2 * group) {
            const Count tiles = std::min<Count>(group, (count - at + 1) / 2);
            sum_up<Last>(work.layer_count, row, at, tiles);
            for (Count tile = 0; tile < tiles; tile++) {
                int32_t made[4][Last::outputs];
                for (int vector = 0; vector < Last::vectors; vector++) {
                    Ints sums[4];
                    Last::sum_of(summed, tile, vector, sums);
                    for (int pixel = 0; pixel < 4; pixel++)
                        store(sums[pixel] >> 2, made[pixel] + vector * lanes<int32_t>);
                }
                for (int pixel = 0; pixel < 4; pixel++)
                    store_detail(row + pixel / 2, at + 2 * tile + pixel % 2, made[pixel]);
            }
        }
    }

    void store_detail(Count row, Count column, const int32_t *sums) const
    {
        if (row >= work.rows || column >= count)
            return;
        int32_t *out = work.out + (row * work.width + first + column) * Outputs;
        for (int output = 0; output < Outputs; output++)
            out[output] = sums[output] + work.offsets[output];
    }

    const NetDetail &work;
    const Count most = std::min(work.width, strip_columns);
    const Count stride = most + 2 * work.layer_count + 2 + row_slack, row_numbers = stride * Channels;
    Scratch scratch;
    Activation<Channels> *activations;
    int32_t *packed, *luma, *transformed, *summed;
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
