// The module `_separable`: it checks what it is given, and lets the kernels of an instruction set compute.
//
// Limited API: one build serves every later Python. Python without the GIL does not have that API yet.

#include <pyconfig.h>
#if !defined(Py_GIL_DISABLED)
#define Py_LIMITED_API 0x030B0000  // the first with Py_buffer
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "work.h"

namespace {

// The memory of a Python object, released at the end.
struct Buffer {
    Py_buffer view = {};
    ~Buffer() { PyBuffer_Release(&view); }
};

PyObject *wrong(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return nullptr;
}

// Fastest first.
constexpr const Kernels *compiled[] = {
#if defined(__x86_64__)
    &avx512_kernels,
    &avx2_kernels,
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
    &neon_kernels,
#endif
    &portable_kernels,
};

bool runs_here(const Kernels &kernels)
{
#if defined(__x86_64__)
    if (&kernels == &avx512_kernels)
        return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (&kernels == &avx2_kernels)
        return __builtin_cpu_supports("avx2");
#endif
    return true;
}

// The kernels of an instruction set, by its name. Sets an error and returns null if there are none for this processor.
const Kernels *kernels_of(const char *name)
{
    for (const Kernels *kernels : compiled)
        if (std::strcmp(kernels->name, name) == 0 && runs_here(*kernels))
            return kernels;
    PyErr_Format(PyExc_ValueError, "%s was not compiled, or this processor does not have it", name);
    return nullptr;
}

// Whether a buffer has `count` numbers of `bytes` bytes, at an aligned address.
bool holds(const Buffer &buffer, Count count, Count bytes)
{
    return buffer.view.len == product(count, bytes) && reinterpret_cast<uintptr_t>(buffer.view.buf) % bytes == 0;
}

// Copies a table of offsets. False if it does not have `count` of them or one is not within 0 to `most`.
bool take_offsets(const Buffer &table, int32_t *offsets, Count count, Count most)
{
    if (!holds(table, count, 4))
        return false;
    std::memcpy(offsets, table.view.buf, table.view.len);
    return std::all_of(offsets, offsets + count, [=](int32_t offset) { return 0 <= offset && offset <= most; });
}

// Whether the rows of the output follow one another without overlap and end within 64 bits.
bool rows_are_apart(const Py_buffer &made)
{
    const Count row_bytes = product(product(made.shape[1], made.shape[2]), made.itemsize);
    if (made.shape[0] < 2)
        return row_bytes < most_count;
    return made.strides[0] >= row_bytes && product(made.shape[0], made.strides[0]) < most_count;
}

// Whether an input does not overlap the output.
bool is_apart(const Py_buffer &input, const Py_buffer &made)
{
    const char *out = static_cast<const char *>(made.buf), *in = static_cast<const char *>(input.buf);
    const Count rows = (made.shape[0] - 1) * made.strides[0], row = made.shape[1] * made.shape[2] * made.itemsize;
    return in + input.len <= out || out + rows + row <= in;
}

PyObject *enlarge(PyObject *, PyObject *arguments)
{
    Buffer padded, out, first_rows, first_columns, row_weights, column_weights, order;
    PyObject *target;
    const char *instructions;
    Work work;
    int sum, has_alpha, overshoots;
    if (!PyArg_ParseTuple(arguments, "sy*OCnnnnny*y*y*y*y*diipp:enlarge", &instructions, &padded.view, &target,
                          &sum, &work.factor, &work.taps, &work.window, &work.period, &work.advance, &first_rows.view,
                          &first_columns.view, &row_weights.view, &column_weights.view, &order.view,
                          &work.division.divisor, &work.division.multiplier, &work.division.shift, &has_alpha,
                          &overshoots)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    const Py_buffer &made = out.view;
    const auto *kind = std::find_if(std::begin(kernels->kinds), std::end(kernels->kinds), [&](const Kind &candidate) {
        return candidate.sum == sum && candidate.pixel_bytes == made.itemsize;
    });
    if (kind == std::end(kernels->kinds) || made.ndim != 3)
        return wrong("there is no such kind of pixels and sums");
    if (made.strides[2] != made.itemsize || made.strides[1] != made.shape[2] * made.itemsize)
        return wrong("the pixels of a row of the output are not side by side");
    work.channels = made.shape[2];
    const auto [least, most] =
        std::minmax({work.channels, work.factor, work.taps, work.window, work.period, work.advance});
    const Division &by = work.division;
    if (least < 1 || most > most_setting || work.taps > work.window || by.shift < 0 || by.shift > 30
        || !(1 <= by.divisor && by.divisor <= kind->most) || made.shape[0] < 1 || made.shape[0] % work.factor
        || made.shape[1] < 1 || made.shape[1] % work.factor || std::max(made.shape[0], made.shape[1]) > most_side)
        return wrong("settings that fit nothing");
    if (!rows_are_apart(made))
        return wrong("the rows of the output do not follow one another");
    work.out_row_bytes = made.strides[0];
    measure(work, made.shape[0], made.shape[1], kind->lanes);
    if (!holds(padded, product(work.rows + work.window - 1, work.row_numbers), made.itemsize))
        return wrong("the padded tile does not fit the output");
    for (const Buffer *input : {&padded, &first_rows, &first_columns, &row_weights, &column_weights, &order})
        if (!is_apart(input->view, made))
            return wrong("the output overlaps an input");
    if (!take_offsets(first_rows, work.first_rows, work.factor, work.window - work.taps)
        || !take_offsets(first_columns, work.first_columns, work.period, largest_first(work))
        || !holds(row_weights, work.factor * work.taps, kind->sum_bytes)
        || !holds(column_weights, work.period * work.taps * kind->lanes, kind->sum_bytes)
        || !holds(order, (work.period + 1) * kind->lanes, kind->sum_bytes))
        return wrong("tables that do not fit the settings");
    work.padded = padded.view.buf;
    work.out = static_cast<char *>(made.buf);
    work.row_weights = row_weights.view.buf;
    work.column_weights = column_weights.view.buf;
    work.order = order.view.buf;
    work.has_alpha = has_alpha;
    work.division.overshoots = overshoots;
    void *scratch;
    Py_BEGIN_ALLOW_THREADS
    scratch = kind->enlarge(work);
    std::free(scratch);
    Py_END_ALLOW_THREADS
    if (!scratch)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *enlarge_twofold(PyObject *, PyObject *arguments)
{
    Buffer padded, out;
    PyObject *target;
    const char *instructions;
    if (!PyArg_ParseTuple(arguments, "sy*O:enlarge_twofold", &instructions, &padded.view, &target)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    const Py_buffer &made = out.view;
    if (made.ndim != 3 || made.itemsize != 1 || made.strides[2] != 1 || made.strides[1] != made.shape[2])
        return wrong("the output is not rows of bytes");
    const Count channels = made.shape[2], rows = made.shape[0] / 2, width = made.shape[1] / 2;
    if (channels < 1 || channels > 4 || rows < 1 || width < 1 || made.shape[0] % 2 || made.shape[1] % 2
        || std::max(rows, width) > most_side)
        return wrong("settings that fit nothing");
    if (!rows_are_apart(made))
        return wrong("the rows of the output do not follow one another");
    if (!holds(padded, product(rows + 2, (width + 2) * channels), 1))
        return wrong("the padded tile does not fit the output");
    if (!is_apart(padded.view, made))
        return wrong("the output overlaps an input");
    Py_BEGIN_ALLOW_THREADS
    kernels->enlarge_twofold(static_cast<const uint8_t *>(padded.view.buf), rows, width, channels,
                     static_cast<uint8_t *>(made.buf), made.strides[0]);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyObject *lanes_of(PyObject *, PyObject *arguments)
{
    const char *instructions;
    int sum;
    if (!PyArg_ParseTuple(arguments, "sC:lanes", &instructions, &sum))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    for (const Kind &kind : kernels->kinds)
        if (kind.sum == sum)
            return PyLong_FromLong(kind.lanes);
    return wrong("there is no such sum");
}

PyObject *instruction_sets(PyObject *, PyObject *)
{
    PyObject *names = PyList_New(0);
    for (const Kernels *kernels : compiled) {
        PyObject *name = names && runs_here(*kernels) ? PyUnicode_FromString(kernels->name) : nullptr;
        if (name)
            PyList_Append(names, name);
        Py_XDECREF(name);
    }
    return PyErr_Occurred() ? nullptr : names;
}

PyMethodDef functions[] = {
    {"instruction_sets", instruction_sets, METH_NOARGS, "The names of those that this processor runs, fastest first."},
    {"enlarge", enlarge, METH_VARARGS, "Enlarge one padded tile; separable.SeparableRoute has the arguments."},
    {"enlarge_twofold", enlarge_twofold, METH_VARARGS, "Enlarge one padded tile by two: bilinear, 1 to 4 bytes a pixel."},
    {"lanes", lanes_of, METH_VARARGS, "The number of sums of kind 'H', 'i' or 'd' in a vector of an instruction set."},
    {},
};

PyModuleDef_Slot slots[] = {
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_separable", nullptr, 0, functions, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__separable(void) { return PyModuleDef_Init(&definition); }
