// Runs the kernels of one instruction set without Python: `driver SET lanes SUM`, `driver SET sums` and `driver SET
// twofold`, which read a tile from standard input and write the memory of the output. emulated/__init__.py calls it.

#include "work.h"

#include <cstdio>
#include <vector>

namespace {

const Kernels *const all[] = {
#if defined(__aarch64__)
    &neon_kernels,
#endif
    &portable_kernels,
};

template <class Type> Type number()
{
    Type value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1)
        std::exit(3);
    return value;
}

// As many bytes as the header says, in memory of their own, so that a sanitizer sees accesses outside.
std::vector<char> bytes()
{
    std::vector<char> table(number<int64_t>());
    if (std::fread(table.data(), 1, table.size(), stdin) != table.size())
        std::exit(3);
    return table;
}

struct Output {
    Count rows = number<int64_t>(), width = number<int64_t>(), channels = number<int64_t>();
    Count pixel_bytes = number<int64_t>(), row_bytes = number<int64_t>();
    std::vector<char> memory = bytes();

    void write() const { std::fwrite(memory.data(), 1, memory.size(), stdout); }
};

const Kind &kind_of(const Kernels &kernels, char sum, Count pixel_bytes)
{
    for (const Kind &kind : kernels.kinds)
        if (kind.sum == sum && kind.pixel_bytes == pixel_bytes)
            return kind;
    std::exit(4);
}

void enlarge(const Kernels &kernels)
{
    Output out;
    static Work work;
    work.channels = out.channels;
    const Kind &kind = kind_of(kernels, number<int64_t>(), out.pixel_bytes);
    for (Count *setting : {&work.factor, &work.taps, &work.window, &work.period, &work.advance})
        *setting = number<int64_t>();
    work.division = {number<double>()};
    work.division.multiplier = number<int64_t>();
    work.division.shift = number<int64_t>();
    work.has_alpha = number<int64_t>();
    work.division.overshoots = number<int64_t>();
    const auto padded = bytes(), first_rows = bytes(), first_columns = bytes(), row_weights = bytes();
    const auto column_weights = bytes(), order = bytes();
    std::memcpy(work.first_rows, first_rows.data(), first_rows.size());
    std::memcpy(work.first_columns, first_columns.data(), first_columns.size());
    work.padded = padded.data();
    work.out = out.memory.data();
    work.out_row_bytes = out.row_bytes;
    work.row_weights = row_weights.data();
    work.column_weights = column_weights.data();
    work.order = order.data();
    measure(work, out.rows, out.width, kind.lanes);
    std::free(kind.enlarge(work));
    out.write();
}

void enlarge_twofold(const Kernels &kernels)
{
    Output out;
    const auto padded = bytes();
    kernels.enlarge_twofold(reinterpret_cast<const uint8_t *>(padded.data()), out.rows / 2, out.width / 2,
                            out.channels, reinterpret_cast<uint8_t *>(out.memory.data()), out.row_bytes);
    out.write();
}

}  // namespace

int main(int count, char **arguments)
{
    for (const Kernels *kernels : all) {
        if (count < 3 || std::strcmp(kernels->name, arguments[1]))
            continue;
        if (!std::strcmp(arguments[2], "lanes"))
            std::printf("%d", kind_of(*kernels, *arguments[3], *arguments[3] == 'H' ? 1 : 2).lanes);
        else
            !std::strcmp(arguments[2], "sums") ? enlarge(*kernels) : enlarge_twofold(*kernels);
        return 0;
    }
    return 2;
}
