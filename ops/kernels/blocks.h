/* blocks.h - the blocks of sums that products keep in registers: `rows` elements (or vectors) of one operand, each
 * times `vectors` vectors of the other.
 *
 * With 16 registers a block has 12 sums, which leave some for the operands, with 32 it has 24. Two vectors of X and a
 * packed A want high blocks. SSE has no load of an element into all lanes: where A lies as it was made, two rows at a
 * time cost the fewest shuffles; packed matrices have every element COPIES times, large ones once (spread.h). */

#if UR_VECTOR == 64
enum { MOST_ROWS = 12, MOST_VECTORS = 4 };
#define EACH_BLOCK(of) UP_TO_12(of, 1) UP_TO_12(of, 2) UP_TO_8(of, 3) UP_TO_6(of, 4)
static const unsigned char most_rows[MOST_VECTORS + 1] = {0, 12, 12, 8, 6};
#elif UR_VECTOR == 32
enum { MOST_ROWS = 12, MOST_VECTORS = 3 };
#define EACH_BLOCK(of) UP_TO_12(of, 1) UP_TO_6(of, 2) UP_TO_4(of, 3)
static const unsigned char most_rows[MOST_VECTORS + 1] = {0, 12, 6, 4};
#else
enum { MOST_ROWS = 6, MOST_VECTORS = 6 };
#define EACH_BLOCK(of) UP_TO_6(of, 1) UP_TO_6(of, 2) UP_TO_2(of, 3) UP_TO_2(of, 4) UP_TO_2(of, 5) UP_TO_2(of, 6)
static const unsigned char most_rows[MOST_VECTORS + 1] = {0, 6, 6, 2, 2, 2, 2};
#endif
/* The most vectors of a strip whose blocks are the highest. */
enum { STRIP = 2 };
#define UP_TO_2(of, vectors) of(vectors, 1) of(vectors, 2)
#define UP_TO_4(of, vectors) UP_TO_2(of, vectors) of(vectors, 3) of(vectors, 4)
#define UP_TO_6(of, vectors) UP_TO_4(of, vectors) of(vectors, 5) of(vectors, 6)
#define UP_TO_8(of, vectors) UP_TO_6(of, vectors) of(vectors, 7) of(vectors, 8)
#define UP_TO_12(of, vectors) UP_TO_8(of, vectors) of(vectors, 9) of(vectors, 10) of(vectors, 11) of(vectors, 12)

#if UR_VECTOR == 16
enum { COPIES = LANE_COUNT };
#else
enum { COPIES = 1 };
#endif

/* What a block reads of an operand at p. `count` is how many lanes exist, which only load_part asks for. */
typedef vec loader(const real *p, size_t count);

INLINE vec load_whole(const real *p, size_t count)
{
    (void)count;
    return load(p);
}

/* An element in all lanes. */
INLINE vec load_element(const real *p, size_t count)
{
    (void)count;
    return p[0] - (vec){0};
}

/* The same of what lies there COPIES times. */
INLINE vec load_copies(const real *p, size_t count)
{
    return COPIES == 1 ? load_element(p, count) : load(p);
}

/* Elements that follow each other, each in all lanes of a vector; the vectors are `distance` elements apart. */
static inline void spread_row(size_t n, const real *from, size_t distance, real *to)
{
    for (; n >= LANES; n -= LANES, from += LANES) {
        const vec elements = load(from);
        UNROLL
        for (size_t l = 0; l < LANES; l++, to += distance)
            store(to, elements[l] - (vec){0});
    }
    for (; n; n--, from++, to += distance)
        store(to, load_element(from, 0));
}

/* One operand of a block: element or vector r of it is what `load` reads at at + r stride, the last one `load_last`. */
typedef struct reader {
    const real *at;
    size_t stride;
    loader *load, *load_last;
    size_t count;
} reader;

INLINE vec read_at(const reader *from, size_t r, size_t all)
{
    const real *p = from->at + r * from->stride;
    return r + 1 == all ? from->load_last(p, from->count) : from->load(p, from->count);
}

/* sum[r][v] += row r times column v: what there is less of is held in registers, the other comes one by one. */
INLINE void multiply_add(size_t vectors, size_t rows, vec (*sum)[MOST_VECTORS], reader row, reader column)
{
    vec held[MOST_ROWS];
    if (rows < vectors) {
        UNROLL
        for (size_t r = 0; r < rows; r++)
            held[r] = read_at(&row, r, rows);
        UNROLL
        for (size_t v = 0; v < vectors; v++) {
            vec x = read_at(&column, v, vectors);
            if (rows > 1)
                IN_PLACE(x); /* read once */
            UNROLL
            for (size_t r = 0; r < rows; r++)
                sum[r][v] += held[r] * x;
        }
    } else {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            held[v] = read_at(&column, v, vectors);
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            vec w = read_at(&row, r, rows);
            if (vectors > 1)
                IN_PLACE(w);
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] += w * held[v];
        }
    }
}

/* Sums stay in their registers while a loop runs: gcc, left alone, moves them about and back in every round. */
INLINE void keep_in_place(size_t vectors, size_t rows, vec (*sum)[MOST_VECTORS])
{
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            IN_PLACE(sum[r][v]);
    }
}

/* The next part of a length: `most`, but the last two parts are of like size. */
static inline size_t part_of(size_t left, size_t most)
{
    return left <= most ? left : left < 2 * most ? (left + 1) / 2 : most;
}
