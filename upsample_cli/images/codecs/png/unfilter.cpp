// Undoes the filters of PNG rows, and expands palettes. Source: the PNG specification (W3C, third edition), chapter 9.
//
// A pixel depends on its left neighbour, so a row is computed pixel by pixel, all bytes of a pixel at once. Two rows are
// computed together, the lower one a pixel behind: the processor does one while it waits for the other.
// The vectors are those of GCC and Clang; where neither compiles this, Pillow decodes.

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <cstdint>
#include <cstring>

namespace {

using Pixel = std::uint8_t __attribute__((vector_size(16)));  // one pixel of up to 8 bytes, then zeros or garbage
using Words = std::uint64_t __attribute__((vector_size(16)));

constexpr int kNone = 0, kSub = 1, kUp = 2, kAverage = 3, kPaeth = 4;

// Bytes from one pixel to the next, and how many are copied at once; those beyond the pixel belong to the next one.
template <int N>
constexpr int kWide = N == 3 ? 4 : N == 6 ? 8 : N;

template <int Count>
inline Pixel load(const std::uint8_t* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, Count);
  return reinterpret_cast<Pixel>(Words{word, 0});
}

template <int Count>
inline void store(std::uint8_t* to, Pixel pixel) {
  const std::uint64_t word = reinterpret_cast<Words>(pixel)[0];
  std::memcpy(to, &word, Count);
}

inline Pixel least(Pixel one, Pixel other) { return one < other ? one : other; }
inline Pixel greatest(Pixel one, Pixel other) { return one > other ? one : other; }

template <int Filter>
inline Pixel predicted(Pixel left, Pixel above, Pixel corner) {
  if constexpr (Filter == kSub) {
    return left;
  } else if constexpr (Filter == kAverage) {
    return (left & above) + ((left ^ above) >> 1);
  } else {  // Paeth in eight bits: `_residual_paeth` in codecs/deflate.py has the reasons
    const Pixel low = least(left, above), high = greatest(left, above);
    const Pixel over = greatest(high, corner) - corner, under = corner - least(low, corner);
    const auto take_low = over <= (under >> 1), take_high = under <= (over >> 1);
    return take_low ? low : take_high ? high : corner;
  }
}

// One row while it is computed: where it is, and the last pixels.
template <int N, int Filter>
struct Row {
  const std::uint8_t* raw;
  std::uint8_t* out;
  Pixel left = {}, corner = {};

  template <int Count>
  inline void next(Pixel above) {
    left = load<Count>(raw) + predicted<Filter>(left, above, corner);
    store<Count>(out, left);
    corner = above;
    raw += N;
    out += N;
  }
};

template <int N, int Filter>
void one_row(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Py_ssize_t pixels) {
  Row<N, Filter> row{raw, out};
  for (; pixels > 1; --pixels, above += N) row.template next<kWide<N>>(load<kWide<N>>(above));
  row.template next<N>(load<N>(above));
}

template <int N, int Upper, int Lower>
void two_rows(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Py_ssize_t pixels) {
  Row<N, Upper> upper{raw, out};
  Row<N, Lower> lower{raw + 1 + pixels * N, out + pixels * N};
  if (pixels == 1) {
    upper.template next<N>(load<N>(above));
  } else {
    upper.template next<kWide<N>>(load<kWide<N>>(above));
    for (Py_ssize_t at = 1; at < pixels - 1; ++at) {
      const Pixel below = upper.left;
      upper.template next<kWide<N>>(load<kWide<N>>(above + at * N));
      lower.template next<kWide<N>>(below);
    }
    const Pixel below = upper.left;
    upper.template next<N>(load<N>(above + (pixels - 1) * N));
    lower.template next<kWide<N>>(below);
  }
  lower.template next<N>(upper.left);
}

constexpr bool depends_on_both(int filter) { return filter == kAverage || filter == kPaeth; }

// Filtered rows, each behind the byte of its filter, into `out`. False if a filter does not exist.
template <int N>
bool all_rows(const std::uint8_t* raw, const std::uint8_t* above, std::uint8_t* out, Py_ssize_t rows, Py_ssize_t pixels) {
  const Py_ssize_t row_bytes = pixels * N;
  while (rows > 0) {
    const int filter = raw[0], lower = rows > 1 ? raw[1 + row_bytes] : kNone;
    const std::uint8_t* data = raw + 1;
    Py_ssize_t done = 1;
    if (depends_on_both(filter) && depends_on_both(lower)) {
      const auto both = filter == kPaeth ? (lower == kPaeth ? two_rows<N, kPaeth, kPaeth> : two_rows<N, kPaeth, kAverage>)
                                         : (lower == kPaeth ? two_rows<N, kAverage, kPaeth> : two_rows<N, kAverage, kAverage>);
      both(data, above, out, pixels);
      done = 2;
    } else if (filter == kNone) {
      std::memcpy(out, data, row_bytes);
    } else if (filter == kUp) {
      for (Py_ssize_t at = 0; at < row_bytes; ++at) out[at] = data[at] + above[at];
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

bool unfiltered(const Py_buffer& raw, const Py_buffer& above, const Py_buffer& out, int pixel_bytes) {
  const auto* from = static_cast<const std::uint8_t*>(raw.buf);
  const auto* first = static_cast<const std::uint8_t*>(above.buf);
  auto* to = static_cast<std::uint8_t*>(out.buf);
  const Py_ssize_t rows = out.len / above.len, pixels = above.len / pixel_bytes;
  switch (pixel_bytes) {
    case 1: return all_rows<1>(from, first, to, rows, pixels);
    case 2: return all_rows<2>(from, first, to, rows, pixels);
    case 3: return all_rows<3>(from, first, to, rows, pixels);
    case 4: return all_rows<4>(from, first, to, rows, pixels);
    case 6: return all_rows<6>(from, first, to, rows, pixels);
    default: return all_rows<8>(from, first, to, rows, pixels);
  }
}

bool fits(const Py_buffer& raw, const Py_buffer& above, const Py_buffer& out, int pixel_bytes) {
  const bool is_size = pixel_bytes > 0 && pixel_bytes <= 8 && pixel_bytes != 5 && pixel_bytes != 7;
  return is_size && above.len > 0 && above.len % pixel_bytes == 0 && out.len % above.len == 0 &&
         raw.len - out.len == out.len / above.len;
}

// For each index its entry of a table. Entries of three bytes are copied with the first byte of the next one.
template <int Size>
void looked_up(const std::uint8_t* indices, const std::uint8_t* table, std::uint8_t* out, Py_ssize_t count) {
  if constexpr (Size == 3) {
    std::uint32_t wide[256] = {};
    for (int index = 0; index < 256; ++index) std::memcpy(&wide[index], table + 3 * index, 3);
    for (; count > 1; --count, ++indices, out += 3) std::memcpy(out, &wide[*indices], 4);
    std::memcpy(out, &wide[*indices], 3);
  } else {
    for (Py_ssize_t at = 0; at < count; ++at) std::memcpy(out + at * Size, table + indices[at] * Size, Size);
  }
}

using LookUp = void (*)(const std::uint8_t*, const std::uint8_t*, std::uint8_t*, Py_ssize_t);

LookUp look_up_of(Py_ssize_t size) {
  switch (size) {
    case 1: return looked_up<1>;
    case 2: return looked_up<2>;
    case 3: return looked_up<3>;
    case 4: return looked_up<4>;
    case 6: return looked_up<6>;
    case 8: return looked_up<8>;
    case 12: return looked_up<12>;
    case 16: return looked_up<16>;
    case 24: return looked_up<24>;
    case 32: return looked_up<32>;
    default: return nullptr;
  }
}

struct Held {  // a buffer, released at the end of the call
  Py_buffer view{};
  ~Held() {
    if (view.obj != nullptr) PyBuffer_Release(&view);
  }
};

PyObject* unfilter(PyObject*, PyObject* arguments) {
  Held raw, above, out;
  int pixel_bytes = 0;
  if (!PyArg_ParseTuple(arguments, "y*y*w*i", &raw.view, &above.view, &out.view, &pixel_bytes)) return nullptr;
  if (!fits(raw.view, above.view, out.view, pixel_bytes)) {
    PyErr_SetString(PyExc_ValueError, "buffers that do not fit together");
    return nullptr;
  }
  PyThreadState* state = PyEval_SaveThread();
  const bool is_done = unfiltered(raw.view, above.view, out.view, pixel_bytes);
  PyEval_RestoreThread(state);
  if (!is_done) {
    PyErr_SetString(PyExc_ValueError, "a filter that does not exist");
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* expand(PyObject*, PyObject* arguments) {
  Held indices, table, out;
  if (!PyArg_ParseTuple(arguments, "y*y*w*", &indices.view, &table.view, &out.view)) return nullptr;
  const Py_ssize_t count = indices.view.len, size = table.view.len / 256;
  const LookUp look_up = look_up_of(size);
  if (look_up == nullptr || table.view.len % 256 != 0 || count < 1 || out.view.len / size != count ||
      out.view.len % size != 0) {
    PyErr_SetString(PyExc_ValueError, "buffers that do not fit together");
    return nullptr;
  }
  PyThreadState* state = PyEval_SaveThread();
  look_up(static_cast<const std::uint8_t*>(indices.view.buf), static_cast<const std::uint8_t*>(table.view.buf),
          static_cast<std::uint8_t*>(out.view.buf), count);
  PyEval_RestoreThread(state);
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"unfilter", unfilter, METH_VARARGS,
     "unfilter(raw, above, out, pixel_bytes): filtered rows, each behind its filter's byte, into `out`.\n\n"
     "`above` is the row before the first. ValueError: a filter does not exist, or the sizes do not fit."},
    {"expand", expand, METH_VARARGS,
     "expand(indices, table, out): for each byte its entry of a table of 256, into `out`.\n\n"
     "ValueError: the sizes do not fit."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef_Slot slots[] = {{0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "_unfilter", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__unfilter() { return PyModuleDef_Init(&module); }
