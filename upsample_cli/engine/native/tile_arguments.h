// The memory of Python's objects, and the checks of a padded tile, its output and its tables. Included by module.cpp.

// The memory of a Python object, released at the end of the scope.
struct Buffer {
    Py_buffer view = {};
    ~Buffer() { PyBuffer_Release(&view); }
};

PyObject *wrong(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return nullptr;
}

// Whether a buffer has `count` numbers of `bytes` bytes, at an aligned address.
bool holds(const Buffer &buffer, Count count, Count bytes)
{
    return buffer.view.len == product(count, bytes) && reinterpret_cast<uintptr_t>(buffer.view.buf) % bytes == 0;
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

// Checks the output and the padded tile against the settings in `work`, and sets both in it. Returns null if they fit,
// otherwise the fault.
const char *take_tile(Work &work, const Buffer &padded, const Py_buffer &made, Count pixel_bytes)
{
    if (made.ndim != 3 || made.strides[2] != made.itemsize || made.strides[1] != made.shape[2] * made.itemsize)
        return "the pixels of a row of the output are not side by side";
    work.channels = made.shape[2];
    const auto [least, most] = std::minmax({work.channels, work.factor, work.taps, work.window});
    if (least < 1 || most > most_setting || work.taps > work.window || made.shape[0] < 1
        || made.shape[0] % work.factor || made.shape[1] < 1 || made.shape[1] % work.factor
        || std::max(made.shape[0], made.shape[1]) > most_side)
        return "settings that fit nothing";
    if (!rows_are_apart(made))
        return "the rows of the output do not follow one another";
    work.rows = made.shape[0] / work.factor;
    work.width = made.shape[1] / work.factor;
    const Count rim = work.window - 1;
    if (!holds(padded, product(work.rows + rim, (work.width + rim) * work.channels), pixel_bytes))
        return "the padded tile does not fit the output";
    if (!is_apart(padded.view, made))
        return "the output overlaps an input";
    work.padded = padded.view.buf;
    work.out = static_cast<char *>(made.buf);
    work.out_row_bytes = made.strides[0];
    return nullptr;
}

// Checks the tables of a kernel, and sets them in `work`. Returns whether they fit its settings.
bool take_tables(Work &work, const Buffer &firsts, const Buffer &weights, Count sum_bytes)
{
    const Count axis_weights = work.factor * work.taps;
    if (!holds(firsts, work.factor, sizeof *work.firsts)
        || !holds(weights, work.is_direct ? product(axis_weights, axis_weights) : axis_weights, sum_bytes))
        return false;
    std::memcpy(work.firsts, firsts.view.buf, firsts.view.len);
    for (Count phase = 0; phase < work.factor; phase++) {
        const int32_t first = work.firsts[phase], before = phase ? work.firsts[phase - 1] : first;
        if (first < 0 || first > work.window - work.taps || first < before || first > work.firsts[0] + 1)
            return false;
    }
    work.weights = weights.view.buf;
    return true;
}
