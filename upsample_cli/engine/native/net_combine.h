// The last step of a network: a linear kernel on each channel, the detail, and one rounding.
//
// All outputs of one phase of a row have the same weights, so they are computed side by side, as a plane (interleave.h).
// Two neighbouring pixels of a channel are a word of 32 bits, as in net_tiles.h. A 16-bit pixel is two numbers of 8
// bits, with sums of their own, so that every sum fits in 32 bits.

namespace {
namespace net {

constexpr int linear_side = 7, linear_pairs = (linear_side + 1) / 2;

// Above this, the detail alone decides that an output is the largest or the smallest pixel.
constexpr int32_t most_detail = 1 << 30;

// A part of the columns of the output. Its numbers are the channels of pixels, one pixel after the other.
template <class Pixel> class Combined {
public:
    explicit Combined(const NetSum &work) : work(work)
    {
        packed = scratch.room<int32_t>(work.factor * work.factor, linear_side * linear_pairs);
        kept = scratch.room<int32_t>(linear_side * parts, stride);
        numbers = scratch.room<Pixel>(1, stride);
        spread_detail = scratch.room<int32_t>(1, stride);
        planes = scratch.room<Pixel>(work.factor, stride);
        tables.masks = scratch.room<Bytes>(tables.period, tables.pieces);
        tables.from = scratch.room<Count>(tables.period, tables.pieces * halves);
        if (scratch.is_full)
            return;
        fill(tables, work.factor, pixel_bytes, stride * sizeof(Pixel));
        for (Count at = 0, word = 0; word < work.factor * work.factor * linear_side * linear_pairs; word++) {
            const uint16_t left = work.weights[at++], right = word % linear_pairs < 3 ? work.weights[at++] : 0;
            packed[word] = left | static_cast<uint32_t>(right) << 16;
        }
    }

    // Returns false if there is not enough memory.
    bool make()
    {
        if (scratch.is_full)
            return false;
        for (first = 0; first < work.width; first += most) {
            columns = std::min(most, work.width - first);
            for (Count row = 0; row < linear_side - 1; row++)
                prepare(row);
            for (Count row = 0; row < work.rows; row++) {
                prepare(row + linear_side - 1);
                for (Count row_phase = 0; row_phase < work.factor; row_phase++)
                    write_row(row, row_phase);
            }
        }
        return true;
    }

private:
    static constexpr int parts = sizeof(Pixel), vectors = block / lanes<int32_t>;

    int32_t *line(Count row, Count part) const { return kept + (row % linear_side * parts + part) * stride; }

    // Makes the words of an input row: of its high bytes first, if there are two.
    void prepare(Count row)
    {
        const Count step = work.channels, count = (columns + linear_side - 1) * step;
        std::memcpy(numbers, work.pixels + row * work.pixels_row_bytes + first * pixel_bytes, count * sizeof(Pixel));
        for (Count part = 0; part < parts; part++) {
            int32_t *__restrict words = line(row, part);
            const Pixel *__restrict from = numbers;
            const int shift = 8 * (parts - 1 - part);
            for (Count at = 0; at < count; at++)
                words[at] = (from[at] >> shift & 255) | (from[at + step] >> shift & 255) << 16;
        }
    }

    // The sums of `block` numbers from `at` on.
    void add(Count row, Count part, Count at, const int32_t *weights, Ints (&sums)[vectors]) const
    {
        PairSums made[vectors] = {};
        for (Count tap_row = 0; tap_row < linear_side; tap_row++) {
            const int32_t *words = line(row + tap_row, part) + at;
            for (int pair = 0; pair < linear_pairs; pair++, words += 2 * work.channels) {
                const Ints weight = Ints{} + *weights++;
                for (int vector = 0; vector < vectors; vector++)
                    made[vector].add(loaded<Ints>(words + vector * lanes<int32_t>), weight);
            }
        }
        for (int vector = 0; vector < vectors; vector++)
            sums[vector] = made[vector].total();
    }

    // Takes the detail of one phase, once for each channel.
    template <int Channels> void spread(Count row, Count phase)
    {
        const Count outputs = work.factor * work.factor;
        const int32_t *from = work.detail + (row * work.width + first) * outputs + phase;
        int32_t *to = spread_detail;
        for (Count at = 0; at < columns; at++, from += outputs, to += Channels)
            std::fill(to, to + Channels, std::clamp(*from, -most_detail, most_detail));
    }

    void spread(Count row, Count phase)
    {
        switch (work.channels) {
        case 1: return spread<1>(row, phase);
        case 2: return spread<2>(row, phase);
        case 3: return spread<3>(row, phase);
        default: return spread<4>(row, phase);
        }
    }

    void fill_plane(Count row, Count phase, Pixel *plane)
    {
        const int32_t *weights = packed + phase * linear_side * linear_pairs;
        const int32_t half = 1 << (work.bits - 1);
        const int shift = work.bits - 8 * (parts - 1);
        spread(row, phase);
        for (Count at = 0; at < columns * work.channels; at += block) {
            Ints made[vectors];
            add(row, parts - 1, at, weights, made);
            Ints high[vectors] = {};
            if constexpr (parts == 2)
                add(row, 0, at, weights, high);
            for (int vector = 0; vector < vectors; vector++) {
                const auto detail = loaded<Ints>(spread_detail + at + vector * lanes<int32_t>);
                Ints sum = made[vector] + detail + half;
                if constexpr (parts == 2)  // 256 * (high + detail) + sum, without its last 8 bits
                    sum = high[vector] + detail + (sum >> 8);
                sum = sum >> shift;
                sum = sum > 0 ? sum : Ints{};
                made[vector] = sum < largest ? sum : Ints{} + largest;
            }
            store_block(made, plane + at);
        }
    }

    void write_row(Count row, Count row_phase)
    {
        for (Count phase = 0; phase < work.factor; phase++)
            fill_plane(row, row_phase * work.factor + phase, planes + phase * stride);
        interleave(tables, planes, columns * work.factor * pixel_bytes,
                   work.out + (row * work.factor + row_phase) * work.out_row_bytes + first * work.factor * pixel_bytes);
    }

    static constexpr int32_t largest = std::numeric_limits<Pixel>::max();
    const NetSum &work;
    const Count pixel_bytes = work.channels * sizeof(Pixel), most = std::min(work.width, strip_columns);
    const Count stride = (most + 2 * linear_side) * work.channels + block + plane_slack;
    Interleaving tables = measured(work.factor, pixel_bytes);
    Scratch scratch;
    int32_t *packed, *kept, *spread_detail;  // kept: (rows, parts, stride)
    Pixel *numbers, *planes;
    Count first = 0, columns = 0;
};

template <class Pixel> bool combine(const NetSum &work) { return Combined<Pixel>(work).make(); }

}  // namespace net
}  // namespace
