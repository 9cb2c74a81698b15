// All kernels, for the instruction set of the file that includes this. A new kernel is a template or plain loops in a
// header of its own, over the types and functions of that file and of vectors.h; here it enters the table.

#include "interleave.h"
#include "products.h"
#include "sums.h"
#include "finish.h"
#include "planes.h"
#include "tile.h"
#include "resample.h"
#include "row.h"
#include "net_tiles.h"
#include "net_detail.h"
#include "net_combine.h"
#include "separable.h"
#include "twofold.h"
#include "twofold_alpha.h"

namespace {

constexpr Kernels kernels_named(const char *name)
{
    return {name,
            {{'H', 1, 2, 0xFFFF, enlarge_tile<uint8_t, uint16_t>},
             {'f', 1, 4, 0x1p24, enlarge_tile<uint8_t, float>},
             {'f', 2, 4, 0x1p24, enlarge_tile<uint16_t, float>},
             {'i', 1, 4, 0x7FFFFFFF, enlarge_tile<uint8_t, int32_t>},
             {'i', 2, 4, 0x7FFFFFFF, enlarge_tile<uint16_t, int32_t>},
             {'d', 1, 8, 0x1p53, enlarge_tile<uint8_t, double>},
             {'d', 2, 8, 0x1p53, enlarge_tile<uint16_t, double>}},
            {{'\0', 1, 0, 0, twofold::enlarge<uint8_t, float>}, {'\0', 2, 0, 0, twofold::enlarge<uint16_t, double>}},
            {{'f', 1, 4, 0x1p24, sum_tile<uint8_t, float>},
             {'d', 1, 8, 0x1p53, sum_tile<uint8_t, double>},
             {'d', 2, 8, 0x1p53, sum_tile<uint16_t, double>}},
            {{1, resample::make_rows<uint8_t>}, {2, resample::make_rows<uint16_t>}},
            net::make_detail,
            {net::combine<uint8_t>, net::combine<uint16_t>}};
}

}  // namespace
