// The module `_unfilter`: it checks its arguments, undoes the filters of PNG rows, filters rows, and expands palettes.

#if !defined(__GNUC__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GCC or Clang, and a little-endian processor, are needed; without them Pillow decodes"
#endif

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <cstdint>
#include <cstring>

#include "filters.h"

namespace {

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

PyObject* filter_paeth(PyObject*, PyObject* arguments) {
  Held raw, out;
  Py_ssize_t rows = 0;
  int pixel_bytes = 0;
  if (!PyArg_ParseTuple(arguments, "y*w*ni", &raw.view, &out.view, &rows, &pixel_bytes)) return nullptr;
  const Py_ssize_t row_bytes = rows > 0 && rows < raw.view.len ? raw.view.len / (1 + rows) : 0;
  if (pixel_bytes < 1 || pixel_bytes > row_bytes || raw.view.len % (1 + rows) != 0 ||
      out.view.len != raw.view.len - row_bytes + rows) {
    PyErr_SetString(PyExc_ValueError, "buffers that do not fit together");
    return nullptr;
  }
  PyThreadState* state = PyEval_SaveThread();
  filtered_by_paeth(static_cast<const std::uint8_t*>(raw.view.buf), static_cast<std::uint8_t*>(out.view.buf), rows,
                    row_bytes, pixel_bytes);
  PyEval_RestoreThread(state);
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
    {"filter_paeth", filter_paeth, METH_VARARGS,
     "filter_paeth(raw, out, rows, pixel_bytes): rows filtered by Paeth, each behind its filter's byte, into `out`.\n\n"
     "`raw` begins with the row above them. ValueError: the sizes do not fit."},
    {"expand", expand, METH_VARARGS,
     "expand(indices, table, out): for each byte its entry of a table of 256, into `out`.\n\n"
     "ValueError: the sizes do not fit."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef_Slot slots[] = {{0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "_unfilter", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__unfilter() { return PyModuleDef_Init(&module); }
