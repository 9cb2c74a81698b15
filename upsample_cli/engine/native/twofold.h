// Bilinear enlargement by two of pixels of 8 bits: nothing but rounding averages of bytes.
//
// Every output is (9a + 3b + 3c + d + 8) >> 4 of the four pixels around it: a is the nearest, b its neighbour along the
// row, c along the column, d the one across. The loops are plain, and the compiler makes vectors of them.

namespace {
namespace twofold {

constexpr Count chunk = 3072;  // numbers of a row at a time, so that two lines stay in the first cache

inline uint8_t average(uint8_t x, uint8_t y) { return (x + y + 1) >> 1; }

// Averages of averages round up several times; each term subtracts where the sum was rounded up once too often.
inline uint8_t blended(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t s = average(a, d), t = average(b, c);
    const uint8_t k = average(s, t) - (((a ^ d) | (b ^ c) | (s ^ t)) & 1);
    const uint8_t m = average(k, t) - ((((b ^ c) & (s ^ t)) | (k ^ t)) & 1);
    return average(a, m);
}

// The outputs left and right of each number of a row: `step` numbers before and after it are its neighbours.
inline void halves(const uint8_t *__restrict near, const uint8_t *__restrict far, Count count,
                   Count step, uint8_t *__restrict left, uint8_t *__restrict right)
{
    for (Count at = 0; at < count; at++)
        left[at] = blended(near[at], near[at - step], far[at], far[at - step]);
    for (Count at = 0; at < count; at++)
        right[at] = blended(near[at], near[at + step], far[at], far[at + step]);
}

typedef uint8_t Sixteen __attribute__((vector_size(16)));

// The bytes at some places of two vectors, counted through both.
template <int... places> inline Sixteen picked(Sixteen one, Sixteen other)
{
#if defined(__clang__)
    return __builtin_shufflevector(one, other, places...);
#else  // which has that function only since GCC 12
    return __builtin_shuffle(one, other, Sixteen{places...});
#endif
}

// Pixels of `bytes` bytes are interleaved in blocks of whole pixels and whole vectors.
template <int bytes> constexpr int block = bytes == 3 ? 24 : 16;

// Where the byte `at` of an interleaved block comes from: in the first vector, or sixteen places further in the second.
template <int bytes> constexpr int place(int at)
{
    return at / (2 * bytes) * bytes + at % bytes + (at / bytes % 2 ? 16 : 0);
}

// Sixteen bytes of an interleaved block, from `start`.
template <int bytes, int start, int... at>
inline void interleave_vector(const uint8_t *left, const uint8_t *right, uint8_t *out,
                              std::integer_sequence<int, at...>)
{
    constexpr int from = std::min(start / (2 * bytes) * bytes, block<bytes> - 16);
    const auto vector = picked<(place<bytes>(start + at) - from)...>(loaded<Sixteen>(left + from),
                                                                     loaded<Sixteen>(right + from));
    std::memcpy(out + start, &vector, sizeof vector);
}

// Pixels of `left` and `right` in turn.
template <int bytes>
inline void interleaved(const uint8_t *__restrict left, const uint8_t *__restrict right, Count count,
                        uint8_t *__restrict out)
{
    constexpr auto all = std::make_integer_sequence<int, 16>();
    Count at = 0;
    for (; at + block<bytes> <= count * bytes; at += block<bytes>, out += 2 * block<bytes>) {
        interleave_vector<bytes, 0>(left + at, right + at, out, all);
        interleave_vector<bytes, 16>(left + at, right + at, out, all);
        if constexpr (bytes == 3)
            interleave_vector<bytes, 32>(left + at, right + at, out, all);
    }
    for (; at < count * bytes; at += bytes, out += 2 * bytes) {
        std::memcpy(out, left + at, bytes);
        std::memcpy(out + bytes, right + at, bytes);
    }
}

// A tile of `rows` rows of `width` pixels, with a rim of one pixel around it.
inline void enlarge(const uint8_t *padded, Count rows, Count width, Count channels,
                    uint8_t *out, Count out_row_bytes)
{
    const Count stride = (width + 2) * channels, most = chunk / channels;
    uint8_t left[chunk], right[chunk];
    for (Count row = 0; row < 2 * rows; row++, out += out_row_bytes) {
        const uint8_t *near = padded + (row / 2 + 1) * stride + channels, *far = near + (row % 2 ? stride : -stride);
        for (Count done = 0; done < width; done += most) {
            const Count count = width - done < most ? width - done : most;
            halves(near + done * channels, far + done * channels, count * channels, channels, left, right);
            uint8_t *to = out + 2 * done * channels;
            switch (channels) {
            case 1: interleaved<1>(left, right, count, to); break;
            case 2: interleaved<2>(left, right, count, to); break;
            case 3: interleaved<3>(left, right, count, to); break;
            default: interleaved<4>(left, right, count, to);
            }
        }
    }
}

}  // namespace twofold
}  // namespace
