// Interleaves planes, each with the pixels of one phase: the first pixel of every plane, then the second, and so on.
//
// A vector of the row has bytes from several planes. The pattern repeats after a few vectors (the period), so tables
// list the pieces of each vector of one period.

namespace {

constexpr int halves = vector_bytes / piece_bytes;  // one or two, each with its own offset

// Readable bytes that every plane must have after its pixels.
constexpr Count plane_slack = 2 * vector_bytes;

struct Interleaving {
    Count period, plane_step;  // in vectors, and in bytes of each plane
    int pieces;                // the most planes that `piece_bytes` bytes of a vector come from
    Count *from;               // (period, pieces, halves): offset from the start of the first plane
    Bytes *masks;              // (period, pieces)
};

// A vector, with its own offset for each half if there are two.
inline Bytes taken(const uint8_t *from, const Count *places)
{
    if constexpr (halves == 1)
        return loaded<Bytes>(from + *places);
    else
        return gathered(from, places);
}

// Where byte `at` of the row comes from.
struct Place {
    Count plane, offset;
    Place(Count at, Count factor, Count pixel_bytes)
        : plane(at / pixel_bytes % factor), offset(at / (factor * pixel_bytes) * pixel_bytes + at % pixel_bytes)
    {
    }
};

// The number of planes that `piece_bytes` bytes of the row come from, beginning at `start`.
inline int planes_met(Count start, Count factor, Count pixel_bytes)
{
    return std::min(factor, (start + piece_bytes - 1) / pixel_bytes - start / pixel_bytes + 1);
}

// The bytes after which a pattern of `bytes` bytes is again at the start of a vector.
inline Count repeated(Count bytes)
{
    while (bytes % vector_bytes)
        bytes *= 2;
    return bytes;
}

// The sizes of the tables for `factor` planes.
inline Interleaving measured(Count factor, Count pixel_bytes)
{
    Interleaving made = {};
    const Count bytes = repeated(factor * pixel_bytes);
    made.period = bytes / vector_bytes;
    made.plane_step = bytes / factor;
    for (Count start = 0; start < bytes; start += piece_bytes)
        made.pieces = std::max(made.pieces, planes_met(start, factor, pixel_bytes));
    return made;
}

// Fills the tables. The planes are `plane_bytes` apart.
inline void fill(Interleaving &tables, Count factor, Count pixel_bytes, Count plane_bytes)
{
    uint8_t *masks = reinterpret_cast<uint8_t *>(tables.masks);
    std::memset(masks, 0x80, tables.period * tables.pieces * sizeof(Bytes));
    for (Count start = 0; start < tables.period * vector_bytes; start += piece_bytes) {
        const Count vector = start / vector_bytes * tables.pieces, half = start / piece_bytes % halves;
        Count planes[piece_bytes];
        int met = 0;
        for (int at = 0; at < piece_bytes; at++) {
            const Place place(start + at, factor, pixel_bytes);
            const int piece = std::find(planes, planes + met, place.plane) - planes;
            Count &from = tables.from[(vector + piece) * halves + half];
            if (piece == met) {
                planes[met++] = place.plane;
                from = place.plane * plane_bytes + place.offset;
            }
            masks[(vector + piece) * sizeof(Bytes) + half * piece_bytes + at] =
                place.plane * plane_bytes + place.offset - from;
        }
        for (int piece = met; piece < tables.pieces; piece++)  // its masks take no bytes
            tables.from[(vector + piece) * halves + half] = tables.from[vector * halves + half];
    }
}

// Writes `bytes` bytes of the row. Pieces is `tables.pieces` if that is known when compiling, otherwise 0.
template <int Pieces> void interleave_pieces(const Interleaving &tables, const uint8_t *planes, Count bytes, uint8_t *out)
{
    const int pieces = Pieces ? Pieces : tables.pieces;
    const Count *from;
    const Bytes *masks;
    const auto next = [&] {
        Bytes made = shuffled(taken(planes, from), masks[0]);
        for (int piece = 1; piece < pieces; piece++)
            made |= shuffled(taken(planes, from + piece * halves), masks[piece]);
        from += pieces * halves;
        masks += pieces;
        return made;
    };
    const Count period_bytes = tables.period * vector_bytes;
    for (; bytes >= period_bytes; bytes -= period_bytes, planes += tables.plane_step) {
        from = tables.from;
        masks = tables.masks;
        for (Count vector = 0; vector < tables.period; vector++, out += vector_bytes)
            store(next(), out);
    }
    from = tables.from;
    masks = tables.masks;
    for (; bytes >= vector_bytes; bytes -= vector_bytes, out += vector_bytes)
        store(next(), out);
    if (bytes > 0) {
        const Bytes last = next();
        std::memcpy(out, &last, bytes);
    }
}

inline void interleave(const Interleaving &tables, const void *planes, Count bytes, void *out)
{
    const auto *from = static_cast<const uint8_t *>(planes);
    auto *to = static_cast<uint8_t *>(out);
    switch (tables.pieces) {
    case 2: return interleave_pieces<2>(tables, from, bytes, to);
    case 3: return interleave_pieces<3>(tables, from, bytes, to);
    case 4: return interleave_pieces<4>(tables, from, bytes, to);
    default: return interleave_pieces<0>(tables, from, bytes, to);
    }
}

}  // namespace
