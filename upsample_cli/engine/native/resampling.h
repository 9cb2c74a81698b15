// A part of an image to resize to any size, and what an instruction set has to resize it.

#pragma once

// Neighbouring rows of outputs are computed together, each in a lane of its own.
constexpr int resampled_lines = 8;

// The tables of resample.CompiledAxes. Outputs are sums of the inputs from `first` on, times whole weights.
struct Resampling {
    const void *source;
    Count source_rows, source_width, channels;
    char *out;
    Count out_row_bytes, rows, width;
    const int32_t *row_firsts, *column_firsts;  // of each group of rows, and of each column
    Count row_taps, column_taps;
    const double *row_weights;     // (groups, row_taps, resampled_lines)
    const double *column_weights;  // (width, column_taps)
    Division division;
    double uncertainty;  // of a quotient in float32, in levels
    int has_alpha;
};

struct Resampler {
    char sum;
    Count pixel_bytes;
    bool (*resample)(const Resampling &);  // false if there was not enough memory
};
