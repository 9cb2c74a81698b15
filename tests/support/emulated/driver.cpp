// Runs the kernels of one instruction set, KERNELS, without Python: reads settings and a tile from standard input, as
// emulated/__init__.py writes them, and writes the memory of the output. The argument names the function.

#include "work.h"

#include <cstdio>
#include <string>
#include <vector>

namespace {

template <class Type> Type number()
{
    Type value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1)
        std::exit(3);
    return value;
}

// As many bytes as the number before them says.
std::vector<char> bytes()
{
    std::vector<char> table(number<int64_t>());
    if (std::fread(table.data(), 1, table.size(), stdin) != table.size())
        std::exit(3);
    return table;
}

void read_sizes(Work &work)
{
    for (Count *setting : {&work.rows, &work.width, &work.out_row_bytes, &work.channels, &work.factor, &work.taps,
                           &work.window})
        *setting = number<int64_t>();
}

void run(Work &work, const Kind &kind)
{
    std::vector<char> out = bytes();
    const auto padded = bytes(), firsts = bytes(), weights = bytes();
    std::memcpy(work.firsts, firsts.data(), firsts.size());
    work.padded = padded.data();
    work.out = out.data();
    work.weights = weights.data();
    if (!kind.enlarge(work))
        std::exit(4);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

void enlarge(const Kernels &kernels, bool is_twofold)
{
    static Work work;
    const Count pixel_bytes = number<int64_t>();
    const char sum = number<int64_t>();
    read_sizes(work);
    work.division.divisor = number<double>();
    work.division.multiplier = number<int64_t>();
    for (int *setting : {&work.division.shift, &work.division.multiplies, &work.division.alpha_multiplies,
                         &work.has_alpha, &work.division.overshoots, &work.is_direct})
        *setting = number<int64_t>();
    const Kind *kind = is_twofold ? kernels.twofold : kernels.kinds;
    while (kind->sum != sum || kind->pixel_bytes != pixel_bytes)
        kind++;
    run(work, *kind);
}

void sum(const Kernels &kernels)
{
    static Work work;
    const Count pixel_bytes = number<int64_t>(), sum_bytes = number<int64_t>();
    read_sizes(work);
    work.has_alpha = number<int64_t>();
    const Kind *kind = kernels.sums;
    while (kind->sum_bytes != sum_bytes || kind->pixel_bytes != pixel_bytes)
        kind++;
    run(work, *kind);
}

void resample(const Kernels &kernels)
{
    Resampling work = {};
    const Count pixel_bytes = number<int64_t>();
    for (Count *setting : {&work.rows, &work.width, &work.out_row_bytes, &work.channels, &work.source_rows,
                           &work.source_width, &work.row_taps, &work.column_taps})
        *setting = number<int64_t>();
    for (double *setting :
         {&work.divisor, &work.bias, &work.colour_bias, &work.least_alpha, &work.clear_alpha})
        *setting = number<double>();
    for (int *setting : {&work.fraction_bits, &work.near, &work.colour_near, &work.is_short, &work.has_alpha, &work.is_summed})
        *setting = number<int64_t>();
    std::vector<char> out = bytes();
    const auto source = bytes(), row_firsts = bytes(), row_weights = bytes(), column_firsts = bytes(),
               column_weights = bytes();
    work.source = source.data();
    work.out = out.data();
    work.row_firsts = reinterpret_cast<const int32_t *>(row_firsts.data());
    work.row_weights = reinterpret_cast<const double *>(row_weights.data());
    work.column_firsts = reinterpret_cast<const int32_t *>(column_firsts.data());
    work.column_weights = reinterpret_cast<const double *>(column_weights.data());
    const Resampler *resampler = kernels.resamplers;
    while (resampler->pixel_bytes != pixel_bytes)
        resampler++;
    if (!resampler->resample(work))
        std::exit(4);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

void make_detail(const Kernels &kernels)
{
    NetDetail work = {};
    for (Count *setting : {&work.rows, &work.width, &work.luma_row_bytes, &work.channels, &work.layer_count, &work.outputs})
        *setting = number<int64_t>();
    std::vector<char> out = bytes();
    const auto luma = bytes(), weights = bytes(), offsets = bytes();
    std::vector<std::vector<char>> tables;
    for (Count layer = 0; layer < work.layer_count; layer++) {
        for (int table = 0; table < 3; table++)
            tables.push_back(bytes());
        const auto *made = &tables.back() - 2;
        work.layers[layer] = {reinterpret_cast<const int8_t *>(made[0].data()),
                              reinterpret_cast<const int32_t *>(made[1].data()),
                              reinterpret_cast<const uint8_t *>(made[2].data())};
    }
    work.luma = reinterpret_cast<const uint8_t *>(luma.data());
    work.weights = reinterpret_cast<const int8_t *>(weights.data());
    work.offsets = reinterpret_cast<const int32_t *>(offsets.data());
    work.out = reinterpret_cast<int32_t *>(out.data());
    if (!kernels.net_detail(work))
        std::exit(4);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

void combine(const Kernels &kernels)
{
    NetSum work = {};
    const Count pixel_bytes = number<int64_t>();
    for (Count *setting : {&work.rows, &work.width, &work.pixels_row_bytes, &work.channels, &work.factor,
                           &work.out_row_bytes})
        *setting = number<int64_t>();
    work.bits = number<int64_t>();
    std::vector<char> out = bytes();
    const auto pixels = bytes(), weights = bytes(), detail = bytes();
    work.pixels = pixels.data();
    work.weights = reinterpret_cast<const int16_t *>(weights.data());
    work.detail = reinterpret_cast<const int32_t *>(detail.data());
    work.out = out.data();
    if (!kernels.net_combine[pixel_bytes - 1](work))
        std::exit(4);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace

int main(int, char **arguments)
{
    const std::string function = arguments[1];
    if (function == "resample")
        resample(KERNELS);
    else if (function == "sums")
        sum(KERNELS);
    else if (function == "net_detail")
        make_detail(KERNELS);
    else if (function == "net_combine")
        combine(KERNELS);
    else
        enlarge(KERNELS, function == "twofold");
}
