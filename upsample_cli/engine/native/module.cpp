// The module `_kernels`: it checks its arguments and calls the kernels of an instruction set.
//
// Limited API: one build works with every later Python. Python without the GIL does not have that API yet.

#include <pyconfig.h>
#if !defined(Py_GIL_DISABLED)
#define Py_LIMITED_API 0x030B0000  // the first with Py_buffer
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "work.h"

namespace {

#include "tile_arguments.h"

// Fastest first.
constexpr const Kernels *compiled[] = {
#if defined(__x86_64__)
    &avx512_kernels,
    &avx2_kernels,
    &sse41_kernels,
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
    &neon_kernels,
#endif
    &portable_kernels,
};

bool runs_here(const Kernels &kernels)
{
#if defined(__x86_64__)
    if (&kernels == &avx512_kernels)
        return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
               && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi")
               && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    if (&kernels == &avx2_kernels)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (&kernels == &sse41_kernels)
        return __builtin_cpu_supports("sse4.1");
#endif
    return true;
}

// The kernels of an instruction set, by its name. Sets an error and returns null if they cannot be used here.
const Kernels *kernels_of(const char *name)
{
    for (const Kernels *kernels : compiled)
        if (std::strcmp(kernels->name, name) == 0 && runs_here(*kernels))
            return kernels;
    PyErr_Format(PyExc_ValueError, "%s was not compiled, or this processor does not have it", name);
    return nullptr;
}

// The kernel among `kinds` for pixels and sums of these types; null if there is none.
template <int count> const Kind *kind_of(const Kind (&kinds)[count], int sum, Count pixel_bytes)
{
    const auto *found = std::find_if(kinds, kinds + count, [&](const Kind &kind) {
        return kind.sum == sum && kind.pixel_bytes == pixel_bytes;
    });
    return found == kinds + count ? nullptr : found;
}

// Runs a kernel without the GIL.
template <class Kernel, class Settings> PyObject *run(Kernel kernel, const Settings &settings)
{
    bool is_done;
    Py_BEGIN_ALLOW_THREADS
    is_done = kernel(settings);
    Py_END_ALLOW_THREADS
    if (!is_done)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *enlarge(PyObject *, PyObject *arguments)
{
    Buffer padded, out, firsts, weights;
    PyObject *target;
    const char *instructions;
    Work work;
    Division &by = work.division;
    int sum;
    if (!PyArg_ParseTuple(arguments, "sy*OCnnny*y*dnippppp:enlarge", &instructions, &padded.view, &target, &sum,
                          &work.factor, &work.taps, &work.window, &firsts.view, &weights.view, &by.divisor,
                          &by.multiplier, &by.shift, &by.multiplies, &by.alpha_multiplies, &work.has_alpha,
                          &by.overshoots, &work.is_direct)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    const Kind *kind = kind_of(kernels->kinds, sum, out.view.itemsize);
    if (!kind)
        return wrong("there is no such kind of pixels and sums");
    if (const char *fault = take_tile(work, padded, out.view, out.view.itemsize))
        return wrong(fault);
    if (!is_apart(firsts.view, out.view) || !is_apart(weights.view, out.view))
        return wrong("the output overlaps an input");
    const Count largest = out.view.itemsize == 1 ? 0xFF : 0xFFFF;
    if (by.shift < 0 || by.shift > (sum == 'H' ? 15 : 31) || by.multiplier < 0 || by.multiplier >> 32
        || !(1 <= by.divisor && by.divisor <= kind->most)
        || (work.has_alpha && ((work.channels != 2 && work.channels != 4) || kind->most < largest * largest))
        || (sum == 'H' && (work.has_alpha || work.is_direct || by.overshoots))
        || !take_tables(work, firsts, weights, kind->sum_bytes))
        return wrong("tables that do not fit the settings");
    return run(kind->enlarge, work);
}

PyObject *enlarge_sums(PyObject *, PyObject *arguments)
{
    Buffer padded, out, firsts, weights;
    PyObject *target;
    const char *instructions;
    Work work;
    Count pixel_bytes;
    if (!PyArg_ParseTuple(arguments, "sy*Onnnny*y*p:enlarge_sums", &instructions, &padded.view, &target, &pixel_bytes,
                          &work.factor, &work.taps, &work.window, &firsts.view, &weights.view, &work.has_alpha)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    const Kind *kind = kind_of(kernels->sums, out.view.itemsize == 4 ? 'f' : 'd', pixel_bytes);
    if (!kind || kind->sum_bytes != out.view.itemsize)
        return wrong("there is no such kind of pixels and sums");
    if (const char *fault = take_tile(work, padded, out.view, pixel_bytes))
        return wrong(fault);
    if (reinterpret_cast<uintptr_t>(work.out) % kind->sum_bytes || work.out_row_bytes % kind->sum_bytes)
        return wrong("the output is not aligned");
    if (!is_apart(firsts.view, out.view) || !is_apart(weights.view, out.view))
        return wrong("the output overlaps an input");
    work.is_direct = true;
    if ((work.has_alpha && ((work.channels != 2 && work.channels != 4) || kind->sum_bytes != 8))
        || !take_tables(work, firsts, weights, kind->sum_bytes))
        return wrong("tables that do not fit the settings");
    return run(kind->enlarge, work);
}

PyObject *enlarge_twofold(PyObject *, PyObject *arguments)
{
    Buffer padded, out;
    PyObject *target;
    const char *instructions;
    Work work;
    if (!PyArg_ParseTuple(arguments, "sy*Op:enlarge_twofold", &instructions, &padded.view, &target, &work.has_alpha)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    work.factor = work.taps = 2;
    work.window = 3;
    const Kind *kind = kind_of(kernels->twofold, '\0', out.view.itemsize);
    if (!kind)
        return wrong("there is no such kind of pixels");
    if (const char *fault = take_tile(work, padded, out.view, out.view.itemsize))
        return wrong(fault);
    if (work.channels > 4 || (work.has_alpha && work.channels % 2))
        return wrong("settings that fit nothing");
    return run(kind->enlarge, work);
}

#include "resample_arguments.h"
#include "network_arguments.h"

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
    {"enlarge", enlarge, METH_VARARGS, "Enlarge one padded tile; compiled.CompiledRoute has the arguments."},
    {"enlarge_sums", enlarge_sums, METH_VARARGS, "The sums of one padded tile; compiled.CompiledSums has the arguments."},
    {"enlarge_twofold", enlarge_twofold, METH_VARARGS, "Enlarge one padded tile by two: bilinear, 1 to 4 channels."},
    {"resample", resample, METH_VARARGS, "Make rows of another size; resize_compiled.CompiledResize has the arguments."},
    {"net_detail", net_detail, METH_VARARGS, "What a network adds to each output; _kernels.pyi has the arguments."},
    {"net_combine", net_combine, METH_VARARGS, "A linear kernel, plus what a network adds; _kernels.pyi has the arguments."},
    {},
};

PyModuleDef_Slot slots[] = {
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", nullptr, 0, functions, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
