// The vectors of an instruction set. Its file says before this how many `lanes` a vector of sums has, and after this
// - permuted: gives each lane the number at its index in `order`,
// - encoded: how `order` writes an index,
// - upper_half: of the products of numbers of 16 bits.

namespace {

template <class Number, int count> struct VectorOf {
    typedef Number type __attribute__((vector_size(count * sizeof(Number))));
};
template <class Number, class Sum> using Vector = typename VectorOf<Number, lanes<Sum>>::type;

// The integer type as wide as a sum.
template <class Sum>
using Index = std::conditional_t<sizeof(Sum) == 2, uint16_t, std::conditional_t<sizeof(Sum) == 4, int32_t, int64_t>>;

template <class Type, class Number> inline Type loaded(const Number *from)
{
    Type made;
    std::memcpy(&made, from, sizeof made);
    return made;
}

}  // namespace
