/* npy.c - NumPy's format for one array (NumPy Enhancement Proposal 1):
 *
 *     6 bytes       \x93NUMPY
 *     2 bytes       version: 1.0, 2.0 or 3.0
 *     2 or 4 bytes  length of the header, little-endian; 2 in version 1.0
 *     the header    {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }, padded with spaces and a line's end
 *     the data      row-major
 */
#include <string.h>

#include "files.h"

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
static const char *const descriptions[] = {
    [UR_ARRAY_F32] = "<f4", [UR_ARRAY_F64] = "<f8", [UR_ARRAY_I32] = "<i4", [UR_ARRAY_I64] = "<i8"};

enum { PREFIX_BYTES = 8, ALIGNMENT = 64, HEADER_MOST_BYTES = 1 << 20 };

typedef struct reader {
    const char *path;
    FILE *stream;
    char *header; /* ends with a 0 */
    size_t header_bytes, at;
    uint64_t bytes_left; /* in the file, after what was read */
    ur_array_type type;
    int rank;
    int64_t size[UR_ARRAY_RANK];
    ur_error *error;
} reader;

/* ---- the header: a dictionary in Python's notation */

static bool refuse(reader *r, const char *expected)
{
    return ur__fail_in(r->error, r->path, "found \"%.20s\" at byte %zu of the header, expected %s", r->header + r->at,
                       r->at, expected);
}

static bool take(reader *r, const char *word)
{
    r->at += strspn(r->header + r->at, " \t\n\r");
    size_t length = strlen(word);
    if (strncmp(r->header + r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

static bool need(reader *r, const char *word, const char *expected)
{
    return take(r, word) || refuse(r, expected);
}

/* A string of either quote, without escapes, cut out of the header. */
static const char *take_string(reader *r, const char *expected)
{
    const char *quote = take(r, "'") ? "'" : take(r, "\"") ? "\"" : NULL;
    char *start = r->header + r->at, *end = quote ? strchr(start, *quote) : NULL;
    if (!end) {
        refuse(r, expected);
        return NULL;
    }
    *end = 0;
    r->at += (size_t)(end - start) + 1;
    return start;
}

static bool take_description(reader *r)
{
    const char *found = take_string(r, "a plain dtype: '<f4', '<f8', '<i4' or '<i8'");
    if (!found)
        return false;
    for (int i = 0; i <= UR_ARRAY_I64; i++)
        if (strcmp(found, descriptions[i]) == 0) {
            r->type = (ur_array_type)i;
            return true;
        }
    return ur__fail_in(r->error, r->path, "has dtype '%.20s', expected '<f4', '<f8', '<i4' or '<i8'", found);
}

static bool take_order(reader *r)
{
    if (take(r, "True"))
        return ur__fail_in(r->error, r->path, "has fortran_order True, expected C order (numpy.ascontiguousarray)");
    return need(r, "False", "True or False");
}

static bool take_integer(reader *r, int64_t *value)
{
    r->at += strspn(r->header + r->at, " \t\n\r");
    size_t digits = strspn(r->header + r->at, "0123456789");
    if (digits == 0)
        return refuse(r, "a size");
    *value = 0;
    for (; digits > 0; digits--) {
        int digit = r->header[r->at++] - '0';
        if (*value > (INT64_MAX - digit) / 10)
            return ur__fail_in(r->error, r->path, "has a size beyond 2^63, expected a smaller one");
        *value = 10 * *value + digit;
    }
    return true;
}

/* (), (3,) or (3, 4). */
static bool take_shape(reader *r)
{
    if (!need(r, "(", "'('"))
        return false;
    for (r->rank = 0; !take(r, ")"); r->rank++) {
        if (r->rank == UR_ARRAY_RANK)
            return ur__fail_in(r->error, r->path, "has more than %d dimensions", UR_ARRAY_RANK);
        if (!take_integer(r, &r->size[r->rank]))
            return false;
        if (!take(r, ",") && (r->rank == 0 || r->header[r->at] != ')'))
            return refuse(r, "',' in the shape");
    }
    return true;
}

static bool take_member(reader *r, unsigned *seen)
{
    static const char *const members[] = {"descr", "fortran_order", "shape"};
    const char *key = take_string(r, "descr, fortran_order or shape in quotes");
    unsigned k = 0;
    if (!key)
        return false;
    while (k < 3 && strcmp(key, members[k]) != 0)
        k++;
    if (k == 3 || (*seen & 1u << k))
        return ur__fail_in(r->error, r->path,
                           "has \"%.20s\" in the header, expected descr, fortran_order and shape once each", key);
    *seen |= 1u << k;
    if (!need(r, ":", "':'"))
        return false;
    return k == 0 ? take_description(r) : k == 1 ? take_order(r) : take_shape(r);
}

static bool take_header(reader *r)
{
    unsigned seen = 0;
    if (!need(r, "{", "'{'"))
        return false;
    while (!take(r, "}")) {
        if (!take_member(r, &seen))
            return false;
        if (!take(r, ",") && r->header[r->at] != '}')
            return refuse(r, "',' or '}'");
    }
    if (seen != 7)
        return ur__fail_in(r->error, r->path, "has no %s in the header",
                           !(seen & 1)   ? "descr"
                           : !(seen & 2) ? "fortran_order"
                                         : "shape");
    take(r, "");
    return r->at == r->header_bytes || refuse(r, "the header's end after '}'");
}

/* ---- reading */

static bool read_some(reader *r, void *out, size_t bytes)
{
    if (r->bytes_left < bytes)
        return ur__fail_in(r->error, r->path, "is truncated: expected %zu more bytes of the header, found %llu", bytes,
                           (unsigned long long)r->bytes_left);
    r->bytes_left -= bytes;
    return ur__read(r->stream, r->path, out, bytes, r->error);
}

static bool read_length(reader *r)
{
    unsigned char prefix[PREFIX_BYTES], length[4];
    if (r->bytes_left < PREFIX_BYTES)
        return ur__fail_in(r->error, r->path, "has %d bytes, expected a .npy file", (int)r->bytes_left);
    if (!read_some(r, prefix, sizeof prefix))
        return false;
    if (memcmp(prefix, magic, sizeof magic) != 0)
        return ur__fail_in(r->error, r->path, "does not begin with \\x93NUMPY, expected a .npy file");
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0)
        return ur__fail_in(r->error, r->path, "has version %d.%d, expected 1.0, 2.0 or 3.0", prefix[6], prefix[7]);
    int width = prefix[6] == 1 ? 2 : 4;
    if (!read_some(r, length, (size_t)width))
        return false;
    r->header_bytes = (size_t)ur__little(length, width);
    return r->header_bytes <= HEADER_MOST_BYTES ||
           ur__fail_in(r->error, r->path, "has a header of %zu bytes, expected at most %d", r->header_bytes,
                       HEADER_MOST_BYTES);
}

static bool check_size(reader *r)
{
    char shape[UR_ARRAY_TEXT];
    size_t count, bytes;
    ur__sizes_text(r->rank, r->size, shape);
    if (!ur__array_bytes(r->type, r->rank, r->size, &count, &bytes))
        return ur__fail_in(r->error, r->path, "has the shape %s, which is too large", shape);
    if (bytes != r->bytes_left)
        return ur__fail_in(r->error, r->path, "has %llu bytes of data, expected %zu for '%s' %s",
                           (unsigned long long)r->bytes_left, bytes, descriptions[r->type], shape);
    return true;
}

static bool read_header(reader *r, const ur_allocator *a)
{
    if (!read_length(r))
        return false;
    r->header = (char *)ur__new(a, r->header_bytes + 1);
    if (!r->header)
        return ur__fail_in(r->error, r->path, "no memory for a header of %zu bytes", r->header_bytes);
    r->header[r->header_bytes] = 0;
    bool good = read_some(r, r->header, r->header_bytes) && take_header(r) && check_size(r);
    ur__free(a, r->header, r->header_bytes + 1);
    return good;
}

static ur_array *read_array(reader *r, ur_arrays *set, const char *name)
{
    ur_array *array = ur_arrays_add(set, name, r->type, r->rank, r->size, r->error);
    if (!array)
        return NULL;
    array->file = ur__arrays_copy(set, r->path);
    return ur__read_array(r->stream, r->path, array, r->error) ? array : NULL;
}

ur_array *ur_npy_load(ur_arrays *set, const char *name, const char *path, ur_error *error)
{
    reader r = {.path = path, .error = error};
    if (!set) {
        ur__fail(error, "no memory for arrays");
        return NULL;
    }
    r.stream = ur__open_file(path, &r.bytes_left, error);
    if (!r.stream)
        return NULL;
    ur_allocator a = ur__arrays_allocator(set);
    ur_array *array = read_header(&r, &a) ? read_array(&r, set, name) : NULL;
    fclose(r.stream);
    return array;
}

/* ---- writing */

static void print_header(ur__text *out, const ur_array *array)
{
    ur__print(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descriptions[array->type]);
    for (int i = 0; i < array->rank; i++)
        ur__print(out, "%s%lld", i ? ", " : "", (long long)array->size[i]);
    ur__print(out, "%s), }", array->rank == 1 ? "," : "");
    while ((PREFIX_BYTES + 2 + out->length + 1) % ALIGNMENT)
        ur__print(out, " ");
    ur__print(out, "\n");
}

bool ur_npy_save(const ur_array *array, const char *path, ur_error *error)
{
    if (!array)
        return ur__fail_in(error, path, "there is no array to write");
    if (array->type > UR_ARRAY_I64)
        return ur__fail_in(error, path, "array %.80s has dtype %s, expected F32, F64, I32 or I64", array->name,
                           ur_array_type_name(array->type));
    char text[512];
    ur__text header = {.text = text, .bytes = sizeof text};
    print_header(&header, array);
    ur_file *file = ur_file_create(path, NULL, error);
    if (!file)
        return false;
    FILE *stream = ur_file_stream(file);
    unsigned char rest[4] = {1, 0};
    ur__put_little(rest + 2, 2, header.length);
    fwrite(magic, 1, sizeof magic, stream);
    fwrite(rest, 1, sizeof rest, stream);
    fwrite(text, 1, header.length, stream);
    ur__write_array(stream, array);
    return ur_file_commit(file, error);
}
