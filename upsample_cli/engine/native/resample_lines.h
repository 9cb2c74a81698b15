// Rows of numbers that resample.h sums along the rows together: how they are turned around, and summed.

namespace {
namespace resample {

template <class Number> constexpr int lines = std::max(8, lanes<Number>);

template <class Number> using Whole = std::conditional_t<sizeof(Number) == 4, int32_t, int64_t>;

// A vector of equal numbers.
template <class Number> inline Full<Number> spread(Number number) { return number - Full<Number>{}; }

// Multiplies colour by alpha, unless it was multiplied before. Returns whether any alpha is not zero.
template <int Alpha, class Number> bool multiply_by_alpha(Number *turned, Count count, bool is_multiplied)
{
    constexpr int parts = lines<Number> / lanes<Number>;
    Full<Whole<Number>> is_visible = {};
    for (Number *pixel = turned; pixel < turned + count * lines<Number>; pixel += Alpha * lines<Number>)
        for (int part = 0; part < parts; part++) {
            Number *numbers = pixel + part * lanes<Number>;
            const auto alpha = loaded<Full<Number>>(numbers + (Alpha - 1) * lines<Number>);
            is_visible |= alpha != Full<Number>{};
            if (!is_multiplied)
                for (int channel = 0; channel < Alpha - 1; channel++)
                    store(loaded<Full<Number>>(numbers + channel * lines<Number>) * alpha, numbers + channel * lines<Number>);
        }
    return is_set((Bytes)is_visible);
}

// Alternates the numbers of two vectors within each 16 bytes, beginning with the number `start` of each.
template <int start, class Number, int... at>
inline Full<Number> zipped_pieces(Full<Number> one, Full<Number> other, std::integer_sequence<int, at...>)
{
    constexpr int side = 16 / sizeof(Number), all = lanes<Number>;
#if defined(__clang__)
    return __builtin_shufflevector(one, other, (at / side * side + start + at % side / 2 + at % 2 * all)...);
#else
    return __builtin_shuffle(one, other, Full<Whole<Number>>{(at / side * side + start + at % side / 2 + at % 2 * all)...});
#endif
}

// Turns rows around: the numbers of each become a column. Rows are rounded up to `lanes`, columns to 16 bytes.
template <class Number>
void turn_around(const Number *from, Count from_step, Count rows, Count columns, Number *to, Count to_step)
{
    constexpr int side = 16 / sizeof(Number);
    constexpr auto all = std::make_integer_sequence<int, lanes<Number>>();
    Count places[vector_bytes / 16];
    for (int at = 0; at < vector_bytes / 16; at++)
        places[at] = at * side * from_step * static_cast<Count>(sizeof(Number));
    for (Count row = 0; row < rows; row += lanes<Number>)
        for (Count column = 0; column < columns; column += side) {
            Full<Number> made[side], before[side];
            for (int at = 0; at < side; at++)
                made[at] = (Full<Number>)gathered((const uint8_t *)(from + (row + at) * from_step + column), places);
            for (int done = 1; done < side; done *= 2) {
                std::copy_n(made, side, before);
                for (int pair = 0; pair < side / 2; pair++) {
                    made[2 * pair] = zipped_pieces<0, Number>(before[pair], before[pair + side / 2], all);
                    made[2 * pair + 1] = zipped_pieces<side / 2, Number>(before[pair], before[pair + side / 2], all);
                }
            }
            for (int at = 0; at < side; at++)
                store(made[at], to + (column + at) * to_step + row);
        }
}

// How many outputs are summed along the rows together, so that there are enough independent sums.
template <class Number, int Channels>
constexpr int columns_together
    = Channels ? std::max<int>(1, 8 * lanes<Number> / lines<Number> / std::max(1, Channels)) : 1;

// The sums along the rows for some channels of some outputs. The next input is `step` numbers further.
template <int Channels, int Columns, class Number>
inline void add_columns(const Number *const *starts, Count step, const Number *weights, Count taps, Number *out)
{
    constexpr int vectors = Channels * lines<Number> / lanes<Number>;
    Full<Number> made[Columns * vectors] = {};
    for (Count tap = 0; tap < taps; tap++)
        for (int column = 0; column < Columns; column++) {
            const Full<Number> weight = spread(weights[column * taps + tap]);
            const Number *from = starts[column] + tap * step;
            for (int vector = 0; vector < vectors; vector++)
                made[column * vectors + vector] += loaded<Full<Number>>(from + vector * lanes<Number>) * weight;
        }
    for (int vector = 0; vector < Columns * vectors; vector++)
        store(made[vector], out + vector * lanes<Number>);
}

}  // namespace resample
}  // namespace
