// The vectors of an instruction set. The including file defines `vector_bytes` and `piece_bytes` before this header, and
// these functions after it:
// - gathered: a vector of 16 bytes from each of several offsets,
// - shuffled: within each `piece_bytes` bytes, those at the positions in `mask`, or 0 where that is 0x80,
// - average: the average of two vectors of 8-bit or 16-bit numbers, rounded half up,
// - upper_half: the upper half of the products of unsigned 16-bit or 32-bit numbers,
// - clipped: four vectors of 32-bit numbers, clipped to bytes; those of a lane are side by side,
// - narrowed: two vectors of signed numbers converted to one with unsigned numbers half as wide, clipped; of 64 bits, the
//   lower halves,
// - is_set: whether any bit is set,
// - PairSums: sums of the products of two vectors of 32-bit lanes, each with two 16-bit numbers.

namespace {

template <class Number, int count> struct VectorOf {
    typedef Number type __attribute__((vector_size(count * sizeof(Number))));
};
template <class Number, int count> using Vector = typename VectorOf<Number, count>::type;
template <class Number> constexpr int lanes = vector_bytes / sizeof(Number);
template <class Number> using Full = Vector<Number, lanes<Number>>;

using Bytes = Full<uint8_t>;
using Shorts = Full<uint16_t>;
using Ints = Full<int32_t>;
using Longs = Full<int64_t>;

template <class Type, class Number> inline Type loaded(const Number *from)
{
    Type made;
    std::memcpy(&made, from, sizeof made);
    return made;
}

template <class Type, class Number> inline void store(Type vector, Number *to) { std::memcpy(to, &vector, sizeof vector); }

// Alternates the numbers of two vectors, beginning with the number `start` of each.
template <int start, class Numbers, int... at>
inline Numbers zipped(Numbers one, Numbers other, std::integer_sequence<int, at...>)
{
    constexpr int side = sizeof...(at);
#if defined(__clang__)
    return __builtin_shufflevector(one, other, (start + at / 2 + at % 2 * side)...);
#else
    using Places = Vector<std::conditional_t<sizeof(one[0]) == 8, int64_t,
                          std::conditional_t<sizeof(one[0]) == 4, int32_t,
                          std::conditional_t<sizeof(one[0]) == 2, int16_t, int8_t>>>, side>;
    return __builtin_shuffle(one, other, Places{(start + at / 2 + at % 2 * side)...});
#endif
}

inline uint8_t average(uint8_t left, uint8_t right) { return (left + right + 1) >> 1; }

inline uint16_t average(uint16_t left, uint16_t right) { return (left + right + 1) >> 1; }

}  // namespace
