// Undoes the filters of PNG rows, and filters rows by Paeth. Source: the PNG specification (W3C, third edition),
// chapter 9.
//
// A pixel depends on its left neighbour, so a row is computed pixel by pixel, all bytes of a pixel at once. Two rows are
// computed together, the lower one a pixel behind: the processor does one while it waits for the other.
// The vectors are those of GCC and Clang, and the first byte of a number is its lowest; where that is not so, this is not
// compiled and Pillow decodes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

using Bytes = std::uint8_t __attribute__((vector_size(8)));
using Words = std::uint64_t __attribute__((vector_size(16)));
using Ints = std::int32_t __attribute__((vector_size(16)));
using Lanes = std::int16_t __attribute__((vector_size(16)));

// The bytes of one pixel; those of the next one may follow.
template <int N>
using Pixel = std::conditional_t<N == 1, int, Lanes>;

using Length = std::ptrdiff_t;

constexpr int kNone = 0, kSub = 1, kUp = 2, kAverage = 3, kPaeth = 4;

// Bytes from one pixel to the next, and how many are copied at once; those beyond the pixel belong to the next one.
template <int N>
constexpr int kWide = N == 3 ? 4 : N == 6 ? 8 : N;

template <int N, int Count>
inline Pixel<N> load(const std::uint8_t* from) {
  if constexpr (N == 1) {
    return *from;
  } else {
    Bytes bytes = {};
    std::memcpy(&bytes, from, Count);
    return __builtin_convertvector(bytes, Lanes);
  }
}

template <int N, int Count>
inline void store(std::uint8_t* to, Pixel<N> pixel) {
  if constexpr (N == 1) {
    *to = pixel;
  } else {
    const Bytes bytes = __builtin_convertvector(pixel, Bytes);
    std::memcpy(to, &bytes, Count);
  }
}

inline int masked(int bits, bool mask) { return mask ? bits : 0; }
inline Lanes masked(Lanes bits, Lanes mask) { return bits & mask; }

template <int Filter, class Values>
inline Values predicted(Values left, Values above, Values corner) {
  if constexpr (Filter == kSub) {
    return left;
  } else if constexpr (Filter == kAverage) {
    return (left + above) >> 1;
  } else {
    // Paeth. Of the smaller and the larger neighbour, `left + above - corner` is nearest to the smaller one if
    // 3 * corner >= left + above + larger, and to the larger one if 3 * corner <= left + above + smaller. Both hold only
    // if all three are equal. Where two are equally near, the order in the specification comes to the same.
    const Values balance = (corner + corner + corner - above) - left;
    const Values low = left < above ? left : above, high = left < above ? above : left;
    return corner ^ masked(low ^ corner, balance >= high) ^ masked(high ^ corner, balance <= low);
  }
}

// One row while it is computed: where it is, and the last pixels.
template <int N, int Filter>
struct Row {
  const std::uint8_t* raw;
  std::uint8_t* out;
  Pixel<N> left = {}, corner = {};

  template <int Count>
  inline void next(Pixel<N> above) {
    left = (load<N, Count>(raw) + predicted<Filter>(left, above, corner)) & 255;
    store<N, Count>(out, left);
    corner = above;
    raw += N;
    out += N;
  }
};

template <int N, int Filter>
void one_row(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Length pixels) {
  Row<N, Filter> row{raw, out};
  for (; pixels > 1; --pixels, above += N) row.template next<kWide<N>>(load<N, kWide<N>>(above));
  row.template next<N>(load<N, N>(above));
}

template <int N, int Upper, int Lower>
void two_rows(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Length pixels) {
  Row<N, Upper> upper{raw, out};
  Row<N, Lower> lower{raw + 1 + pixels * N, out + pixels * N};
  if (pixels == 1) {
    upper.template next<N>(load<N, N>(above));
  } else {
    upper.template next<kWide<N>>(load<N, kWide<N>>(above));
    for (Length at = 1; at < pixels - 1; ++at) {
      const Pixel<N> below = upper.left;
      upper.template next<kWide<N>>(load<N, kWide<N>>(above + at * N));
      lower.template next<kWide<N>>(below);
    }
    const Pixel<N> below = upper.left;
    upper.template next<N>(load<N, N>(above + (pixels - 1) * N));
    lower.template next<kWide<N>>(below);
  }
  lower.template next<N>(upper.left);
}

// Rows of Paeth in one vector: each a group of lanes, one pixel behind the row above it.
template <int N>
struct PaethRows {
  static constexpr int rows = N <= 2 ? 4 : 2, group = 8 / rows;

  const std::uint8_t *raw, *above;
  std::uint8_t* out;
  Length pixels;
  Lanes left = {}, corner = {};

  // Is every row inside, and not at its last pixel? Then a few bytes more may be copied.
  template <bool Inside>
  inline void next(Length at) {
    constexpr int count = Inside ? kWide<N> : N;
    std::uint64_t first = 0, residuals = 0;
    if (Inside || at < pixels) std::memcpy(&first, above + at * N, count);
    for (int row = 0; row < rows; ++row) {
      const Length x = at - row;
      std::uint64_t residual = 0;
      if (Inside || (x >= 0 && x < pixels)) std::memcpy(&residual, raw + row * (1 + pixels * N) + x * N, count);
      residuals |= residual << (8 * group * row);
    }
    const Lanes over = below(__builtin_convertvector(reinterpret_cast<Bytes>(first), Lanes));
    const Lanes residual = __builtin_convertvector(reinterpret_cast<Bytes>(residuals), Lanes);
    left = (residual + predicted<kPaeth>(left, over, corner)) & 255;
    corner = over;
    const auto bytes = reinterpret_cast<std::uint64_t>(__builtin_convertvector(left, Bytes));
    for (int row = 0; row < rows; ++row) {
      const Length x = at - row;
      const std::uint64_t pixel = bytes >> (8 * group * row);
      if (Inside || (x >= 0 && x < pixels)) std::memcpy(out + (row * pixels + x) * N, &pixel, count);
    }
  }

  // What is above each row: `first` above the first one, and above the others what the row before has just made.
  inline Lanes below(Lanes first) const {
    const auto upper = reinterpret_cast<Words>(first), lower = reinterpret_cast<Words>(left);
    if constexpr (rows == 4) {
      const auto made = reinterpret_cast<Ints>(left), moved = __builtin_shufflevector(made, made, 0, 0, 1, 2);
      return reinterpret_cast<Lanes>(__builtin_shufflevector(reinterpret_cast<Ints>(first), moved, 0, 5, 6, 7));
    }
    return reinterpret_cast<Lanes>(Words{upper[0], lower[0]});
  }

  void all() {
    Length at = 0;
    for (; at < rows - 1; ++at) next<false>(at);
    for (; at < pixels - 1; ++at) next<true>(at);
    for (; at < pixels + rows - 1; ++at) next<false>(at);
  }
};

template <int N>
bool is_run_of_paeth(const std::uint8_t* raw, Length rows, Length row_bytes) {
  if (N > 4 || rows < PaethRows<N>::rows) return false;
  for (int row = 0; row < PaethRows<N>::rows; ++row)
    if (raw[row * (1 + row_bytes)] != kPaeth) return false;
  return true;
}

constexpr bool depends_on_both(int filter) { return filter == kAverage || filter == kPaeth; }

// Filtered rows, each behind the byte of its filter, into `out`. False if a filter does not exist.
template <int N>
bool all_rows(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Length rows, Length pixels) {
  const Length row_bytes = pixels * N;
  while (rows > 0) {
    const int filter = raw[0], lower = rows > 1 ? raw[1 + row_bytes] : kNone;
    const std::uint8_t* data = raw + 1;
    Length done = 1;
    if (is_run_of_paeth<N>(raw, rows, row_bytes)) {
      PaethRows<N>{data, above, out, pixels}.all();
      done = PaethRows<N>::rows;
    } else if (depends_on_both(filter) && depends_on_both(lower)) {
      const auto both = filter == kPaeth ? (lower == kPaeth ? two_rows<N, kPaeth, kPaeth> : two_rows<N, kPaeth, kAverage>)
                                         : (lower == kPaeth ? two_rows<N, kAverage, kPaeth> : two_rows<N, kAverage, kAverage>);
      both(data, above, out, pixels);
      done = 2;
    } else if (filter == kNone) {
      std::memcpy(out, data, row_bytes);
    } else if (filter == kUp) {
      for (Length at = 0; at < row_bytes; ++at) out[at] = data[at] + above[at];
    } else if (filter == kSub) {
      one_row<N, kSub>(data, above, out, pixels);
    } else if (filter == kAverage) {
      one_row<N, kAverage>(data, above, out, pixels);
    } else if (filter == kPaeth) {
      one_row<N, kPaeth>(data, above, out, pixels);
    } else {
      return false;
    }
    raw += done * (1 + row_bytes);
    out += done * row_bytes;
    above = out - row_bytes;
    rows -= done;
  }
  return true;
}

// Rows filtered by Paeth, each behind its filter's byte. `raw` begins with the row above them.
void filtered_by_paeth(const std::uint8_t* raw, std::uint8_t* out, Length rows, Length row_bytes, int pixel_bytes) {
  for (Length row = 0; row < rows; ++row) {
    const std::uint8_t* above = raw + row * row_bytes;
    const std::uint8_t* own = above + row_bytes;
    std::uint8_t* to = out + row * (1 + row_bytes);
    *to++ = kPaeth;
    for (Length at = 0; at < pixel_bytes; ++at) to[at] = own[at] - above[at];
    for (Length at = pixel_bytes; at < row_bytes; ++at) {
      const std::int16_t left = own[at - pixel_bytes], corner = above[at - pixel_bytes], over = above[at];
      const std::int16_t balance = 3 * corner - over - left;
      const std::int16_t low = left < over ? left : over, high = left < over ? over : left;
      const std::int16_t near = balance >= high ? low : corner;
      to[at] = own[at] - (balance <= low ? high : near);
    }
  }
}

}  // namespace
