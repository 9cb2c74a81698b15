// Enlargement and reduction to any size in one step: each output is a sum over neighbouring rows and columns, with
// weights of its own.
//
// Eight rows of outputs are computed together. The first step sums down the columns: it gives eight sums for each input
// column, one for each row, side by side. The second step sums these along the row, so a vector has the same column of
// eight rows. The last step turns the blocks of pixels around.
//
// Sums for 8-bit pixels without alpha are int32 after the first step. The second step is done in float32, with a proven
// bound for its error. Where this bound does not decide how the quotient is rounded, it is done again in float64. All
// other pixels have float64 sums. compiled_sizes.py checks that int32 and float64 hold all sums, so these are exact.

namespace {
namespace resample {

constexpr int lines = resampled_lines;
constexpr Count chunk_numbers = 288;  // of a row of outputs at a time, so that the sums stay in the L1 cache

template <class Number> constexpr int parts = lines / lanes<Number>;

// The numbers of one column, one for each line.
template <class Number> struct Lines {
    Full<Number> part[parts<Number>];

    static Lines loaded_from(const Number *from)
    {
        Lines made;
        for (int at = 0; at < parts<Number>; at++)
            made.part[at] = loaded<Full<Number>>(from + at * lanes<Number>);
        return made;
    }

    void store_to(Number *to) const
    {
        for (int at = 0; at < parts<Number>; at++)
            store(part[at], to + at * lanes<Number>);
    }

    void add(const Lines &numbers, Number weight)
    {
        for (int at = 0; at < parts<Number>; at++)
            part[at] += numbers.part[at] * weight;
    }
};

// The smallest part of the inputs that contains all inputs of some outputs.
struct Span {
    Count first, last;

    Span(const Resampling &work, Count start, Count stop)
    {
        const auto [low, high] = std::minmax_element(work.column_firsts + start, work.column_firsts + stop);
        first = *low;
        last = *high + work.column_taps;
    }
};

// Converts a part of an input row to numbers. With alpha, colour is multiplied by it.
template <class Pixel, class Sum, int Alpha>
void prepare(const Pixel *__restrict pixels, Count count, Sum *__restrict numbers)
{
    if constexpr (Alpha == 0) {
        for (Count at = 0; at < count; at++)
            numbers[at] = pixels[at];
    } else {
        for (Count at = 0; at < count; at += Alpha) {
            const Sum alpha = pixels[at + Alpha - 1];
            for (int channel = 0; channel < Alpha - 1; channel++)
                numbers[at + channel] = pixels[at + channel] * alpha;
            numbers[at + Alpha - 1] = alpha;
        }
    }
}

// The sums down the columns, for each number of the prepared rows, which are `stride` numbers apart.
template <class Sum>
void add_rows(const Sum *prepared, Count stride, Count taps, Count count, const Sum *weights, Sum *__restrict sums)
{
    constexpr int columns = 4;  // at a time
    for (Count at = 0; at < count; at += columns) {
        Lines<Sum> made[columns] = {};
        for (Count tap = 0; tap < taps; tap++) {
            const auto weight = Lines<Sum>::loaded_from(weights + tap * lines);
            for (int column = 0; column < columns; column++)
                made[column].add(weight, prepared[tap * stride + at + column]);
        }
        for (int column = 0; column < columns; column++)
            made[column].store_to(sums + (at + column) * lines);
    }
}

// The sums along the rows for some channels of one output. The next input is `step` numbers further.
template <class Number, int Channels>
inline void add_columns(const Number *from, Count step, const Number *weights, Count taps, Lines<Number> *made)
{
    std::fill_n(made, Channels, Lines<Number>{});
    for (Count tap = 0; tap < taps; tap++, from += step)
        for (int channel = 0; channel < Channels; channel++)
            made[channel].add(Lines<Number>::loaded_from(from + channel * lines), weights[tap]);
}

inline void store_whole(const Lines<float> &quotients, int32_t *out)
{
    for (int at = 0; at < parts<float>; at++)
        store(__builtin_convertvector(quotients.part[at], Ints), out + at * lanes<int32_t>);
}

inline void store_whole(const Lines<double> &quotients, int32_t *out)
{
    for (int at = 0; at < parts<double>; at += 2)
        store(whole(quotients.part[at], quotients.part[at + 1]), out + at / 2 * lanes<int32_t>);
}

inline bool any(const Lines<int32_t> &found)
{
    uint64_t words[lines / 2], all = 0;
    std::memcpy(words, &found, sizeof words);
    for (const uint64_t word : words)
        all |= word;
    return all;
}

// From float64 sums along the rows to quotients, for 8-bit and 16-bit pixels.
template <class Pixel, int Alpha> struct Quotients {
    const Finish<Pixel, double, true> finish;
    const bool alpha_multiplies;

    explicit Quotients(const Division &by) : finish(by), alpha_multiplies(by.alpha_multiplies) {}

    template <int Channels> void store(const Lines<double> *sums, int32_t *out) const
    {
        for (int channel = 0; channel < Channels; channel++) {
            Lines<double> made;
            for (int at = 0; at < parts<double>; at++)
                made.part[at] = Alpha && channel < Alpha - 1
                                    ? unpremultiplied(sums[channel].part[at], sums[Alpha - 1].part[at])
                                    : finish(sums[channel].part[at]);
            store_whole(made, out + channel * lines);
        }
    }

    Full<double> unpremultiplied(Full<double> colour, Full<double> alpha) const
    {
        const Full<double> zero = {}, one = zero + 1.0, dividend = colour + colour + alpha, twice = alpha + alpha;
        const Full<double> divisor = alpha > zero ? twice : one;
        const Full<double> quotient = alpha_multiplies ? (dividend + 0.5) * (one / divisor) : dividend / divisor;
        return finish.clipped(alpha > zero ? quotient : zero);
    }
};

// The second step in float64. Alpha is the number of channels if the last one is alpha, otherwise 0.
template <class Pixel, int Alpha> class ExactColumns {
public:
    using Sum = double;
    static constexpr int alpha = Alpha;

    ExactColumns(const Resampling &work, Count, Scratch &) : work(work), quotients(work.division) {}

    void take(const double *sums, Count) { line = sums; }

    // The quotients of some channels of an output, whose inputs start at the number `at` of the line.
    template <int Channels> void make(Count at, Count column, int32_t *out) const
    {
        Lines<double> made[Channels];
        add_columns<double, Channels>(line + at * lines, work.channels * lines,
                                      work.column_weights + column * work.column_taps, work.column_taps, made);
        quotients.template store<Channels>(made, out);
    }

private:
    const Resampling &work;
    const Quotients<Pixel, Alpha> quotients;
    const double *line;
};

// The second step in float32, and again in float64 for outputs that this does not decide.
template <class Pixel> class CheckedColumns {
public:
    using Sum = int32_t;
    static constexpr int alpha = 0;

    CheckedColumns(const Resampling &work, Count most_numbers, Scratch &scratch)
        : work(work), quotients(work.division), line(scratch.room<float>(most_numbers, lines)),
          weights(scratch.room<float>(work.width, work.column_taps))
    {
        if (!scratch.is_full)
            for (Count at = 0; at < work.width * work.column_taps; at++)
                weights[at] = work.column_weights[at] / work.division.divisor;
    }

    void take(const int32_t *sums, Count count)
    {
        exact_line = sums;
        for (Count at = 0; at < count * lines; at++)
            line[at] = sums[at];
    }

    template <int Channels> void make(Count at, Count column, int32_t *out) const
    {
        constexpr float magic = 0x1.8p23;  // after adding it, no bits are left for fractions
        const Full<float> zero = {}, most = zero + (std::numeric_limits<Pixel>::max() + 0.5f);
        const float uncertainty = work.uncertainty;
        Lines<float> made[Channels];
        Lines<int32_t> is_close = {};
        add_columns<float, Channels>(line + at * lines, work.channels * lines, weights + column * work.column_taps,
                                     work.column_taps, made);
        for (int channel = 0; channel < Channels; channel++) {
            for (int part = 0; part < parts<float>; part++) {
                Full<float> &number = made[channel].part[part];
                number += 0.5f;
                const Full<float> distance = number - (number + magic - magic);
                is_close.part[part] |= (distance < uncertainty) & (distance > -uncertainty);
                number = number > zero ? number : zero;
                number = number < most ? number : most;
            }
            store_whole(made[channel], out + channel * lines);
        }
        if (any(is_close))
            make_exactly<Channels>(at, column, out);
    }

private:
    template <int Channels> __attribute__((noinline)) void make_exactly(Count at, Count column, int32_t *out) const
    {
        using Wholes = Vector<int32_t, lanes<double>>;
        const double *weight = work.column_weights + column * work.column_taps;
        Lines<double> made[Channels] = {};
        for (Count tap = 0; tap < work.column_taps; tap++)
            for (int channel = 0; channel < Channels; channel++) {
                const int32_t *from = exact_line + (at + tap * work.channels + channel) * lines;
                for (int part = 0; part < parts<double>; part++)
                    made[channel].part[part] +=
                        __builtin_convertvector(loaded<Wholes>(from + part * lanes<double>), Full<double>) * weight[tap];
            }
        quotients.template store<Channels>(made, out);
    }

    const Resampling &work;
    const Quotients<Pixel, 0> quotients;
    float *line, *weights;
    const int32_t *exact_line;
};

// Alternates the pixels of two vectors, beginning with the pixel `start` of each.
template <int start, class Pixels, int... at>
inline Pixels zipped(Pixels one, Pixels other, std::integer_sequence<int, at...>)
{
#if defined(__clang__)
    return __builtin_shufflevector(one, other, (start + at / 2 + at % 2 * lines)...);
#else
    return __builtin_shuffle(one, other, Pixels{(start + at / 2 + at % 2 * lines)...});
#endif
}

// Turns a block around: from eight columns of eight lines to eight lines of eight columns.
template <class Pixel> inline void turn(const Pixel *columns, Vector<Pixel, lines> *made)
{
    using Pixels = Vector<Pixel, lines>;
    constexpr auto all = std::make_integer_sequence<int, lines>();
    Pixels before[lines];
    std::memcpy(made, columns, sizeof before);
    for (int step = 1; step < lines; step *= 2) {
        std::copy_n(made, lines, before);
        for (int pair = 0; pair < lines / 2; pair++) {
            made[2 * pair] = zipped<0>(before[pair], before[pair + lines / 2], all);
            made[2 * pair + 1] = zipped<lines / 2>(before[pair], before[pair + lines / 2], all);
        }
    }
}

// Writes the lines of a chunk of `count` numbers.
template <class Pixel>
void write_lines(const int32_t *quotients, Pixel *columns, Count count, Count rows, char *out, Count row_bytes)
{
    for (Count at = 0; at < count * lines; at += block)
        store_block(reinterpret_cast<const Ints *>(quotients + at), columns + at);
    for (Count at = 0; at < count; at += lines, out += lines * sizeof(Pixel)) {
        Vector<Pixel, lines> made[lines];
        turn(columns + at * lines, made);
        const Count bytes = std::min<Count>(lines, count - at) * sizeof(Pixel);
        for (Count row = 0; row < rows; row++)
            if (bytes == sizeof made[row])
                std::memcpy(out + row * row_bytes, &made[row], sizeof made[row]);
            else
                std::memcpy(out + row * row_bytes, &made[row], bytes);
    }
}

template <class Pixel, class Columns> void make_columns(const Columns &columns, const Resampling &work, Count first,
                                                        Count start, Count stop, int32_t *out)
{
    const Count channels = work.channels;
    for (Count column = start; column < stop; column++, out += channels * lines) {
        const Count at = (work.column_firsts[column] - first) * channels;
        if constexpr (Columns::alpha > 0) {
            columns.template make<Columns::alpha>(at, column, out);
        } else if (channels == 3) {
            columns.template make<3>(at, column, out);
        } else if (channels == 4) {
            columns.template make<4>(at, column, out);
        } else {
            for (Count channel = 0; channel < channels; channel++)
                columns.template make<1>(at + channel, column, out + channel * lines);
        }
    }
}

// Makes all rows of outputs. Returns false if there is not enough memory.
template <class Pixel, class Columns> bool make_rows(const Resampling &work)
{
    using Sum = typename Columns::Sum;
    const Count channels = work.channels, most = std::max<Count>(1, chunk_numbers / channels);
    Count widest = 0;
    for (Count start = 0; start < work.width; start += most) {
        const Span span(work, start, std::min(start + most, work.width));
        widest = std::max(widest, span.last - span.first);
    }
    const Count numbers = widest * channels + block, groups = (work.rows + lines - 1) / lines;
    Scratch scratch;
    Columns columns(work, numbers, scratch);
    Sum *prepared = scratch.room<Sum>(work.row_taps, numbers), *sums = scratch.room<Sum>(numbers, lines);
    Sum *weights = scratch.room<Sum>(work.row_taps, lines);
    int32_t *quotients = scratch.room<int32_t>(most * channels + block, lines);
    Pixel *turned = scratch.room<Pixel>(most * channels + block, lines);
    if (scratch.is_full)
        return false;
    for (Count group = 0; group < groups; group++) {
        for (Count at = 0; at < work.row_taps * lines; at++)
            weights[at] = work.row_weights[group * work.row_taps * lines + at];
        for (Count start = 0; start < work.width; start += most) {
            const Count stop = std::min(start + most, work.width), row = group * lines;
            const Span span(work, start, stop);
            const Count count = (span.last - span.first) * channels;
            for (Count tap = 0; tap < work.row_taps; tap++) {
                const Count at = (work.row_firsts[group] + tap) * work.source_width + span.first;
                prepare<Pixel, Sum, Columns::alpha>(static_cast<const Pixel *>(work.source) + at * channels, count,
                                                    prepared + tap * numbers);
            }
            add_rows(prepared, numbers, work.row_taps, count, weights, sums);
            columns.take(sums, count);
            make_columns<Pixel>(columns, work, span.first, start, stop, quotients);
            write_lines(quotients, turned, (stop - start) * channels, std::min<Count>(lines, work.rows - row),
                        work.out + row * work.out_row_bytes + start * channels * sizeof(Pixel), work.out_row_bytes);
        }
    }
    return true;
}

template <class Pixel> bool checked(const Resampling &work) { return make_rows<Pixel, CheckedColumns<Pixel>>(work); }

template <class Pixel> bool exact(const Resampling &work)
{
    if (!work.has_alpha)
        return make_rows<Pixel, ExactColumns<Pixel, 0>>(work);
    return work.channels == 4 ? make_rows<Pixel, ExactColumns<Pixel, 4>>(work)
                              : make_rows<Pixel, ExactColumns<Pixel, 2>>(work);
}

}  // namespace resample
}  // namespace
