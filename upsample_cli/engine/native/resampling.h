// A part of an image to resize to any size, and what an instruction set has to resize it.

#pragma once

// The tables of resize_compiled.CompiledResize. Outputs are sums of the inputs from `first` on, times whole
// weights. Firsts are in order.
struct Resampling {
    const void *source;  // pixels; or sums of pixels, with alpha of colour times alpha
    Count source_rows, source_width, channels;
    char *out;
    Count out_row_bytes, rows, width;
    const int32_t *row_firsts, *column_firsts;  // of each row and of each column
    Count row_taps, column_taps;
    const double *row_weights, *column_weights;  // (rows, row_taps) and (width, column_taps)
    double divisor;
    int fraction_bits, near, colour_near;  // how numbers are rounded; see resize_rounding.Rounding
    double bias, colour_bias, least_alpha, clear_alpha;
    int is_short, has_alpha, is_summed;
};

struct Resampler {
    Count pixel_bytes;
    bool (*resample)(const Resampling &);  // false if there was not enough memory
};
