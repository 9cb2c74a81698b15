// The vectors of the compiler, for any processor: what the processor lacks is computed number by number.

#include "work.h"

namespace {
constexpr int vector_bytes = 16, piece_bytes = 16;
}

#include "vectors.h"

namespace {

inline Bytes gathered(const uint8_t *from, const Count *places) { return loaded<Bytes>(from + *places); }

inline Bytes shuffled(Bytes bytes, Bytes mask)
{
    uint8_t from[2 * vector_bytes] = {}, made[vector_bytes];  // through memory: faster than lane by lane
    store(bytes, from);
    const Bytes places = (mask >> 3 & 16) | (mask & 15);
    for (int at = 0; at < vector_bytes; at++)
        made[at] = from[places[at]];
    return loaded<Bytes>(made);
}

inline Bytes average(Bytes left, Bytes right) { return (left | right) - ((left ^ right) >> 1); }

inline Shorts average(Shorts left, Shorts right) { return (left | right) - ((left ^ right) >> 1); }

inline Shorts upper_half(Shorts left, Shorts right)
{
    using Wide = Vector<uint32_t, lanes<uint16_t>>;
    return __builtin_convertvector(__builtin_convertvector(left, Wide) * __builtin_convertvector(right, Wide) >> 16,
                                   Shorts);
}

inline Ints upper_half(Ints left, Ints right)
{
    using Wide = Vector<uint64_t, lanes<uint32_t>>;
    const auto wide = [](Ints numbers) { return __builtin_convertvector((Full<uint32_t>)numbers, Wide); };
    return (Ints)__builtin_convertvector(wide(left) * wide(right) >> 32, Full<uint32_t>);
}

// Two vectors as one, each number converted.
template <class Made, class Given> inline Made joined(Given front, Given back)
{
    constexpr int count = sizeof(Given) / sizeof(front[0]);
    Made made;
    for (int at = 0; at < count; at++) {
        made[at] = front[at];
        made[count + at] = back[at];
    }
    return made;
}

template <class Signed> inline Signed clipped(Signed numbers, Signed most)
{
    numbers = numbers > Signed{} ? numbers : Signed{};
    return numbers < most ? numbers : most;
}

inline Shorts narrowed(Ints front, Ints back)
{
    const Ints most = Ints{} + 0xFFFF;
    return joined<Shorts>(clipped(front, most), clipped(back, most));
}

inline Bytes narrowed(Shorts front, Shorts back)
{
    using Signed = Full<int16_t>;
    const Signed most = Signed{} + int16_t(0xFF);
    return joined<Bytes>(clipped((Signed)front, most), clipped((Signed)back, most));
}

inline Ints narrowed(Longs front, Longs back) { return joined<Ints>(front, back); }

inline Bytes clipped(const Ints (&numbers)[4])
{
    Ints made = {};
    for (int at = 0; at < 4; at++)
        made |= clipped(numbers[at], Ints{} + 255) << 8 * at;
    return (Bytes)made;
}

inline bool is_set(Bytes bytes)
{
    const Longs longs = (Longs)bytes;
    return longs[0] | longs[1];
}

struct PairSums {
    Ints sums;
    void add(Ints left, Ints right)
    {
        sums += (left << 16 >> 16) * (right << 16 >> 16) + (left >> 16) * (right >> 16);
    }
    Ints total() const { return sums; }
};

}  // namespace

#include "kernels.h"

constexpr Kernels portable_kernels = kernels_named("portable");
