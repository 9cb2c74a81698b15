// Checks the arguments of `net_detail` and `net_combine`. Included by module.cpp.

// An array of numbers of one type. Only its first axis may have any stride: one that leaves no two rows overlapping.
struct Numbers {
    Buffer buffer;
    Count row_bytes = 0, row_length = 0;  // from one row to the next, and of the numbers in it

    // Returns false and sets an error if the object does not give such memory. The types are characters of Python's
    // module `struct`; `bytes` is 0 if they say the size.
    bool take(PyObject *object, const char *types, Count bytes, int axes, int flags = 0)
    {
        Py_buffer &view = buffer.view;
        if (PyObject_GetBuffer(object, &view, PyBUF_STRIDES | PyBUF_FORMAT | flags))
            return false;
        bytes = bytes ? bytes : view.itemsize;
        const char *format = view.format ? view.format : "B";
        if (view.ndim != axes || view.itemsize != bytes || !*format || format[1] || !std::strchr(types, *format)) {
            wrong("an array has another number of axes or another type of numbers than expected");
            return false;
        }
        row_length = bytes;
        bool is_whole = true;
        for (int axis = axes - 1; axis >= 0; axis--) {
            const Count side = view.shape[axis], stride = view.strides[axis];
            is_whole = is_whole && 1 <= side && side <= most_side && (axis == 0 || side == 1 || stride == row_length);
            if (axis > 0)
                row_length = product(row_length, side);
        }
        row_bytes = is_whole && view.shape[0] > 1 ? view.strides[0] : row_length;
        if (is_whole && row_length <= row_bytes && product(view.shape[0], row_bytes) < most_count
            && reinterpret_cast<uintptr_t>(view.buf) % bytes == 0 && row_bytes % bytes == 0)
            return true;
        wrong("the numbers of an array do not follow one another");
        return false;
    }

    Count side(int axis) const { return buffer.view.shape[axis]; }

    bool is_of(std::initializer_list<Count> shape) const
    {
        return std::equal(shape.begin(), shape.end(), buffer.view.shape);
    }

    bool is_contiguous() const { return row_bytes == row_length; }

    template <class Number> Number *numbers() const { return static_cast<Number *>(buffer.view.buf); }

    bool is_apart_from(const Numbers &other) const { return end() <= other.begin() || other.end() <= begin(); }

private:
    const char *begin() const { return static_cast<const char *>(buffer.view.buf); }
    const char *end() const { return begin() + (side(0) - 1) * row_bytes + row_length; }
};

// The kernels named by an argument, or the fastest if there is none.
const Kernels *kernels_or_fastest(const char *name)
{
    if (name)
        return kernels_of(name);
    return *std::find_if(std::begin(compiled), std::end(compiled), [](const Kernels *each) { return runs_here(*each); });
}

// Whether no sum of a filter can reach 2**24, so that it is exact in every type.
bool sums_are_exact(const int8_t *weights, Count count, int64_t added)
{
    int64_t sum = std::abs(added);
    for (Count at = 0; at < count; at++)
        sum += 255 * std::abs(int(weights[at]));
    return sum < 1 << 24;
}

constexpr char is_int8[] = "b", is_uint8[] = "B", is_int16[] = "h", is_uint16[] = "H", is_int32[] = "il";

// The arrays of a layer, and their values. Sets an error and returns false if they do not fit.
struct LayerArrays {
    Numbers weights, biases, shifts;

    bool take(PyObject *given, Count inputs, Count &channels, NetLayer &layer)
    {
        PyObject *weight, *bias, *shift;
        if (!PyTuple_Check(given)) {
            wrong("a layer is not a tuple");
            return false;
        }
        if (!PyArg_ParseTuple(given, "OOO;a layer is a weight, a bias and a shift", &weight, &bias, &shift)
            || !weights.take(weight, is_int8, 1, 4) || !biases.take(bias, is_int32, 4, 1)
            || !shifts.take(shift, is_uint8, 1, 1))
            return false;
        if (!channels)
            channels = weights.side(0);
        layer = {weights.numbers<int8_t>(), biases.numbers<int32_t>(), shifts.numbers<uint8_t>()};
        bool fits = channels <= most_net_channels && weights.is_of({channels, inputs ? inputs : channels, 3, 3})
                    && biases.is_of({channels}) && shifts.is_of({channels}) && weights.is_contiguous()
                    && biases.is_contiguous() && shifts.is_contiguous();
        const Count filter = fits ? weights.side(1) * 9 : 0;
        for (Count at = 0; fits && at < channels; at++)
            fits = layer.shifts[at] < 32 && sums_are_exact(layer.weights + at * filter, filter, layer.biases[at]);
        if (!fits)
            wrong("a layer does not fit the network, or its sums are too large to be exact");
        return fits;
    }
};

// A reference to a Python object, released at the end of the scope.
struct Owned {
    PyObject *object;
    ~Owned() { Py_XDECREF(object); }
};

PyObject *net_detail(PyObject *, PyObject *arguments)
{
    PyObject *given_luma, *given_layers, *given_weight, *given_offset, *given_out;
    const char *instructions = nullptr;
    if (!PyArg_ParseTuple(arguments, "OOOOO|s:net_detail", &given_luma, &given_layers, &given_weight, &given_offset,
                          &given_out, &instructions))
        return nullptr;
    const Kernels *kernels = kernels_or_fastest(instructions);
    if (!kernels)
        return nullptr;
    const Owned layers{PySequence_Tuple(given_layers)};  // nothing can change it while buffers are taken
    if (!layers.object)
        return nullptr;
    NetDetail work = {};
    work.layer_count = PyTuple_Size(layers.object);
    if (work.layer_count < 1 || work.layer_count > most_net_layers)
        return wrong("a network has 1 to 16 layers");
    LayerArrays arrays[most_net_layers];
    for (Count at = 0; at < work.layer_count; at++)
        if (!arrays[at].take(PyTuple_GetItem(layers.object, at), at == 0, work.channels, work.layers[at]))
            return nullptr;
    Numbers luma, weight, offset, out;
    if (!luma.take(given_luma, is_uint8, 1, 2) || !weight.take(given_weight, is_int8, 1, 4)
        || !offset.take(given_offset, is_int32, 4, 1) || !out.take(given_out, is_int32, 4, 3, PyBUF_WRITABLE))
        return nullptr;
    work.rows = out.side(0);
    work.width = out.side(1);
    work.outputs = out.side(2);
    const Count rim = 2 * (work.layer_count + 1), filter = 9 * work.channels;
    if ((work.outputs != 4 && work.outputs != 9 && work.outputs != 16) || !weight.is_contiguous()
        || !weight.is_of({work.outputs, work.channels, 3, 3}) || !offset.is_of({work.outputs})
        || !offset.is_contiguous() || !out.is_contiguous() || !luma.is_of({work.rows + rim, work.width + rim}))
        return wrong("the arrays do not fit one another");
    work.weights = weight.numbers<int8_t>();
    work.offsets = offset.numbers<int32_t>();
    for (Count at = 0; at < work.outputs; at++)
        if (!sums_are_exact(work.weights + at * filter, filter, work.offsets[at]))
            return wrong("the sums of the detail are too large to be exact");
    bool is_apart = luma.is_apart_from(out) && weight.is_apart_from(out) && offset.is_apart_from(out);
    for (const LayerArrays *layer = arrays; layer < arrays + work.layer_count; layer++)
        for (const Numbers *each : {&layer->weights, &layer->biases, &layer->shifts})
            is_apart = is_apart && each->is_apart_from(out);
    if (!is_apart)
        return wrong("the output overlaps an input");
    work.luma = luma.numbers<uint8_t>();
    work.luma_row_bytes = luma.row_bytes;
    work.out = out.numbers<int32_t>();
    return run(kernels->net_detail, work);
}

PyObject *net_combine(PyObject *, PyObject *arguments)
{
    PyObject *given_pixels, *given_linear, *given_detail, *given_out;
    const char *instructions = nullptr;
    NetSum work = {};
    if (!PyArg_ParseTuple(arguments, "OOOiO|s:net_combine", &given_pixels, &given_linear, &given_detail, &work.bits,
                          &given_out, &instructions))
        return nullptr;
    const Kernels *kernels = kernels_or_fastest(instructions);
    if (!kernels)
        return nullptr;
    Numbers pixels, linear, detail, out;
    if (!linear.take(given_linear, is_int16, 2, 3) || !detail.take(given_detail, is_int32, 4, 3))
        return nullptr;
    if (!pixels.take(given_pixels, "BH", 0, 3))
        return nullptr;
    const Count pixel_bytes = pixels.buffer.view.itemsize;
    if (!out.take(given_out, pixel_bytes == 1 ? is_uint8 : is_uint16, pixel_bytes, 3, PyBUF_WRITABLE))
        return nullptr;
    work.rows = detail.side(0);
    work.width = detail.side(1);
    work.channels = pixels.side(2);
    const Count outputs = detail.side(2);
    work.factor = outputs == 4 ? 2 : outputs == 9 ? 3 : 4;
    if (work.factor * work.factor != outputs || work.channels > 4 || work.bits < 8 || work.bits > 20
        || !linear.is_of({outputs, 7, 7}) || !linear.is_contiguous() || !detail.is_contiguous()
        || !pixels.is_of({work.rows + 6, work.width + 6, work.channels})
        || !out.is_of({work.rows * work.factor, work.width * work.factor, work.channels}))
        return wrong("the arrays do not fit one another");
    if (!pixels.is_apart_from(out) || !linear.is_apart_from(out) || !detail.is_apart_from(out))
        return wrong("the output overlaps an input");
    work.pixels = pixels.numbers<char>();
    work.pixels_row_bytes = pixels.row_bytes;
    work.weights = linear.numbers<int16_t>();
    work.detail = detail.numbers<int32_t>();
    work.out = out.numbers<char>();
    work.out_row_bytes = out.row_bytes;
    return run(kernels->net_combine[pixel_bytes - 1], work);
}
