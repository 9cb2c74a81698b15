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
    for (; at < count; at++)
        blend_at<Number>(near + at, far + at, step, out + at);
}

// Enlarges a tile that is padded by one pixel on each side.
template <class Number> bool enlarge(const Work &work)
{
    const Count channels = work.channels, width = work.width, stride = (width + 2) * channels;
    const Count most = chunk / channels, plane = chunk + plane_slack / sizeof(Number);
    Number planes[2 * plane];
    Interleaving tables = measured(2, channels * sizeof(Number));
    Count from[3 * 3 * halves];  // with up to four numbers in a pixel, a period has at most three vectors
    Bytes masks[3 * 3];
    tables.from = from;
    tables.masks = masks;
    fill(tables, 2, channels * sizeof(Number), plane * sizeof(Number));
    for (Count row = 0; row < 2 * work.rows; row++) {
        const auto *near = static_cast<const Number *>(work.padded) + (row / 2 + 1) * stride + channels;
        const auto *far = near + (row % 2 ? stride : -stride);
        for (Count done = 0; done < width; done += most) {
            const Count pixels = std::min(width - done, most), count = pixels * channels, at = done * channels;
            blend(near + at, far + at, count, -channels, planes);
            blend(near + at, far + at, count, channels, planes + plane);
            char *out = work.out + row * work.out_row_bytes + 2 * at * sizeof(Number);
            interleave(tables, planes, 2 * count * sizeof(Number), out);
        }
    }
    return true;
}

}  // namespace twofold
}  // namespace
