// Sums along a row of inputs, in the order of the outputs.
//
// A vector of outputs takes its inputs from several pixels and its weights from several phases. The pattern repeats after
// a few vectors (the period), so tables list the inputs and weights of each vector of one period.
//
// From one pixel to the next, the first input stays or moves on by one pixel (the module checks that). So `piece_bytes`
// bytes of outputs never take inputs further apart than that, unless a pixel is larger. Such pixels are computed one by one.

namespace {

constexpr Count least_period = 8;  // vectors: a loop over one or two would cost more than its sums

template <class Sum, int Taps> struct RowPattern {
    const Work &work;
    Count products, step;  // step: the numbers from one input of a sum to the next
    Count period = 0;      // in vectors; 0 for large pixels
    Count inputs;          // of a period
    Count *from;           // (period, halves): offset of the first input, in bytes; or (factor), in numbers
    Bytes *masks;          // (period)
    Full<Sum> *weights;    // (period, products); or (factor, products)

    RowPattern(const Work &work, Count step, Scratch &scratch)
        : work(work), products(products_of<Sum>(Taps ? Taps : work.taps)), step(step)
    {
        if (step * static_cast<Count>(sizeof(Sum)) > piece_bytes) {
            from = scratch.room<Count>(work.factor, 1);
            weights = scratch.room<Full<Sum>>(work.factor, products);
            if (!scratch.is_full)
                fill_large();
            return;
        }
        Count bytes = repeated(work.factor * step * sizeof(Sum));
        while (bytes < least_period * vector_bytes)
            bytes *= 2;
        period = bytes / vector_bytes;
        inputs = bytes / sizeof(Sum) / work.factor;
        from = scratch.room<Count>(period, halves);
        masks = scratch.room<Bytes>(1, period);
        weights = scratch.room<Full<Sum>>(period, products);
        if (!scratch.is_full)
            fill();
    }

    void fill_large()
    {
        for (Count phase = 0; phase < work.factor; phase++)
            from[phase] = work.firsts[phase] * step;
        for (Count at = 0; at < work.factor * products; at++)
            weights[at] = Full<Sum>{} + weight_of<Sum>(work, at / products, at % products);
    }

    void fill()
    {
        constexpr Count numbers = piece_bytes / sizeof(Sum);
        auto *mask = reinterpret_cast<uint8_t *>(masks);
        auto *weight = reinterpret_cast<Sum *>(weights);
        for (Count piece = 0; piece < period * halves; piece++, mask += piece_bytes) {
            Count places[numbers];
            for (Count at = 0; at < numbers; at++) {
                const Count output = piece * numbers + at, phase = output / step % work.factor;
                places[at] = (output / step / work.factor + work.firsts[phase]) * step + output % step;
                for (Count product = 0; product < products; product++)
                    weight[(output / lanes<Sum> * products + product) * lanes<Sum> + output % lanes<Sum>]
                        = weight_of<Sum>(work, phase, product);
            }
            const Count least = *std::min_element(places, places + numbers);
            from[piece] = least * sizeof(Sum);
            for (Count at = 0; at < piece_bytes; at++)
                mask[at] = (places[at / sizeof(Sum)] - least) * sizeof(Sum) + at % sizeof(Sum);
        }
    }

    // Computes `count` sums and writes whole vectors. The same for each of several parts: their inputs are `stride`
    // numbers apart, their sums `length`.
    template <int parts> void add(const Sum *numbers, Count stride, Count count, Sum *__restrict out, Count length) const
    {
        const Sum *const end = out + count;
        if (period == 0)  // a single part
            return step == 3 ? add_colours<3>(numbers, count, out)
                   : step == 4 ? add_colours<4>(numbers, count, out)
                               : add_large(numbers, out, end);
        const int known = Taps ? products_of<Sum>(Taps) : products;
        const Count next_bytes = Products<Sum>::inputs * step * sizeof(Sum), part_bytes = stride * sizeof(Sum);
        const Count period_bytes = inputs * sizeof(Sum), vectors = period;
        const Bytes *const all_masks = masks;
        const auto *bytes = reinterpret_cast<const uint8_t *>(numbers);
        for (; out < end; bytes += period_bytes) {
            const Count *places = from;
            const Full<Sum> *weight = weights;
            for (Count vector = 0; vector < vectors && out < end; vector++, out += lanes<Sum>) {
                const Bytes mask = all_masks[vector];
                for (int part = 0; part < parts; part++) {
                    const uint8_t *input = bytes + part * part_bytes;
                    Products<Sum> made((Full<Sum>)shuffled(taken(input, places), mask), weight[0]);
                    for (int at = 1; at < known; at++)
                        made.add((Full<Sum>)shuffled(taken(input + at * next_bytes, places), mask), weight[at]);
                    store(kept(made.total()), out + part * length);
                }
                places += halves;
                weight += known;
            }
        }
    }

    // Large pixels of a few channels, whose loops are unrolled: one phase after the other.
    template <int channels> void add_colours(const Sum *numbers, Count count, Sum *__restrict out) const
    {
        const int known = Taps ? Taps : products;  // of one input each
        const Count phases = work.factor, all = count / (phases * channels);
        for (Count phase = 0; phase < phases; phase++) {
            const Full<Sum> *const weight = weights + phase * known;
            const Sum *__restrict input = numbers + from[phase];
            Sum *__restrict to = out + phase * channels;
            for (Count at = 0; at < all; at++, input += channels, to += phases * channels) {
                for (int channel = 0; channel < channels; channel += lanes<Sum>) {
                    Full<Sum> sum = loaded<Full<Sum>>(input + channel) * weight[0];
                    for (int tap = 1; tap < known; tap++)
                        sum += loaded<Full<Sum>>(input + channel + tap * channels) * weight[tap];
                    std::memcpy(to + channel, &sum, std::min<int>(lanes<Sum>, channels - channel) * sizeof(Sum));
                }
            }
        }
    }

    // The numbers after the end of a pixel are overwritten by the next pixel.
    void add_large(const Sum *numbers, Sum *__restrict out, const Sum *end) const
    {
        const int known = Taps ? Taps : products;  // of one input each
        const Count apart = step, phases = work.factor;
        const Count *const places = from;
        for (; out < end; numbers += apart) {
            const Full<Sum> *weight = weights;
            for (Count phase = 0; phase < phases; phase++, weight += known) {
                const Sum *input = numbers + places[phase];
                Count at = 0;
                do {  // usually once
                    Full<Sum> sum = loaded<Full<Sum>>(input + at) * weight[0];
                    for (int tap = 1; tap < known; tap++)
                        sum += loaded<Full<Sum>>(input + at + tap * apart) * weight[tap];
                    store(sum, out + at);
                    at += lanes<Sum>;
                } while (at < apart);
                out += apart;
            }
        }
    }
};

}  // namespace
