/* support.c - errors, memory, text and numbers that every folder of the library uses. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

bool ur__fail_list(ur_error *error, const char *format, va_list list)
{
    if (error && !error->text[0]) {
        vsnprintf(error->text, sizeof error->text, format, list);
        for (char *c = error->text; *c; c++) /* one line, whatever a file or an argument held */
            if ((unsigned char)*c < ' ' || *c == 127)
                *c = ' ';
    }
    return false;
}

bool ur__fail(ur_error *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    ur__fail_list(error, format, list);
    va_end(list);
    return false;
}

/* ---- memory */

void *ur__resize_by_malloc(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    (void)user;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, new_bytes);
}

ur_allocator ur__allocator(const ur_allocator *allocator)
{
    if (allocator && allocator->resize)
        return *allocator;
    return (ur_allocator){.resize = ur__resize_by_malloc};
}

void *ur__resize(const ur_allocator *a, void *block, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes > SIZE_MAX / 2)
        return NULL;
    return a->resize(a->user, block, old_bytes, new_bytes);
}

void *ur__new(const ur_allocator *a, size_t bytes)
{
    return ur__resize(a, NULL, 0, bytes ? bytes : 1);
}

void ur__free(const ur_allocator *a, void *block, size_t bytes)
{
    if (block)
        a->resize(a->user, block, bytes ? bytes : 1, 0);
}

size_t ur__times(size_t a, size_t b)
{
    return b && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

uint64_t ur__hash(const char *text, uint64_t h)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

/* ---- arena: a list of blocks, the one that is being filled first; large requests get a block of their own behind it */

enum { BLOCK_BYTES = 65536, ALIGNMENT = 64 };

struct ur__block {
    struct ur__block *next;
    size_t bytes, used;
};

static struct ur__block *new_block(ur__arena *arena, const ur_allocator *a, size_t need)
{
    const size_t least = need + sizeof(struct ur__block) + 2 * (size_t)ALIGNMENT;
    const bool large = least > BLOCK_BYTES;
    const size_t bytes = large ? least : BLOCK_BYTES;
    struct ur__block *b = (struct ur__block *)ur__new_pages(a, bytes);
    if (!b)
        return NULL;
    struct ur__block **place = large && arena->block ? &arena->block->next : &arena->block;
    *b = (struct ur__block){.next = *place, .bytes = bytes};
    b->used =
        ur__round_up((size_t)((uintptr_t)b % ALIGNMENT) + sizeof *b, ALIGNMENT) - (size_t)((uintptr_t)b % ALIGNMENT);
    *place = b;
    arena->bytes += bytes;
    return b;
}

void *ur__arena_new(ur__arena *arena, const ur_allocator *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 4)
        return NULL;
    size_t need = ur__round_up(bytes, ALIGNMENT);
    struct ur__block *b = arena->block;
    if (!b || b->bytes - b->used < need)
        b = new_block(arena, a, need);
    if (!b)
        return NULL;
    void *result = (char *)b + b->used;
    b->used += need;
    return result;
}

const char *ur__arena_text(ur__arena *arena, const ur_allocator *a, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = (char *)ur__arena_new(arena, a, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void ur__arena_free(ur__arena *arena, const ur_allocator *a)
{
    for (struct ur__block *b = arena->block; b;) {
        struct ur__block *next = b->next;
        ur__free(a, b, b->bytes);
        b = next;
    }
    *arena = (ur__arena){0};
}

/* ---- text */

void ur__print(ur__text *out, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    size_t room = out->text && out->bytes > out->length ? out->bytes - out->length : 0;
    int n = vsnprintf(room ? out->text + out->length : NULL, room, format, list);
    va_end(list);
    out->length += n > 0 ? (size_t)n : 0;
}

bool ur__concatenate(char *out, size_t room, const char *a, const char *b)
{
    size_t n = 0;
    for (; *a && n + 1 < room; a++)
        out[n++] = *a;
    for (; *b && n + 1 < room; b++)
        out[n++] = *b;
    out[n] = '\0';
    return !*a && !*b;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t ur__edits(const char *a, size_t a_length, const char *b)
{
    size_t row[UR__EDITED + 1], b_length = least(strlen(b), UR__EDITED);
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= least(a_length, UR__EDITED); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

/* ---- numbers */

void ur__get_row(ur_dtype dtype, const void *vector, size_t begin, size_t n, double *out)
{
    if (dtype == UR_F32)
        for (size_t i = 0; i < n; i++)
            out[i] = (double)((const float *)vector)[begin + i];
    else
        memcpy(out, (const double *)vector + begin, n * sizeof *out);
}

void ur__put_row(ur_dtype dtype, void *vector, size_t begin, size_t n, const double *values)
{
    if (dtype == UR_F32)
        for (size_t i = 0; i < n; i++)
            ((float *)vector)[begin + i] = (float)values[i];
    else
        memcpy((double *)vector + begin, values, n * sizeof *values);
}
