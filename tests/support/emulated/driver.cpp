// Runs the kernels of one instruction set, KERNELS, without Python: reads settings and a tile from standard input, as
// emulated/__init__.py writes them, and writes the memory of the output. With an argument, runs the twofold kernels.

#include "work.h"

#include <cstdio>
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

void enlarge(const Kernels &kernels, bool is_twofold)
{
    static Work work;
    const Count pixel_bytes = number<int64_t>();
    const char sum = number<int64_t>();
    for (Count *setting : {&work.rows, &work.width, &work.out_row_bytes, &work.channels, &work.factor, &work.taps,
                           &work.window})
        *setting = number<int64_t>();
    work.division.divisor = number<double>();
    for (int *setting : {&work.division.multiplier, &work.division.shift, &work.division.multiplies,
                         &work.division.alpha_multiplies, &work.has_alpha, &work.division.overshoots,
                         &work.is_direct})
        *setting = number<int64_t>();
    std::vector<char> out = bytes();
    const auto padded = bytes(), firsts = bytes(), weights = bytes();
    std::memcpy(work.firsts, firsts.data(), firsts.size());
    work.padded = padded.data();
    work.out = out.data();
    work.weights = weights.data();
    const Kind *kind = is_twofold ? kernels.twofold : kernels.kinds;
    while (kind->sum != sum || kind->pixel_bytes != pixel_bytes)
        kind++;
    if (!kind->enlarge(work))
        std::exit(4);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace

int main(int count, char **)
{
    enlarge(KERNELS, count > 1);
}
