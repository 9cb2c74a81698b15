// Checks the arguments of `resample`. Included by module.cpp.

// Whether the first inputs of all outputs are in order, and all inputs inside the image.
bool are_inside(const int32_t *firsts, Count count, Count taps, Count length)
{
    return std::is_sorted(firsts, firsts + count) && 0 <= firsts[0] && firsts[count - 1] <= length - taps;
}

PyObject *resample(PyObject *, PyObject *arguments)
{
    Buffer source, out, row_firsts, row_weights, column_firsts, column_weights;
    PyObject *target;
    const char *instructions;
    Resampling work;
    if (!PyArg_ParseTuple(arguments, "sy*nnOnny*y*y*y*d(iiiddddp)pp:resample", &instructions, &source.view, &work.source_rows,
                          &work.source_width, &target, &work.row_taps, &work.column_taps, &row_firsts.view,
                          &row_weights.view, &column_firsts.view, &column_weights.view, &work.divisor,
                          &work.fraction_bits, &work.near, &work.colour_near, &work.bias, &work.colour_bias,
                          &work.least_alpha, &work.clear_alpha, &work.is_short, &work.has_alpha, &work.is_summed)
        || PyObject_GetBuffer(target, &out.view, PyBUF_STRIDES | PyBUF_WRITABLE))
        return nullptr;
    const Kernels *kernels = kernels_of(instructions);
    if (!kernels)
        return nullptr;
    const Py_buffer &made = out.view;
    const auto *found = std::find_if(std::begin(kernels->resamplers), std::end(kernels->resamplers),
                                     [&](const Resampler &each) { return each.pixel_bytes == made.itemsize; });
    if (found == std::end(kernels->resamplers))
        return wrong("there is no such kind of pixels");
    if (made.ndim != 3 || made.strides[2] != made.itemsize || made.strides[1] != made.shape[2] * made.itemsize)
        return wrong("the pixels of a row of the output are not side by side");
    work.rows = made.shape[0];
    work.width = made.shape[1];
    work.channels = made.shape[2];
    const auto [least, most] = std::minmax({work.rows, work.width, work.channels, work.source_rows, work.source_width,
                                            work.row_taps, work.column_taps});
    if (least < 1 || most > most_side || work.channels > most_setting
        || (work.has_alpha && work.channels != 2 && work.channels != 4)
        || !(1 <= work.divisor && work.divisor <= 0x1p100) || work.fraction_bits < 1
        || work.fraction_bits > 22 || std::min(work.near, work.colour_near) < 0
        || std::max(work.near, work.colour_near) > 1 << work.fraction_bits)
        return wrong("settings that fit nothing");
    if (!rows_are_apart(made))
        return wrong("the rows of the output do not follow one another");
    const Count sum_bytes = made.itemsize == 1 && !work.has_alpha ? sizeof(float) : sizeof(double);
    if (!holds(source, product(work.source_rows, product(work.source_width, work.channels)),
               work.is_summed ? sum_bytes : made.itemsize)
        || !holds(row_firsts, work.rows, sizeof(int32_t)) || !holds(column_firsts, work.width, sizeof(int32_t))
        || !holds(row_weights, product(work.rows, work.row_taps), sizeof(double))
        || !holds(column_weights, product(work.width, work.column_taps), sizeof(double)))
        return wrong("tables that do not fit the settings");
    for (const Buffer *input : {&source, &row_firsts, &row_weights, &column_firsts, &column_weights})
        if (!is_apart(input->view, made))
            return wrong("the output overlaps an input");
    // Copied before they are checked, so that nothing can change them afterwards.
    Scratch scratch;
    auto *rows = scratch.room<int32_t>(1, work.rows), *columns = scratch.room<int32_t>(1, work.width);
    if (scratch.is_full)
        return PyErr_NoMemory();
    std::memcpy(rows, row_firsts.view.buf, row_firsts.view.len);
    std::memcpy(columns, column_firsts.view.buf, column_firsts.view.len);
    if (!are_inside(rows, work.rows, work.row_taps, work.source_rows)
        || !are_inside(columns, work.width, work.column_taps, work.source_width))
        return wrong("tables that do not fit the settings");
    work.source = source.view.buf;
    work.out = static_cast<char *>(made.buf);
    work.out_row_bytes = made.strides[0];
    work.row_firsts = rows;
    work.column_firsts = columns;
    work.row_weights = static_cast<const double *>(row_weights.view.buf);
    work.column_weights = static_cast<const double *>(column_weights.view.buf);
    return run(found->resample, work);
}
