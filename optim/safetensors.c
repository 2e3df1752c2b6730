/* safetensors.c - the safetensors format of Hugging Face:
 *
 *     8 bytes       length of the header, little-endian
 *     the header    {"__metadata__": {"key": "text", ...}, "name": {"dtype": "F32", "shape": [2,3],
 *                   "data_offsets": [begin, end]}, ...}, padded with spaces
 *     the data      little-endian, row-major, without holes; offsets count from its first byte
 *
 * The header is JSON of this one form, so the reader's grammar is this form, and nesting ends with it. */
#include <stdlib.h>
#include <string.h>

#include "files.h"

enum { LENGTH_BYTES = 8, HEADER_MOST_BYTES = 100000000 };

typedef struct tensor {
    const char *name;
    ur_array_type type;
    int rank;
    int64_t size[UR_ARRAY_RANK];
    uint64_t begin, end;
    ur_array *array;
} tensor;

typedef struct reader {
    const char *path;
    FILE *stream;
    ur_allocator allocator;
    ur_arrays *set;
    char *header; /* ends with a 0; its strings are decoded in place */
    size_t header_bytes, at;
    uint64_t file_bytes, data_bytes;
    tensor *tensor;
    size_t tensors, room;
    ur_error error; /* also tells the loops to end */
} reader;

static bool failed(const reader *r)
{
    return r->error.text[0] != 0;
}

/* ---- JSON: tokens */

/* `expected` is what should stand here. The place counts from the beginning of the file. */
static bool refuse(reader *r, const char *expected)
{
    unsigned char c = (unsigned char)r->header[r->at];
    size_t place = r->at + LENGTH_BYTES;
    if (r->at == r->header_bytes)
        return ur__fail_in(&r->error, r->path, "byte %zu: found the header's end, expected %s", place, expected);
    if (c < 0x20 || c > 0x7E)
        return ur__fail_in(&r->error, r->path, "byte %zu: found 0x%02x, expected %s", place, c, expected);
    return ur__fail_in(&r->error, r->path, "byte %zu: found '%c', expected %s", place, c, expected);
}

static void skip_spaces(reader *r)
{
    while (r->header[r->at] && strchr(" \t\n\r", r->header[r->at]))
        r->at++;
}

static bool take(reader *r, char c)
{
    skip_spaces(r);
    if (r->at == r->header_bytes || r->header[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool need(reader *r, char c, const char *expected)
{
    return take(r, c) || refuse(r, expected);
}

static bool take_hex(reader *r, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char c = r->header[r->at];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return refuse(r, "four hexadecimal digits after \\u");
        *code = 16 * *code + digit;
        r->at++;
    }
    return true;
}

/* What follows \u: a character, or the first half of a pair of surrogates and then \u and the second. */
static bool take_unicode(reader *r, uint32_t *code)
{
    if (!take_hex(r, code))
        return false;
    if (*code == 0)
        return refuse(r, "a name or text without \\u0000");
    if (*code < 0xD800 || *code > 0xDFFF)
        return true;
    uint32_t low = 0;
    if (*code > 0xDBFF || r->header[r->at] != '\\' || r->header[r->at + 1] != 'u')
        return refuse(r, "a pair of surrogates");
    r->at += 2;
    if (!take_hex(r, &low))
        return false;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return (low >= 0xDC00 && low <= 0xDFFF) || refuse(r, "the second half of a pair of surrogates");
}

static char *put_utf8(char *out, uint32_t code)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (char)(lead[more] | code >> 6 * more);
    while (more-- > 0)
        *out++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    return out;
}

/* Decodes what follows a backslash to `out`; the text never grows. Returns the place after it. */
static char *take_escape(reader *r, char *out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = r->header[r->at];
    const char *letter = c ? strchr(letters, c) : NULL;
    uint32_t code = 0;
    if (!letter && c != 'u') {
        refuse(r, "one of \"\\/bfnrtu after a backslash");
        return NULL;
    }
    r->at++;
    if (letter) {
        *out = meant[letter - letters];
        return out + 1;
    }
    return take_unicode(r, &code) ? put_utf8(out, code) : NULL;
}

static const char *take_string(reader *r, const char *expected)
{
    if (!need(r, '"', expected))
        return NULL;
    char *start = r->header + r->at, *out = start;
    while (r->header[r->at] != '"') {
        if ((unsigned char)r->header[r->at] < 0x20) {
            refuse(r, "a closing quote");
            return NULL;
        }
        char c = r->header[r->at++];
        if (c != '\\')
            *out++ = c;
        else if (!(out = take_escape(r, out)))
            return NULL;
    }
    r->at++;
    *out = 0;
    return start;
}

static bool take_integer(reader *r, int64_t *value)
{
    skip_spaces(r);
    const char *digit = r->header + r->at;
    if (*digit < '0' || *digit > '9' || (digit[0] == '0' && digit[1] >= '0' && digit[1] <= '9'))
        return refuse(r, "a non-negative integer without leading zeros");
    *value = 0;
    for (; r->header[r->at] >= '0' && r->header[r->at] <= '9'; r->at++) {
        int next = r->header[r->at] - '0';
        if (*value > (INT64_MAX - next) / 10)
            return refuse(r, "an integer below 2^63");
        *value = 10 * *value + next;
    }
    return true;
}

/* Whether another element follows; not at the closing character, nor after an error. */
static bool another(reader *r, char close, int *done)
{
    if (failed(r) || take(r, close))
        return false;
    return (*done)++ == 0 || need(r, ',', close == '}' ? "',' or '}'" : "',' or ']'");
}

static const char *take_key(reader *r, const char *expected)
{
    const char *key = take_string(r, expected);
    return key && need(r, ':', "':'") ? key : NULL;
}

/* ---- JSON: the header's objects */

static bool take_integers(reader *r, int most, int64_t *out, int *count, const char *too_many)
{
    int done = 0;
    *count = 0;
    if (!need(r, '[', "'['"))
        return false;
    while (another(r, ']', &done)) {
        if (*count == most)
            return refuse(r, too_many);
        if (!take_integer(r, &out[(*count)++]))
            return false;
    }
    return !failed(r);
}

static bool take_dtype(reader *r, tensor *t)
{
    const char *dtype = take_string(r, "a dtype in quotes");
    if (dtype && !ur__array_type_find(dtype, &t->type))
        ur__fail_in(&r->error, r->path,
                    "tensor \"%.80s\" has the unknown dtype \"%.20s\", expected F32, F64, I32, I64 or another "
                    "dtype of the format",
                    t->name, dtype);
    return !failed(r);
}

static bool take_offsets(reader *r, tensor *t)
{
    int64_t offsets[2] = {0, 0};
    int count = 0;
    if (!take_integers(r, 2, offsets, &count, "two data_offsets"))
        return false;
    if (count != 2)
        return ur__fail_in(&r->error, r->path, "tensor \"%.80s\" has %d data_offsets, expected 2", t->name, count);
    t->begin = (uint64_t)offsets[0];
    t->end = (uint64_t)offsets[1];
    return true;
}

/* One of the three members; `seen` has a bit for each. */
static bool take_member(reader *r, tensor *t, unsigned *seen)
{
    static const char *const members[] = {"dtype", "shape", "data_offsets"};
    const char *key = take_key(r, "dtype, shape or data_offsets in quotes");
    unsigned k = 0;
    if (!key)
        return false;
    while (k < 3 && strcmp(key, members[k]) != 0)
        k++;
    if (k == 3)
        return ur__fail_in(&r->error, r->path,
                           "tensor \"%.80s\" has a member \"%.80s\", expected dtype, shape and data_offsets", t->name,
                           key);
    if (*seen & 1u << k)
        return ur__fail_in(&r->error, r->path, "tensor \"%.80s\" has two members \"%s\", expected one", t->name, key);
    *seen |= 1u << k;
    return k == 0   ? take_dtype(r, t)
           : k == 1 ? take_integers(r, UR_ARRAY_RANK, t->size, &t->rank, "']' after at most 8 sizes")
                    : take_offsets(r, t);
}

static bool take_tensor(reader *r, tensor *t)
{
    int done = 0;
    unsigned seen = 0;
    if (!need(r, '{', "'{'"))
        return false;
    while (another(r, '}', &done))
        take_member(r, t, &seen);
    if (!failed(r) && seen != 7)
        ur__fail_in(&r->error, r->path, "tensor \"%.80s\" has no %s", t->name,
                    !(seen & 1)   ? "dtype"
                    : !(seen & 2) ? "shape"
                                  : "data_offsets");
    return !failed(r);
}

static bool append(reader *r, const tensor *t)
{
    if (r->tensors == r->room) {
        size_t more = r->room ? 2 * r->room : 16;
        tensor *grown = (tensor *)ur__resize(&r->allocator, r->tensor, r->room * sizeof *grown, more * sizeof *grown);
        if (!grown)
            return ur__fail_in(&r->error, r->path, "no memory for %zu tensors", more);
        r->tensor = grown;
        r->room = more;
    }
    r->tensor[r->tensors++] = *t;
    return true;
}

static bool take_metadata(reader *r)
{
    int done = 0;
    if (!need(r, '{', "'{'"))
        return false;
    while (another(r, '}', &done)) {
        const char *key = take_key(r, "a key in quotes");
        const char *value = key ? take_string(r, "a text in quotes") : NULL;
        if (!value)
            return false;
        if (ur_arrays_text(r->set, key))
            return ur__fail_in(&r->error, r->path, "__metadata__ has two keys \"%.80s\", expected one", key);
        ur_arrays_set_text(r->set, key, value, &r->error);
    }
    return !failed(r);
}

static bool take_header(reader *r)
{
    int done = 0;
    bool metadata = false;
    if (r->header[0] != '{' || !take(r, '{'))
        return refuse(r, "'{' at the header's beginning");
    while (another(r, '}', &done)) {
        tensor t = {.name = take_key(r, "a tensor's name in quotes")};
        if (!t.name)
            return false;
        bool is_metadata = strcmp(t.name, "__metadata__") == 0;
        if (is_metadata && metadata)
            return ur__fail_in(&r->error, r->path, "the header has two members __metadata__, expected one");
        metadata |= is_metadata;
        if (!(is_metadata ? take_metadata(r) : take_tensor(r, &t) && append(r, &t)))
            return false;
    }
    skip_spaces(r);
    return !failed(r) && (r->at == r->header_bytes || refuse(r, "spaces after the header's last '}'"));
}

/* ---- reading */

/* Files that are mistaken for safetensors, by their first bytes. */
static const struct {
    const char *magic, *format;
} foreign[] = {
    {"\x93NUMPY", "a .npy file"},       {"PK\3\4", "a zip archive, as .npz and .pt files are"},
    {"\x1F\x8B", "compressed by gzip"}, {"\x89HDF", "an HDF5 file"},
    {"\x80\2", "a pickle of Python"},   {"\x80\4", "a pickle of Python"},
};

static bool refuse_length(reader *r, const unsigned char *length, uint64_t bytes)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (memcmp(length, foreign[i].magic, strlen(foreign[i].magic)) == 0)
            return ur__fail_in(&r->error, r->path, "is %s, expected a safetensors file", foreign[i].format);
    return ur__fail_in(&r->error, r->path,
                       "the header's length is %llu bytes, expected at most %d; is this a safetensors file?",
                       (unsigned long long)bytes, HEADER_MOST_BYTES);
}

static bool read_length(reader *r)
{
    unsigned char length[LENGTH_BYTES];
    if (r->file_bytes == 0)
        return ur__fail_in(&r->error, r->path, "is empty, expected a safetensors file");
    if (r->file_bytes < LENGTH_BYTES + 2)
        return ur__fail_in(&r->error, r->path, "has %d bytes, expected a safetensors file of at least 10",
                           (int)r->file_bytes);
    if (!ur__read(r->stream, r->path, length, sizeof length, &r->error))
        return false;
    uint64_t bytes = ur__little(length, LENGTH_BYTES);
    if (bytes > HEADER_MOST_BYTES)
        return refuse_length(r, length, bytes);
    if (bytes > r->file_bytes - LENGTH_BYTES)
        return ur__fail_in(&r->error, r->path, "is truncated: expected a header of %llu bytes, found %llu",
                           (unsigned long long)bytes, (unsigned long long)(r->file_bytes - LENGTH_BYTES));
    r->header_bytes = (size_t)bytes;
    r->data_bytes = r->file_bytes - LENGTH_BYTES - bytes;
    return true;
}

static bool read_header(reader *r)
{
    if (!read_length(r))
        return false;
    r->header = (char *)ur__new(&r->allocator, r->header_bytes + 1);
    r->set = ur_arrays_new(&r->allocator);
    if (!r->header || !r->set || !ur__arrays_set_file(r->set, r->path))
        return ur__fail_in(&r->error, r->path, "no memory for a header of %zu bytes", r->header_bytes);
    if (!ur__read(r->stream, r->path, r->header, r->header_bytes, &r->error))
        return false;
    r->header[r->header_bytes] = 0;
    r->at = ur__utf8_length(r->header, r->header_bytes);
    if (r->at < r->header_bytes)
        return refuse(r, "UTF-8");
    r->at = 0;
    return take_header(r);
}

static bool check_size(reader *r, const tensor *t)
{
    char shape[UR_ARRAY_TEXT];
    size_t count, bytes;
    ur__sizes_text(t->rank, t->size, shape);
    if (!ur__array_bytes(t->type, t->rank, t->size, &count, &bytes))
        return ur__fail_in(&r->error, r->path, "tensor \"%.80s\" of %s %s is too large or makes no whole bytes",
                           t->name, ur_array_type_name(t->type), shape);
    if (t->begin > t->end || t->end > r->data_bytes)
        return ur__fail_in(&r->error, r->path,
                           "tensor \"%.80s\" has data_offsets %llu to %llu, expected a range within the %llu "
                           "bytes of data",
                           t->name, (unsigned long long)t->begin, (unsigned long long)t->end,
                           (unsigned long long)r->data_bytes);
    if (t->end - t->begin != bytes)
        return ur__fail_in(&r->error, r->path, "tensor \"%.80s\" has %llu bytes, expected %zu for %s %s", t->name,
                           (unsigned long long)(t->end - t->begin), bytes, ur_array_type_name(t->type), shape);
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const tensor *x = *(const tensor *const *)a, *y = *(const tensor *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* In order of their bytes: each tensor begins where the one before it ends, and the last ends with the file. */
static bool check_contiguous(reader *r, tensor **order)
{
    uint64_t at = 0;
    for (size_t i = 0; i < r->tensors; i++) {
        const tensor *t = order[i];
        if (t->begin < at)
            return ur__fail_in(&r->error, r->path,
                               "tensor \"%.80s\" begins at byte %llu of the data, inside tensor \"%.80s\" that "
                               "ends at %llu",
                               t->name, (unsigned long long)t->begin, order[i - 1]->name, (unsigned long long)at);
        if (t->begin > at)
            return ur__fail_in(&r->error, r->path,
                               "tensor \"%.80s\" begins at byte %llu of the data, expected %llu: a hole", t->name,
                               (unsigned long long)t->begin, (unsigned long long)at);
        at = t->end;
    }
    if (at != r->data_bytes)
        return ur__fail_in(&r->error, r->path, "has %llu bytes after the last tensor, expected none",
                           (unsigned long long)(r->data_bytes - at));
    return true;
}

static bool read_data(reader *r, tensor **order)
{
    for (size_t i = 0; i < r->tensors; i++)
        if (!check_size(r, &r->tensor[i]))
            return false;
    for (size_t i = 0; i < r->tensors; i++)
        order[i] = &r->tensor[i];
    qsort(order, r->tensors, sizeof(tensor *), by_offset);
    if (!check_contiguous(r, order))
        return false;
    for (size_t i = 0; i < r->tensors; i++) {
        tensor *t = &r->tensor[i];
        t->array = ur_arrays_add(r->set, t->name, t->type, t->rank, t->size, &r->error);
        if (!t->array)
            return false;
    }
    for (size_t i = 0; i < r->tensors; i++)
        if (!ur__read_array(r->stream, r->path, order[i]->array, &r->error))
            return false;
    return true;
}

static bool read_tensors(reader *r)
{
    size_t bytes = r->tensors * sizeof(tensor *);
    tensor **order = (tensor **)ur__new(&r->allocator, bytes);
    if (!order)
        return ur__fail_in(&r->error, r->path, "no memory for %zu tensors", r->tensors);
    bool good = read_data(r, order);
    ur__free(&r->allocator, order, bytes);
    return good;
}

ur_arrays *ur_arrays_load(const char *path, const ur_allocator *allocator, ur_error *error)
{
    reader r = {.path = path, .allocator = ur__allocator(allocator)};
    r.stream = ur__open_file(path, &r.file_bytes, &r.error);
    bool good = r.stream && read_header(&r) && read_tensors(&r);
    if (r.stream)
        fclose(r.stream);
    ur__free(&r.allocator, r.header, r.header_bytes + 1);
    ur__free(&r.allocator, r.tensor, r.room * sizeof *r.tensor);
    if (good)
        return r.set;
    ur_arrays_free(r.set);
    ur__fail(error, "%s", r.error.text);
    return NULL;
}

/* ---- writing: the header in the set's order, the data by alignment, so that every element lies aligned in the file */

enum { MOST_ALIGNMENT = 8 };

static size_t alignment(const ur_array *array)
{
    int bits = ur__array_type_bits(array->type);
    return bits % 64 == 0 ? 8 : bits % 32 == 0 ? 4 : bits % 16 == 0 ? 2 : 1;
}

/* begin[k] is where array k begins in the data. */
static void place_data(const ur_arrays *set, uint64_t *begin)
{
    uint64_t at = 0;
    const ur_array *array;
    for (size_t align = MOST_ALIGNMENT; align; align /= 2)
        for (size_t k = 0; (array = ur_arrays_at(set, k)); k++)
            if (alignment(array) == align) {
                begin[k] = at;
                at += array->bytes;
            }
}

static void print_string(ur__text *out, const char *text)
{
    ur__print(out, "\"");
    for (const char *c = text; *c; c++)
        if (*c == '"' || *c == '\\')
            ur__print(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            ur__print(out, "\\u%04x", (unsigned)*c);
        else
            ur__print(out, "%c", *c);
    ur__print(out, "\"");
}

static void print_metadata(ur__text *out, const ur_arrays *set)
{
    const char *key;
    for (size_t k = 0; (key = ur_arrays_key(set, k)); k++) {
        ur__print(out, k ? "," : "\"__metadata__\":{");
        print_string(out, key);
        ur__print(out, ":");
        print_string(out, ur_arrays_text(set, key));
    }
    if (ur_arrays_key(set, 0))
        ur__print(out, "}");
}

static void print_header(ur__text *out, const ur_arrays *set, const uint64_t *begin)
{
    char shape[UR_ARRAY_TEXT];
    const ur_array *array;
    ur__print(out, "{");
    print_metadata(out, set);
    for (size_t k = 0; (array = ur_arrays_at(set, k)); k++) {
        ur__print(out, k || ur_arrays_key(set, 0) ? "," : "");
        print_string(out, array->name);
        unsigned long long from = begin[k], to = from + array->bytes;
        ur__print(out, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}", ur_array_type_name(array->type),
                  ur_array_shape(array, shape), from, to);
    }
    ur__print(out, "}");
    while (out->length % MOST_ALIGNMENT)
        ur__print(out, " ");
}

static void write_data(FILE *stream, const ur_arrays *set)
{
    const ur_array *array;
    for (size_t align = MOST_ALIGNMENT; align; align /= 2)
        for (size_t k = 0; (array = ur_arrays_at(set, k)); k++)
            if (alignment(array) == align)
                ur__write_array(stream, array);
}

static bool write_file(const ur_arrays *set, const ur__text *header, const char *path, ur_error *error)
{
    unsigned char length[LENGTH_BYTES];
    ur_allocator a = ur__arrays_allocator(set);
    ur_file *file = ur_file_create(path, &a, error);
    if (!file)
        return false;
    FILE *stream = ur_file_stream(file);
    ur__put_little(length, LENGTH_BYTES, header->length);
    fwrite(length, 1, sizeof length, stream);
    fwrite(header->text, 1, header->length, stream);
    write_data(stream, set);
    return ur_file_commit(file, error);
}

/* The header is printed twice: to know its length, and into memory of that length. */
static bool compose(const ur_arrays *set, const uint64_t *begin, const char *path, ur_error *error)
{
    ur_allocator a = ur__arrays_allocator(set);
    ur__text header = {.text = NULL};
    print_header(&header, set, begin);
    if (header.length > HEADER_MOST_BYTES)
        return ur__fail_in(error, path, "the header has %zu bytes, expected at most %d", header.length,
                           HEADER_MOST_BYTES);
    size_t bytes = header.length + 1;
    header = (ur__text){.text = (char *)ur__new(&a, bytes), .bytes = bytes};
    if (!header.text)
        return ur__fail_in(error, path, "no memory for a header of %zu bytes", bytes);
    print_header(&header, set, begin);
    bool good = write_file(set, &header, path, error);
    ur__free(&a, header.text, bytes);
    return good;
}

bool ur_arrays_save(const ur_arrays *set, const char *path, ur_error *error)
{
    if (!set)
        return ur__fail_in(error, path, "there are no arrays to write");
    ur_allocator a = ur__arrays_allocator(set);
    size_t count = 0;
    while (ur_arrays_at(set, count))
        count++;
    uint64_t *begin = (uint64_t *)ur__new(&a, count * sizeof *begin);
    if (!begin)
        return ur__fail_in(error, path, "no memory for %zu offsets", count);
    place_data(set, begin);
    bool good = compose(set, begin, path, error);
    ur__free(&a, begin, count * sizeof *begin);
    return good;
}
