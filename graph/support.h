/* support.h - errors, memory, text and numbers that every folder of the library uses. Not installed. */
#ifndef UR_SUPPORT_H
#define UR_SUPPORT_H

#include <stdarg.h>

#include "graph.h"

/* Writes the error unless there is one already. Returns false, so that a function can end with it. */
bool ur__fail(ur_error *error, const char *format, ...) UR_PRINTF(2, 3);
bool ur__fail_list(ur_error *error, const char *format, va_list list);

/* The allocator that is used where none is given: malloc's. */
void *ur__resize_by_malloc(void *user, void *block, size_t old_bytes, size_t new_bytes);
/* The allocator's calls; a zero allocator is malloc's. New memory is not cleared. */
ur_allocator ur__allocator(const ur_allocator *allocator);
void *ur__resize(const ur_allocator *a, void *block, size_t old_bytes, size_t new_bytes);
void *ur__new(const ur_allocator *a, size_t bytes);
/* The same for a block that keeps its size: malloc's begin on a large page if they are large. */
void *ur__new_pages(const ur_allocator *a, size_t bytes);
void ur__free(const ur_allocator *a, void *block, size_t bytes);

/* Memory for a while from the tape's allocator; NULL, with the tape's error set, when there is none. It is given back with
 * as many bytes. */
void *ur__take(ur_tape *tape, size_t bytes);
void ur__give(ur_tape *tape, void *block, size_t bytes);

/* a * b, or SIZE_MAX when it does not fit. */
size_t ur__times(size_t a, size_t b);
/* The next multiple of unit. */
static inline size_t ur__round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* FNV-1a (Fowler, Noll and Vo 1991): the hash of what `h` is the hash of, followed by `text`. */
#define UR__HASH_START UINT64_C(14695981039346656037)
uint64_t ur__hash(const char *text, uint64_t h);
/* The hash of what `h` is the hash of, followed by the number x; its low bits are good ones. */
static inline uint64_t ur__mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

/* ur_random's first 32 bits, `name` being the hash of the stream; a row: at counter, counter + 2^32, ... */
enum { UR__RANDOM_ROW = 64 };
uint32_t ur__random_bits(uint64_t seed, uint64_t name, uint64_t counter);
void ur__random_row(uint64_t seed, uint64_t name, uint64_t counter, uint32_t bits[UR__RANDOM_ROW]);

/* Many small blocks that live and die together. */
typedef struct ur__arena {
    struct ur__block *block;
    size_t bytes; /* taken from the allocator */
} ur__arena;

/* 64-byte aligned memory, or NULL. */
void *ur__arena_new(ur__arena *arena, const ur_allocator *a, size_t bytes);
const char *ur__arena_text(ur__arena *arena, const ur_allocator *a, const char *text);
void ur__arena_free(ur__arena *arena, const ur_allocator *a);

/* Text into a fixed buffer, or none: what does not fit is cut off, `length` goes on counting. */
typedef struct ur__text {
    char *text;
    size_t bytes, length;
} ur__text;

void ur__print(ur__text *out, const char *format, ...) UR_PRINTF(2, 3);

/* out = a, then b, cut off where they and their end take more than `room` bytes: false then. Names are made for every step:
 * this is faster than to print them. */
bool ur__concatenate(char *out, size_t room, const char *a, const char *b);

/* Characters to insert, delete or replace until the one text is the other (Levenshtein 1966). The first has a_length of
 * them; of each the first UR__EDITED count. */
enum { UR__EDITED = 128 };
size_t ur__edits(const char *a, size_t a_length, const char *b);

/* Goes on to the next place in an array of these sizes, the last dimension first; false when it was the last place. */
static inline bool ur__next(size_t at[UR_RANK], const size_t size[UR_RANK])
{
    for (int i = UR_RANK; i-- > 0; at[i] = 0)
        if (++at[i] < size[i])
            return true;
    return false;
}
static inline size_t ur__offset(const size_t at[UR_RANK], const size_t stride[UR_RANK])
{
    size_t offset = 0;
    for (int i = 0; i < UR_RANK; i++)
        offset += at[i] * stride[i];
    return offset;
}

/* Element i of a vector in a tape's type. */
static inline double ur__get(ur_dtype dtype, const void *vector, size_t i)
{
    return dtype == UR_F32 ? (double)((const float *)vector)[i] : ((const double *)vector)[i];
}

static inline void ur__put(ur_dtype dtype, void *vector, size_t i, double value)
{
    if (dtype == UR_F32)
        ((float *)vector)[i] = (float)value;
    else
        ((double *)vector)[i] = value;
}

/* Elements begin ... begin + n - 1 of such a vector. */
void ur__get_row(ur_dtype dtype, const void *vector, size_t begin, size_t n, double *out);
void ur__put_row(ur_dtype dtype, void *vector, size_t begin, size_t n, const double *values);

#endif
