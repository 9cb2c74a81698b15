// Bilinear enlargement by two of pixels of 8 bits: nothing but rounding averages of bytes.
//
// Every output is (9a + 3b + 3c + d + 8) >> 4 of the four pixels around it: a is the nearest, b its neighbour along the
// row, c along the column, d the one across. The loops are plain, and the compiler makes vectors of them.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace twofold {

constexpr std::ptrdiff_t chunk = 3072;  // numbers of a row at a time, so that two lines stay in the first cache

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
inline void halves(const uint8_t *__restrict near, const uint8_t *__restrict far, std::ptrdiff_t count,
                   std::ptrdiff_t step, uint8_t *__restrict left, uint8_t *__restrict right)
{
    for (std::ptrdiff_t at = 0; at < count; at++)
        left[at] = blended(near[at], near[at - step], far[at], far[at - step]);
    for (std::ptrdiff_t at = 0; at < count; at++)
        right[at] = blended(near[at], near[at + step], far[at], far[at + step]);
}

// Pixels of `left` and `right` in turn. Pixel is an integer of the size of a pixel.
template <class Pixel>
inline void interleaved(const uint8_t *__restrict left, const uint8_t *__restrict right, std::ptrdiff_t count,
                        uint8_t *__restrict out)
{
    for (std::ptrdiff_t at = 0; at < count; at++) {
        Pixel pair[2];
        std::memcpy(&pair[0], left + at * sizeof(Pixel), sizeof(Pixel));
        std::memcpy(&pair[1], right + at * sizeof(Pixel), sizeof(Pixel));
        std::memcpy(out + 2 * at * sizeof(Pixel), pair, sizeof pair);
    }
}

typedef uint8_t Sixteen __attribute__((vector_size(16)));

inline Sixteen loaded(const uint8_t *from)
{
    Sixteen made;
    std::memcpy(&made, from, sizeof made);
    return made;
}

// The same for pixels of three bytes: eight of each make three vectors.
inline void interleaved_threes(const uint8_t *__restrict left, const uint8_t *__restrict right, std::ptrdiff_t count,
                               uint8_t *__restrict out)
{
    std::ptrdiff_t at = 0;
    for (; at + 8 <= count; at += 8, left += 24, right += 24, out += 48) {
        const Sixteen first = __builtin_shufflevector(loaded(left), loaded(right), 0, 1, 2, 16, 17, 18, 3, 4, 5, 19,
                                                      20, 21, 6, 7, 8, 22);
        const Sixteen second = __builtin_shufflevector(loaded(left + 6), loaded(right + 6), 17, 18, 3, 4, 5, 19, 20,
                                                       21, 6, 7, 8, 22, 23, 24, 9, 10);
        const Sixteen third = __builtin_shufflevector(loaded(left + 8), loaded(right + 8), 9, 23, 24, 25, 10, 11, 12,
                                                      26, 27, 28, 13, 14, 15, 29, 30, 31);
        std::memcpy(out, &first, sizeof first);
        std::memcpy(out + 16, &second, sizeof second);
        std::memcpy(out + 32, &third, sizeof third);
    }
    for (; at < count; at++, left += 3, right += 3, out += 6) {
        std::memcpy(out, left, 3);
        std::memcpy(out + 3, right, 3);
    }
}

// A tile of `rows` rows of `width` pixels, with a rim of one pixel around it.
inline void enlarge(const uint8_t *padded, std::ptrdiff_t rows, std::ptrdiff_t width, std::ptrdiff_t channels,
                    uint8_t *out, std::ptrdiff_t out_row_bytes)
{
    const std::ptrdiff_t stride = (width + 2) * channels, most = chunk / channels;
    uint8_t left[chunk], right[chunk];
    for (std::ptrdiff_t row = 0; row < 2 * rows; row++, out += out_row_bytes) {
        const uint8_t *near = padded + (row / 2 + 1) * stride + channels, *far = near + (row % 2 ? stride : -stride);
        for (std::ptrdiff_t done = 0; done < width; done += most) {
            const std::ptrdiff_t count = width - done < most ? width - done : most;
            halves(near + done * channels, far + done * channels, count * channels, channels, left, right);
            uint8_t *to = out + 2 * done * channels;
            switch (channels) {
            case 1: interleaved<uint8_t>(left, right, count, to); break;
            case 2: interleaved<uint16_t>(left, right, count, to); break;
            case 3: interleaved_threes(left, right, count, to); break;
            default: interleaved<uint32_t>(left, right, count, to);
            }
        }
    }
}

}  // namespace twofold
