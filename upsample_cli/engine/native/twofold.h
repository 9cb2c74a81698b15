// Bilinear enlargement by two, only with rounding averages of the 8-bit or 16-bit numbers of the pixels.
//
// Every output is (9a + 3b + 3c + d + 8) >> 4 of the four pixels around it: a is the nearest, b its neighbour along the
// row, c its neighbour along the column, and d the diagonal one.

namespace {
namespace twofold {

constexpr Count chunk = 3072;  // numbers of a row at a time, so that two lines stay in the L1 cache

// Averages of averages round up several times. Each term subtracts 1 where an average was rounded up once too often.
// Numbers is a number or a vector of them.
template <class Numbers> inline Numbers blended(Numbers a, Numbers b, Numbers c, Numbers d)
{
    const Numbers s = average(a, d), t = average(b, c);
    const Numbers k = average(s, t) - (((a ^ d) | (b ^ c) | (s ^ t)) & 1);
    const Numbers m = average(k, t) - ((((b ^ c) & (s ^ t)) | (k ^ t)) & 1);
    return average(a, m);
}

template <class Numbers, class Number>
inline void blend_at(const Number *near, const Number *far, Count step, Number *out)
{
    store(blended(loaded<Numbers>(near), loaded<Numbers>(near + step), loaded<Numbers>(far), loaded<Numbers>(far + step)),
          out);
}

// The outputs next to each number of a row, towards `near[at + step]`.
template <class Number> void blend(const Number *near, const Number *far, Count count, Count step, Number *out)
{
    constexpr Count vector = lanes<Number>;
    Count at = 0;
    for (; at + vector <= count; at += vector)
        blend_at<Full<Number>>(near + at, far + at, step, out + at);
    if (at < count && count >= vector) {  // the last vector ends where the row does, over some that are computed
        at = count - vector;
        return blend_at<Full<Number>>(near + at, far + at, step, out + at);
    }
    for (; at < count; at++)
        blend_at<Number>(near + at, far + at, step, out + at);
}

using Piece = Vector<uint8_t, piece_bytes>;

// The bytes at some positions of two vectors, counted through both.
template <int... positions> inline Piece picked(Piece one, Piece other)
{
#if defined(__clang__)
    return __builtin_shufflevector(one, other, positions...);
#else  // which has that function only since GCC 12
    return __builtin_shuffle(one, other, Piece{positions...});
#endif
}

// Pixels of `bytes` bytes are interleaved in blocks of whole pixels and whole vectors.
template <int bytes> constexpr int block_bytes = bytes % 3 == 0 ? piece_bytes * 3 / 2 : piece_bytes;

// Where the byte `at` of an interleaved block comes from: in the first vector, or so many positions further in the second.
template <int bytes> constexpr int position(int at)
{
    return at / (2 * bytes) * bytes + at % bytes + (at / bytes % 2 ? piece_bytes : 0);
}

// Writes `piece_bytes` bytes of an interleaved block, from `start`.
template <int bytes, int start, int... at>
inline void interleave_vector(const uint8_t *left, const uint8_t *right, uint8_t *out,
                              std::integer_sequence<int, at...>)
{
    constexpr int from = std::min(start / (2 * bytes) * bytes, block_bytes<bytes> - piece_bytes);
    store(picked<(position<bytes>(start + at) - from)...>(loaded<Piece>(left + from), loaded<Piece>(right + from)),
          out + start);
}

// Writes pixels of `left` and `right` in turn. The shuffles are known when compiling, unlike those of `interleave.h`.
template <int bytes> inline void interleave_two(const void *left_pixels, const void *right_pixels, Count count, char *row)
{
    constexpr auto all = std::make_integer_sequence<int, piece_bytes>();
    const auto *left = static_cast<const uint8_t *>(left_pixels), *right = static_cast<const uint8_t *>(right_pixels);
    auto *out = reinterpret_cast<uint8_t *>(row);
    Count at = 0;
    for (; at + block_bytes<bytes> <= count * bytes; at += block_bytes<bytes>, out += 2 * block_bytes<bytes>) {
        interleave_vector<bytes, 0>(left + at, right + at, out, all);
        interleave_vector<bytes, piece_bytes>(left + at, right + at, out, all);
        if constexpr (block_bytes<bytes> > piece_bytes)
            interleave_vector<bytes, 2 * piece_bytes>(left + at, right + at, out, all);
    }
    for (; at < count * bytes; at += bytes, out += 2 * bytes) {
        std::memcpy(out, left + at, bytes);
        std::memcpy(out + bytes, right + at, bytes);
    }
}

// Enlarges a tile that is padded by one pixel on each side.
template <class Number> void enlarge_without_alpha(const Work &work)
{
    constexpr int bytes = sizeof(Number);
    const Count channels = work.channels, width = work.width, stride = (width + 2) * channels;
    const Count most = chunk / channels;
    Number left[chunk], right[chunk];
    for (Count row = 0; row < 2 * work.rows; row++) {
        const auto *near = static_cast<const Number *>(work.padded) + (row / 2 + 1) * stride + channels;
        const auto *far = near + (row % 2 ? stride : -stride);
        for (Count done = 0; done < width; done += most) {
            const Count pixels = std::min(width - done, most), count = pixels * channels, at = done * channels;
            blend(near + at, far + at, count, -channels, left);
            blend(near + at, far + at, count, channels, right);
            char *out = work.out + row * work.out_row_bytes + 2 * at * bytes;
            switch (channels) {
            case 1: interleave_two<bytes>(left, right, pixels, out); break;
            case 2: interleave_two<2 * bytes>(left, right, pixels, out); break;
            case 3: interleave_two<3 * bytes>(left, right, pixels, out); break;
            default: interleave_two<4 * bytes>(left, right, pixels, out);
            }
        }
    }
}

}  // namespace twofold
}  // namespace
