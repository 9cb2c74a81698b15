// A network of whole numbers on a part of an image, as the code for each instruction set gets it.

#pragma once

// Far above any network, and small enough that each sum fits in 32 bits.
constexpr Count most_net_layers = 16, most_net_channels = 32;

// A convolution of 3 by 3, and how its sums become numbers from 0 to 255.
struct NetLayer {
    const int8_t *weights;  // (channels, inputs, 3, 3); the first layer has one input
    const int32_t *biases;
    const uint8_t *shifts;
};

// What is added to each output, from luma.
struct NetDetail {
    const uint8_t *luma;  // with a rim of one pixel for each layer and one for the detail
    Count luma_row_bytes, rows, width;  // without that rim
    Count channels, layer_count, outputs;  // outputs: of each pixel
    NetLayer layers[most_net_layers];
    const int8_t *weights;  // (outputs, channels, 3, 3)
    const int32_t *offsets;
    int32_t *out;  // (rows, width, outputs)
};

// A linear kernel on each channel, and the detail.
struct NetSum {
    const char *pixels;  // with a rim of three pixels
    Count pixels_row_bytes, rows, width, channels, factor;  // without the rim
    const int16_t *weights;  // (outputs, 7, 7)
    const int32_t *detail;
    int bits;  // the sum is divided by 2**bits
    char *out;
    Count out_row_bytes;
};
