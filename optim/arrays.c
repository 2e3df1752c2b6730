/* arrays.c - an ordered set of named dense arrays and of text metadata. */
#include <math.h>
#include <string.h>

#include "files.h"

/* ---- types */

static const struct {
    const char *name;
    int bits;
} types[UR_ARRAY_TYPES] = {
    [UR_ARRAY_F32] = {"F32", 32},
    [UR_ARRAY_F64] = {"F64", 64},
    [UR_ARRAY_I32] = {"I32", 32},
    [UR_ARRAY_I64] = {"I64", 64},
    [UR_ARRAY_BOOL] = {"BOOL", 8},
    [UR_ARRAY_F4] = {"F4", 4},
    [UR_ARRAY_F6_E2M3] = {"F6_E2M3", 6},
    [UR_ARRAY_F6_E3M2] = {"F6_E3M2", 6},
    [UR_ARRAY_U8] = {"U8", 8},
    [UR_ARRAY_I8] = {"I8", 8},
    [UR_ARRAY_F8_E5M2] = {"F8_E5M2", 8},
    [UR_ARRAY_F8_E4M3] = {"F8_E4M3", 8},
    [UR_ARRAY_F8_E8M0] = {"F8_E8M0", 8},
    [UR_ARRAY_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [UR_ARRAY_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [UR_ARRAY_I16] = {"I16", 16},
    [UR_ARRAY_U16] = {"U16", 16},
    [UR_ARRAY_F16] = {"F16", 16},
    [UR_ARRAY_BF16] = {"BF16", 16},
    [UR_ARRAY_U32] = {"U32", 32},
    [UR_ARRAY_U64] = {"U64", 64},
    [UR_ARRAY_C64] = {"C64", 64},
};

static bool is_type(ur_array_type type)
{
    return (unsigned)type < UR_ARRAY_TYPES;
}

const char *ur_array_type_name(ur_array_type type)
{
    return is_type(type) ? types[type].name : "?";
}

int ur__array_type_bits(ur_array_type type)
{
    return types[type].bits;
}

bool ur__array_type_find(const char *name, ur_array_type *type)
{
    for (int i = 0; i < UR_ARRAY_TYPES; i++)
        if (strcmp(types[i].name, name) == 0) {
            *type = (ur_array_type)i;
            return true;
        }
    return false;
}

bool ur__array_is_integer(const ur_array *array)
{
    return array->type == UR_ARRAY_I32 || array->type == UR_ARRAY_I64;
}

int64_t ur__array_integer(const ur_array *array, size_t i)
{
    return array->type == UR_ARRAY_I32 ? ((const int32_t *)array->data)[i] : ((const int64_t *)array->data)[i];
}

/* ---- shapes */

const char *ur__sizes_text(int rank, const int64_t *size, char text[UR_ARRAY_TEXT])
{
    ur__text out = {.text = text, .bytes = UR_ARRAY_TEXT};
    ur__print(&out, "[");
    for (int i = 0; i < rank; i++)
        ur__print(&out, "%s%lld", i ? "," : "", (long long)size[i]);
    ur__print(&out, "]");
    return text;
}

const char *ur_array_shape(const ur_array *array, char text[UR_ARRAY_TEXT])
{
    return ur__sizes_text(array ? array->rank : 0, array ? array->size : NULL, text);
}

bool ur__array_bytes(ur_array_type type, int rank, const int64_t *size, size_t *count, size_t *bytes)
{
    *count = 1;
    for (int i = 0; i < rank; i++)
        if (size[i] == 0)
            *count = 0;
    for (int i = 0; i < rank; i++)
        *count = (uint64_t)size[i] > SIZE_MAX ? SIZE_MAX : ur__times(*count, (size_t)size[i]);
    size_t bits = ur__times(*count, (size_t)types[type].bits);
    *bytes = bits / 8;
    return bits != SIZE_MAX && bits % 8 == 0;
}

/* ---- elements */

bool ur__array_has_numbers(const ur_array *array, ur_error *error)
{
    return array->type <= UR_ARRAY_I64 ||
           ur__fail_in(error, array->file, "%.80s has dtype %s, expected F32, F64, I32 or I64", array->name,
                       ur_array_type_name(array->type));
}

/* Of one of the first four types. */
static double element(const ur_array *array, size_t i)
{
    if (array->type == UR_ARRAY_F32)
        return (double)((const float *)array->data)[i];
    if (array->type == UR_ARRAY_F64)
        return ((const double *)array->data)[i];
    return (double)ur__array_integer(array, i);
}

bool ur__array_is_finite(const ur_array *array, const char *path, ur_error *error)
{
    size_t i = 0;
    if (!ur__array_has_numbers(array, error))
        return false;
    while (i < array->count && isfinite(element(array, i)))
        i++;
    return i == array->count ||
           ur__fail_in(error, path, "%.80s, element %zu, is %g, a finite number was expected", array->name, i,
                       isnan(element(array, i)) ? NAN : element(array, i)); /* printf's -nan tells nothing */
}

bool ur__array_convert(const ur_array *array, ur_dtype dtype, void *out, ur_error *error)
{
    if (!ur__array_has_numbers(array, error))
        return false;
    for (size_t i = 0; i < array->count; i++)
        ur__put(dtype, out, i, element(array, i));
    return true;
}

bool ur_array_get(const ur_array *array, double *out, ur_error *error)
{
    if (!array || (!out && array->count > 0))
        return ur__fail(error, array ? "there is no room for the numbers of an array" : "there is no array to read");
    return ur__array_convert(array, UR_F64, out, error);
}

static bool is_integer_of(ur_array_type type, double value)
{
    double limit = type == UR_ARRAY_I32 ? 0x1p31 : 0x1p63;
    return value >= -limit && value < limit && floor(value) == value;
}

bool ur__array_set_part(ur_array *array, size_t begin, size_t n, const double *values, ur_error *error)
{
    if (!array || (!values && n > 0))
        return ur__fail(error, array ? "there are no numbers to set an array to" : "there is no array to set");
    bool integer = ur__array_is_integer(array);
    for (size_t i = begin; i < begin + n; i++) {
        double value = values[i - begin];
        if (integer && !is_integer_of(array->type, value))
            return ur__fail_in(error, array->file, "%.80s[%zu] is set to %g, expected an integer of type %s",
                               array->name, i, value, types[array->type].name);
        switch (array->type) {
        case UR_ARRAY_F32:
            ((float *)array->data)[i] = (float)value;
            break;
        case UR_ARRAY_F64:
            ((double *)array->data)[i] = value;
            break;
        case UR_ARRAY_I32:
            ((int32_t *)array->data)[i] = (int32_t)value;
            break;
        case UR_ARRAY_I64:
            ((int64_t *)array->data)[i] = (int64_t)value;
            break;
        default:
            return ur__array_has_numbers(array, error);
        }
    }
    return true;
}

bool ur_array_set(ur_array *array, const double *values, ur_error *error)
{
    return ur__array_set_part(array, 0, array ? array->count : 0, values, error);
}

/* ---- names: a list in order of arrival, and a hash table of places in it (0: free, else 1 + place) */

struct entry {
    const char *name;
    union {
        ur_array *array;
        const char *text;
    } value;
};

struct table {
    struct entry *entry;
    uint32_t *slot; /* 2 * room of them, room being a power of 2 */
    size_t entries, room;
};

/* The slot where the name is, or where it would be. */
static size_t slot_of(const struct table *t, const char *name)
{
    uint64_t hash = ur__hash(name, UR__HASH_START);
    size_t i = (size_t)(hash ^ hash >> 32) & (2 * t->room - 1);
    while (t->slot[i] && strcmp(t->entry[t->slot[i] - 1].name, name) != 0)
        i = (i + 1) & (2 * t->room - 1);
    return i;
}

static struct entry *find(const struct table *t, const char *name)
{
    uint32_t place = t->room ? t->slot[slot_of(t, name)] : 0;
    return place ? &t->entry[place - 1] : NULL;
}

static void free_table(struct table *t, const ur_allocator *a)
{
    ur__free(a, t->entry, t->room * sizeof *t->entry);
    ur__free(a, t->slot, 2 * t->room * sizeof *t->slot);
}

static bool grow(struct table *t, const ur_allocator *a)
{
    struct table more = {.entries = t->entries, .room = t->room ? 2 * t->room : 8};
    if (more.room > UINT32_MAX / 2)
        return false;
    more.entry = (struct entry *)ur__new(a, more.room * sizeof *more.entry);
    more.slot = (uint32_t *)ur__new(a, 2 * more.room * sizeof *more.slot);
    if (!more.entry || !more.slot) {
        free_table(&more, a);
        return false;
    }
    memset(more.slot, 0, 2 * more.room * sizeof *more.slot);
    for (size_t i = 0; i < t->entries; i++) {
        more.entry[i] = t->entry[i];
        more.slot[slot_of(&more, t->entry[i].name)] = (uint32_t)i + 1;
    }
    free_table(t, a);
    *t = more;
    return true;
}

static bool append(struct table *t, const ur_allocator *a, struct entry entry)
{
    if (t->entries == t->room && !grow(t, a))
        return false;
    size_t slot = slot_of(t, entry.name);
    t->entry[t->entries++] = entry;
    t->slot[slot] = (uint32_t)t->entries;
    return true;
}

/* ---- the set */

struct ur_arrays {
    ur_allocator allocator;
    ur__arena arena;
    const char *file;
    struct table arrays, texts;
};

ur_arrays *ur_arrays_new(const ur_allocator *allocator)
{
    ur_allocator a = ur__allocator(allocator);
    ur_arrays *set = (ur_arrays *)ur__new(&a, sizeof *set);
    if (set)
        *set = (ur_arrays){.allocator = a};
    return set;
}

void ur_arrays_free(ur_arrays *set)
{
    if (!set)
        return;
    ur_allocator a = set->allocator;
    free_table(&set->arrays, &a);
    free_table(&set->texts, &a);
    ur__arena_free(&set->arena, &a);
    ur__free(&a, set, sizeof *set);
}

const char *ur__arrays_file(const ur_arrays *set)
{
    return set->file;
}

const char *ur__arrays_copy(ur_arrays *set, const char *text)
{
    return ur__arena_text(&set->arena, &set->allocator, text);
}

bool ur__arrays_set_file(ur_arrays *set, const char *path)
{
    set->file = ur__arrays_copy(set, path);
    return set->file != NULL;
}

ur_allocator ur__arrays_allocator(const ur_arrays *set)
{
    return set->allocator;
}

/* ---- text */

/* Length of the character at `c`, 0 when it is none (RFC 3629, section 4). */
static size_t character_length(const unsigned char *c, size_t bytes)
{
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    if (length > bytes)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xF0 && c[1] < 0x90);
    bool surrogate = c[0] == 0xED && c[1] >= 0xA0;
    bool beyond = c[0] == 0xF4 && c[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

size_t ur__utf8_length(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        size_t length = character_length((const unsigned char *)text + at, bytes - at);
        if (length == 0)
            break;
        at += length;
    }
    return at;
}

static bool is_utf8(const char *text)
{
    size_t bytes = strlen(text);
    return ur__utf8_length(text, bytes) == bytes;
}

/* ---- arrays of the set */

static bool is_possible(const char *name, ur_array_type type, int rank, const int64_t *size, ur_error *error)
{
    if (!name)
        return ur__fail(error, "the name of an array was expected, there is none");
    if (!is_type(type))
        return ur__fail(error, "\"%.80s\" has the type %d, expected one of ur_array_type", name, (int)type);
    if (rank < 0 || rank > UR_ARRAY_RANK)
        return ur__fail(error, "an array has at most 8 dimensions");
    return rank == 0 || size || ur__fail(error, "\"%.80s\" has no sizes, expected %d", name, rank);
}

static bool check_new(const ur_arrays *set, const char *name, ur_array *array, ur_error *error)
{
    if (!is_utf8(name) || strcmp(name, "__metadata__") == 0)
        return ur__fail_in(error, set->file, "no array can be named \"%.80s\"", name);
    if (ur_arrays_find(set, name))
        return ur__fail_in(error, set->file, "two arrays are named \"%.80s\", expected different names", name);
    for (int i = 0; i < array->rank; i++)
        if (array->size[i] < 0)
            return ur__fail_in(error, set->file, "\"%.80s\" has the size %lld, expected at least 0", name,
                               (long long)array->size[i]);
    if (ur__array_bytes(array->type, array->rank, array->size, &array->count, &array->bytes))
        return true;
    char shape[UR_ARRAY_TEXT];
    return ur__fail_in(error, set->file, "\"%.80s\" of %s %s is too large or makes no whole bytes", name,
                       types[array->type].name, ur_array_shape(array, shape));
}

ur_array *ur_arrays_add(ur_arrays *set, const char *name, ur_array_type type, int rank, const int64_t *size,
                        ur_error *error)
{
    if (!set)
        ur__fail(error, "no memory for arrays");
    if (!set || !is_possible(name, type, rank, size, error))
        return NULL;
    ur_array fresh = {.type = type, .rank = rank, .file = set->file};
    for (int i = 0; i < rank; i++)
        fresh.size[i] = size[i];
    if (!check_new(set, name, &fresh, error))
        return NULL;
    ur_array *array = (ur_array *)ur__arena_new(&set->arena, &set->allocator, sizeof *array);
    fresh.name = ur__arrays_copy(set, name);
    fresh.data = ur__arena_new(&set->arena, &set->allocator, fresh.bytes);
    if (!array || !fresh.name || !fresh.data ||
        !append(&set->arrays, &set->allocator, (struct entry){.name = fresh.name, .value.array = array})) {
        ur__fail_in(error, set->file, "no memory for the %zu bytes of \"%.80s\"", fresh.bytes, name);
        return NULL;
    }
    memset(fresh.data, 0, fresh.bytes);
    *array = fresh;
    return array;
}

ur_array *ur_arrays_at(const ur_arrays *set, size_t k)
{
    return set && k < set->arrays.entries ? set->arrays.entry[k].value.array : NULL;
}

ur_array *ur_arrays_find(const ur_arrays *set, const char *name)
{
    const struct entry *entry = set && name ? find(&set->arrays, name) : NULL;
    return entry ? entry->value.array : NULL;
}

/* ---- metadata of the set */

bool ur_arrays_set_text(ur_arrays *set, const char *key, const char *value, ur_error *error)
{
    if (!set)
        return ur__fail(error, "no memory for arrays");
    if (!key || !value)
        return ur__fail_in(error, set->file, "metadata are a key and a text, there is no %s", key ? "text" : "key");
    if (!is_utf8(key) || !is_utf8(value))
        return ur__fail_in(error, set->file, "the metadata \"%.80s\" is not UTF-8", key);
    const char *copy = ur__arrays_copy(set, value);
    struct entry *old = find(&set->texts, key);
    if (old && copy) {
        old->value.text = copy;
        return true;
    }
    const char *name = ur__arrays_copy(set, key);
    if (!copy || !name || !append(&set->texts, &set->allocator, (struct entry){.name = name, .value.text = copy}))
        return ur__fail_in(error, set->file, "no memory for the metadata \"%.80s\"", key);
    return true;
}

const char *ur_arrays_text(const ur_arrays *set, const char *key)
{
    const struct entry *entry = set && key ? find(&set->texts, key) : NULL;
    return entry ? entry->value.text : NULL;
}

const char *ur_arrays_key(const ur_arrays *set, size_t k)
{
    return set && k < set->texts.entries ? set->texts.entry[k].name : NULL;
}
