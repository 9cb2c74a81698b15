// A separable transposed convolution over whole pixels: down the columns first, then along the rows, then one division.
//
// A row of outputs is computed a vector at a time: each lane takes one number of the line of column sums for each tap.
// The numbers and their weights repeat after a few vectors, the period. separable.py makes the tables.

namespace {

// The layer's numbers of one input row: its pixels, colour multiplied by alpha where there is alpha.
template <class Pixel, class Sum, bool HasAlpha> void prepare(const Work &work, Count row, Sum *numbers)
{
    const Pixel *pixels = static_cast<const Pixel *>(work.padded) + row * work.row_numbers;
    if constexpr (!HasAlpha) {
        for (Count at = 0; at < work.row_numbers; at++)
            numbers[at] = pixels[at];
    } else {
        const Count channels = work.channels;
        for (Count at = 0; at < work.row_numbers; at += channels) {
            const Sum alpha = pixels[at + channels - 1];
            for (Count channel = 0; channel < channels - 1; channel++)
                numbers[at + channel] = pixels[at + channel] * alpha;
            numbers[at + channels - 1] = alpha;
        }
    }
}

// Whole numbers as pixels, through 16 bits: from 32 bits to 8 in one step, GCC converts them one by one on AVX2.
template <class Pixel, class Sum> Vector<Pixel, Sum> as_pixels(Vector<int32_t, Sum> numbers)
{
    return __builtin_convertvector(__builtin_convertvector(numbers, Vector<uint16_t, Sum>), Vector<Pixel, Sum>);
}

// A vector of sums as pixels: quotients rounded half up, clipped to the range. See exact.finish.
template <class Pixel, class Sum, bool HasAlpha>
[[gnu::always_inline]] inline Vector<Pixel, Sum> finished(Division by, Vector<Sum, Sum> sums,
                                                          Vector<Index<Sum>, Sum> alpha_lanes,
                                                          Vector<Index<Sum>, Sum> is_alpha)
{
    constexpr Sum largest = std::numeric_limits<Pixel>::max();
    const Vector<Sum, Sum> zero = {};
    const Sum whole = static_cast<Sum>(by.divisor), half = static_cast<Sum>(static_cast<int64_t>(by.divisor) / 2);
    if constexpr (std::is_same_v<Sum, uint16_t>) {
        const auto quotients = upper_half(sums + half, zero + static_cast<Sum>(by.multiplier)) >> by.shift;
        return __builtin_convertvector(quotients, Vector<Pixel, Sum>);
    } else {
        Vector<Sum, Sum> dividends = sums + half, divisors = zero + whole;
        if constexpr (HasAlpha) {
            Vector<Sum, Sum> alpha = permuted<Sum>(sums, alpha_lanes), colour = sums;
            if (by.overshoots) {
                alpha = alpha > zero ? alpha : zero;
                colour = alpha > zero ? colour : zero;
            }
            const auto twice = alpha + alpha;
            dividends = is_alpha != 0 ? dividends : colour + colour + alpha;
            divisors = is_alpha != 0 ? divisors : twice > zero ? twice : zero + Sum(1);
        }
        if (by.overshoots)
            dividends = dividends > zero ? dividends : zero;
        if constexpr (std::is_same_v<Sum, double>) {
            auto quotients = dividends / divisors;
            if (by.overshoots)
                quotients = quotients < zero + largest ? quotients : zero + largest;
            return as_pixels<Pixel, Sum>(__builtin_convertvector(quotients, Vector<int32_t, Sum>));
        } else {
            const auto most = zero + (largest + 1);
            if (!HasAlpha && by.shift) {
                auto shifted = dividends >> by.shift;
                if (by.overshoots)
                    shifted = shifted < most ? shifted : most - 1;
                return as_pixels<Pixel, Sum>(shifted);
            }
            // The quotient of floats is off by less than one: the remainder corrects it.
            using Floats = Vector<float, Sum>;
            Floats ratio = __builtin_convertvector(dividends, Floats);
            if constexpr (HasAlpha)
                ratio /= __builtin_convertvector(divisors, Floats);
            else
                ratio *= static_cast<float>(1 / by.divisor);
            auto quotients = __builtin_convertvector(ratio, Vector<int32_t, Sum>);
            if (by.overshoots)
                quotients = quotients < most ? quotients : most;
            const auto rest = dividends - quotients * divisors;
            quotients -= rest >= divisors;
            quotients += rest < zero;
            if (by.overshoots)
                quotients = quotients < most ? quotients : most - 1;
            return as_pixels<Pixel, Sum>(quotients);
        }
    }
}

// All rows of a tile. Taps is the number of inputs of an output along an axis, or 0 to use `work.taps`. Inlined into one
// function for all numbers of taps, it has too few registers and is up to a fifth slower.
template <class Pixel, class Sum, int Taps, bool HasAlpha>
[[gnu::noinline]] void enlarge_rows(const Work &work, void *scratch)
{
    constexpr int count = lanes<Sum>;
    const int taps = Taps ? Taps : static_cast<int>(work.taps);
    // Copies, because for all that the compiler knows an output overwrites a setting.
    const Count stride = work.line_numbers, channels = work.channels, period = work.period, advance = work.advance;
    const Count row_numbers = work.row_numbers, row_outputs = work.row_outputs;
    const Division division = work.division;
    Sum *kept = static_cast<Sum *>(scratch), *line = kept + work.window * stride;
    auto *order = reinterpret_cast<Index<Sum> *>(line + stride);
    for (int at = 0; at < (period + 1) * count; at++)
        order[at] = encoded<Sum>(static_cast<const Index<Sum> *>(work.order)[at] & (count - 1));
    using Order = Vector<Index<Sum>, Sum>;
    const auto alpha_lanes = loaded<Order>(order + period * count);
    Order is_alpha;
    for (int at = 0; at < count; at++)
        is_alpha[at] = at % channels == channels - 1;
    const Sum *column_weights = static_cast<const Sum *>(work.column_weights);

    Count prepared = 0;
    for (Count row = 0; row < work.rows; row++) {
        for (; prepared < row + work.window; prepared++)
            prepare<Pixel, Sum, HasAlpha>(work, prepared, kept + prepared % work.window * stride);
        for (int phase = 0; phase < work.factor; phase++) {
            const Sum *weights = static_cast<const Sum *>(work.row_weights) + phase * work.taps;
            const Count first = row + work.first_rows[phase];
            auto numbers = [&](int tap) { return kept + (first + tap) % work.window * stride; };
            if constexpr (Taps == 2) {
                const Sum *above = numbers(0), *below = numbers(1), left = weights[0], right = weights[1];
                for (Count at = 0; at < row_numbers; at++)
                    line[at] = above[at] * left + below[at] * right;
            } else {
                for (int tap = 0; tap < taps; tap++) {
                    const Sum *taken = numbers(tap), weight = weights[tap];
                    for (Count at = 0; at < row_numbers; at++)
                        line[at] = (tap ? line[at] : 0) + taken[at] * weight;
                }
            }
            Pixel *out = reinterpret_cast<Pixel *>(work.out + (row * work.factor + phase) * work.out_row_bytes);
            const Sum *from = line;
            for (Count done = 0; done < row_outputs; from += advance) {
                for (int part = 0; part < period && done < row_outputs; part++, done += count) {
                    const auto lane_order = loaded<Order>(order + part * count);
                    Vector<Sum, Sum> sums = {};
                    for (int tap = 0; tap < taps; tap++) {
                        const Sum *at = from + work.first_columns[part] + tap * channels;
                        sums += permuted<Sum>(loaded<Vector<Sum, Sum>>(at), lane_order)
                                * loaded<Vector<Sum, Sum>>(column_weights + (part * taps + tap) * count);
                    }
                    const auto pixels = finished<Pixel, Sum, HasAlpha>(division, sums, alpha_lanes, is_alpha);
                    const Count left = std::min<Count>(count, row_outputs - done);
                    if (left == count)
                        std::memcpy(out + done, &pixels, sizeof pixels);
                    else
                        std::memcpy(out + done, &pixels, left * sizeof(Pixel));
                }
            }
        }
    }
}

template <class Pixel, class Sum, bool HasAlpha> void enlarge_all(const Work &work, void *scratch)
{
    switch (work.taps) {
    case 2: return enlarge_rows<Pixel, Sum, 2, HasAlpha>(work, scratch);
    case 4: return enlarge_rows<Pixel, Sum, 4, HasAlpha>(work, scratch);
    default: enlarge_rows<Pixel, Sum, 0, HasAlpha>(work, scratch);
    }
}

template <class Pixel, class Sum> void *enlarge_tile(const Work &work)
{
    const Count kept = product(work.window + 1, work.line_numbers), orders = (work.period + 1) * lanes<Sum>;
    if (kept > most_count - orders)
        return nullptr;
    void *scratch = std::calloc(kept + orders, sizeof(Sum));  // a vector of a row's last numbers reaches past them
    if (!scratch)
        return nullptr;
    if constexpr (!std::is_same_v<Sum, uint16_t>)
        if (work.has_alpha)
            return enlarge_all<Pixel, Sum, true>(work, scratch), scratch;
    enlarge_all<Pixel, Sum, false>(work, scratch);
    return scratch;
}

}  // namespace
