// All kernels, for the instruction set of the file that includes this. A new kernel is a template or plain loops in a
// header of its own, over the types and functions of that file and of vectors.h; here it enters the table.

#include "sums.h"
#include "twofold.h"

namespace {

constexpr Kernels kernels_named(const char *name)
{
    return {name,
            {{'H', 1, 2, lanes<uint16_t>, 0xFFFF, enlarge_tile<uint8_t, uint16_t>},
             {'i', 1, 4, lanes<int32_t>, 0x7FFFFFFF, enlarge_tile<uint8_t, int32_t>},
             {'i', 2, 4, lanes<int32_t>, 0x7FFFFFFF, enlarge_tile<uint16_t, int32_t>},
             {'d', 1, 8, lanes<double>, 0x1p53, enlarge_tile<uint8_t, double>},
             {'d', 2, 8, lanes<double>, 0x1p53, enlarge_tile<uint16_t, double>}},
            twofold::enlarge};
}

}  // namespace
