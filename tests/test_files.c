/* test_files.c - safetensors and .npy files byte by byte, what is wrong with malformed ones, writing whole or not at all,
 * and data sets from arrays. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../optim/optim.h"

/* ---- a folder for the files of one test, which is left empty: no temporary file stays */

static char folder[64], path[128];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/unroll-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void remove_folder(void)
{
    unlink(path);
    ck_assert_msg(rmdir(folder) == 0, "%s is not empty", folder);
}

static void put_bytes(const void *bytes, size_t count)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, count, f), count);
    fclose(f);
}

static size_t get_bytes(unsigned char *bytes, size_t most)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t count = fread(bytes, 1, most, f);
    fclose(f);
    return count;
}

static void check_bytes(const void *expected, size_t count)
{
    unsigned char found[4096];
    ck_assert_uint_eq(get_bytes(found, sizeof found), count);
    ck_assert_mem_eq(found, expected, count);
}

/* The error is "PATH: ..." and contains what is expected. */
static void check_error(const ur_error *error, const char *expected)
{
    ck_assert_msg(strncmp(error->text, path, strlen(path)) == 0, "no path: %s", error->text);
    ck_assert_msg(strstr(error->text, expected) != NULL, "found:    %s\nexpected: %s", error->text, expected);
}

/* Puts bytes at the end of a file in memory. */
static size_t append(unsigned char *file, size_t at, const void *bytes, size_t count)
{
    if (count)
        memcpy(file + at, bytes, count);
    return at + count;
}

/* ---- safetensors: the bytes */

/* 8 bytes of length, the header, the data. */
static size_t safetensors(unsigned char *file, const char *header, const void *data, size_t data_bytes)
{
    size_t length = strlen(header);
    const unsigned char prefix[8] = {(unsigned char)(length & 255), (unsigned char)(length >> 8)};
    return append(file, append(file, append(file, 0, prefix, 8), header, length), data, data_bytes);
}

static void put_safetensors(const char *header, const void *data, size_t data_bytes)
{
    unsigned char file[4096] = {0};
    put_bytes(file, safetensors(file, header, data, data_bytes));
}

static const char golden_header[] = "{\"__metadata__\":{\"cell\":\"an \\\"b\\\"\\u000a\\\\\"},"
                                    "\"Wh\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[16,24]},"
                                    "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                    "\"e\":{\"dtype\":\"F64\",\"shape\":[0,3],\"data_offsets\":[8,8]},"
                                    "\"\xCF\x86\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,16]},"
                                    "\"i\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[24,28]}}       ";
/* n = 258; phi = -2; Wh = 1, -0.5; i = -2 */
static const unsigned char golden_data[28] = {2, 1,    0, 0, 0,    0,    0, 0, 0, 0,    0,    0,    0,    0,
                                              0, 0xC0, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xBF, 0xFE, 0xFF, 0xFF, 0xFF};

static ur_array *add(ur_arrays *set, const char *name, ur_array_type type, int rank, const int64_t *size,
                     const double *values)
{
    ur_error error = {{0}};
    ur_array *array = ur_arrays_add(set, name, type, rank, size, &error);
    ck_assert_msg(array && ur_array_set(array, values, &error), "%s", error.text);
    return array;
}

static ur_arrays *golden_set(void)
{
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert(ur_arrays_set_text(set, "cell", "a", NULL));
    ck_assert(ur_arrays_set_text(set, "cell", "an \"b\"\n\\", NULL));
    add(set, "Wh", UR_ARRAY_F32, 2, (const int64_t[]){2, 1}, (const double[]){1, -0.5});
    add(set, "n", UR_ARRAY_I64, 0, NULL, (const double[]){258});
    add(set, "e", UR_ARRAY_F64, 2, (const int64_t[]){0, 3}, NULL);
    add(set, "\xCF\x86", UR_ARRAY_F64, 1, (const int64_t[]){1}, (const double[]){-2});
    add(set, "i", UR_ARRAY_I32, 2, (const int64_t[]){1, 1}, (const double[]){-2});
    return set;
}

START_TEST(safetensors_written)
{
    unsigned char expected[1024];
    size_t count = safetensors(expected, golden_header, golden_data, sizeof golden_data);
    ck_assert_uint_eq(strlen(golden_header) % 8, 0);
    ur_arrays *set = golden_set();
    ur_error error = {{0}};
    ck_assert_msg(ur_arrays_save(set, path, &error), "%s", error.text);
    check_bytes(expected, count);
    ur_arrays_free(set);
}
END_TEST

static ur_arrays *load(void)
{
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    ck_assert_msg(set != NULL, "%s", error.text);
    return set;
}

static void check_values(const ur_arrays *set, const char *name, ur_array_type type, size_t count, const double *values)
{
    double found[64] = {0};
    const ur_array *array = ur_arrays_find(set, name);
    ck_assert_ptr_nonnull(array);
    ck_assert(array->type == type && array->count == count && (uintptr_t)array->data % 64 == 0);
    ck_assert_str_eq(array->file, path);
    ck_assert(ur_array_get(array, found, NULL));
    for (size_t i = 0; i < count; i++)
        ck_assert_double_eq(found[i], values[i]);
}

START_TEST(safetensors_read)
{
    static const char *const names[] = {"Wh", "n", "e", "\xCF\x86", "i"};
    put_safetensors(golden_header, golden_data, sizeof golden_data);
    ur_arrays *set = load();
    for (size_t k = 0; k < 5; k++)
        ck_assert_str_eq(ur_arrays_at(set, k)->name, names[k]);
    ck_assert_ptr_null(ur_arrays_at(set, 5));
    ck_assert_ptr_null(ur_arrays_find(set, "W"));
    check_values(set, "Wh", UR_ARRAY_F32, 2, (const double[]){1, -0.5});
    check_values(set, "n", UR_ARRAY_I64, 1, (const double[]){258});
    check_values(set, "e", UR_ARRAY_F64, 0, NULL);
    check_values(set, "\xCF\x86", UR_ARRAY_F64, 1, (const double[]){-2});
    check_values(set, "i", UR_ARRAY_I32, 1, (const double[]){-2});
    char shape[UR_ARRAY_TEXT];
    ck_assert_str_eq(ur_array_shape(ur_arrays_find(set, "e"), shape), "[0,3]");
    ck_assert_str_eq(ur_arrays_key(set, 0), "cell");
    ck_assert_ptr_null(ur_arrays_key(set, 1));
    ck_assert_str_eq(ur_arrays_text(set, "cell"), "an \"b\"\n\\");
    ur_arrays_free(set);
}
END_TEST

/* Spaces, members in another order, escapes, and data in another order than the header. */
START_TEST(safetensors_of_others)
{
    put_safetensors(
        "{ \"\\u0061\\t\\/\" :\n{\"shape\" : [ 1 , 2 ],\t\"data_offsets\":[4,6],\"dtype\":\"\\u00468_E5M2\"},"
        "\"\\u03c6\\ud83d\\ude00\":{\"dtype\":\"F32\",\"data_offsets\":[0,4],\"shape\":[]},"
        "\"__metadata__\":{}}   ",
        "\0\0\x80\x3F\1\2", 6);
    ur_arrays *set = load();
    check_values(set, "\xCF\x86\xF0\x9F\x98\x80", UR_ARRAY_F32, 1, (const double[]){1});
    const ur_array *other = ur_arrays_find(set, "a\t/");
    ck_assert(other && other->type == UR_ARRAY_F8_E5M2 && other->bytes == 2);
    ck_assert_mem_eq(other->data, "\1\2", 2);
    ur_error error = {{0}};
    double values[2];
    ck_assert(!ur_array_get(other, values, &error));
    check_error(&error, "has dtype F8_E5M2, expected F32, F64, I32 or I64");
    ur_arrays_free(set);
}
END_TEST

START_TEST(safetensors_of_every_type)
{
    static const char *const names[] = {"BOOL",    "F4",      "F6_E2M3", "F6_E3M2",     "U8",          "I8",
                                        "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16",
                                        "U16",     "F16",     "BF16",    "I32",         "U32",         "F32",
                                        "C64",     "F64",     "I64",     "U64"};
    static const int bits[] = {8, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64};
    ck_assert_uint_eq(sizeof names / sizeof *names, UR_ARRAY_TYPES);
    for (size_t k = 0; k < UR_ARRAY_TYPES; k++) {
        char header[256];
        unsigned char data[32] = {7, 6, 5};
        snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}", names[k],
                 bits[k] / 2);
        put_safetensors(header, data, (size_t)bits[k] / 2);
        ur_arrays *set = load();
        ck_assert_str_eq(ur_array_type_name(ur_arrays_at(set, 0)->type), names[k]);
        ck_assert_mem_eq(ur_arrays_at(set, 0)->data, data, (size_t)bits[k] / 2);
        ur_arrays_free(set);
    }
}
END_TEST

START_TEST(many_arrays_and_keys)
{
    char name[32];
    ur_arrays *set = ur_arrays_new(NULL);
    for (int k = 0; k < 1000; k++) {
        snprintf(name, sizeof name, "layer%d.W", k);
        add(set, name, UR_ARRAY_I32, 0, NULL, (const double[]){k});
        ck_assert(ur_arrays_set_text(set, name, name + 5, NULL));
    }
    ck_assert(ur_arrays_save(set, path, NULL));
    ur_arrays_free(set);
    set = load();
    for (int k = 0; k < 1000; k++) {
        snprintf(name, sizeof name, "layer%d.W", k);
        check_values(set, name, UR_ARRAY_I32, 1, (const double[]){k});
        ck_assert_str_eq(ur_arrays_text(set, name), name + 5);
        ck_assert_ptr_eq(ur_arrays_at(set, (size_t)k), ur_arrays_find(set, name));
    }
    ur_arrays_free(set);
}
END_TEST

/* ---- safetensors: malformed */

/* The header of one tensor `a`. */
#define ONE(dtype, shape, offsets) "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define MEMBER(name, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets "}"

typedef struct malformed_safetensors {
    const char *header;
    size_t data_bytes;
    const char *error;
} malformed_safetensors;

static const malformed_safetensors malformed[] = {
    {"[]", 0, "byte 8: found '[', expected '{' at the header's beginning"},
    {" {}", 0, "byte 8: found ' ', expected '{' at the header's beginning"},
    {"{ ", 0, "byte 10: found the header's end, expected a tensor's name in quotes"},
    {"{}x", 0, "byte 10: found 'x', expected spaces after the header's last '}'"},
    {"{}{}", 0, "byte 10: found '{', expected spaces"},
    {"{a:1}", 0, "byte 9: found 'a', expected a tensor's name in quotes"},
    {"{\"a\"}", 0, "byte 12: found '}', expected ':'"},
    {"{\"a", 0, "byte 11: found the header's end, expected a closing quote"},
    {"{\"a\n\":1}", 0, "byte 11: found 0x0a, expected a closing quote"},
    {"{\"a\":1}", 0, "byte 13: found '1', expected '{'"},
    {"{\"a\":null}", 0, "byte 13: found 'n', expected '{'"},
    {"{\"a\":[[[[[[[[", 0, "byte 13: found '[', expected '{'"},
    {"{\"a\\x\":{}}", 0, "byte 12: found 'x', expected one of"},
    {"{\"\\u12g4\":{}}", 0, "byte 14: found 'g', expected four hexadecimal digits"},
    {"{\"\\u0000\":{}}", 0, "expected a name or text without \\u0000"},
    {"{\"\\ud800x\":{}}", 0, "byte 16: found 'x', expected a pair of surrogates"},
    {"{\"\\udc00\":{}}", 0, "expected a pair of surrogates"},
    {"{\"\\ud800\\u0041\":{}}", 0, "expected the second half of a pair of surrogates"},
    {"{\"\xC3(\":{}}", 0, "byte 10: found 0xc3, expected UTF-8"},
    {"{\"\xED\xA0\x80\":{}}", 0, "byte 10: found 0xed, expected UTF-8"},
    {"{\"\xC0\xAF\":{}}", 0, "byte 10: found 0xc0, expected UTF-8"},
    {"{\"\xF4\x90\x80\x80\":{}}", 0, "byte 10: found 0xf4, expected UTF-8"},
    {"{" MEMBER("a", "[0,4]") ",}", 4, "found '}', expected a tensor's name in quotes"},
    {"{" MEMBER("a", "[0,4]") MEMBER("b", "[4,8]") "}", 8, "found '\"', expected ',' or '}'"},
    {"{\"a\":{}}", 0, "tensor \"a\" has no dtype"},
    {"{\"a\":{\"dtype\":\"F32\"}}", 0, "tensor \"a\" has no shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "tensor \"a\" has no data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "tensor \"a\" has two members \"dtype\", expected one"},
    {"{\"a\":{\"type\":\"F32\"}}", 0, "tensor \"a\" has a member \"type\", expected dtype, shape and data_offsets"},
    {ONE("F31", "[1]", "[0,4]"), 4, "tensor \"a\" has the unknown dtype \"F31\""},
    {"{\"a\":{\"dtype\":32}}", 0, "found '3', expected a dtype in quotes"},
    {ONE("F32", "[-1]", "[0,4]"), 4, "found '-', expected a non-negative integer"},
    {ONE("F32", "[01]", "[0,4]"), 4, "found '0', expected a non-negative integer without leading zeros"},
    {ONE("F32", "[1.0]", "[0,4]"), 4, "found '.', expected ',' or ']'"},
    {ONE("F32", "[1e0]", "[0,4]"), 4, "found 'e', expected ',' or ']'"},
    {ONE("F32", "[1,]", "[0,4]"), 4, "found ']', expected a non-negative integer"},
    {ONE("F32", "[9223372036854775808]", "[0,4]"), 4, "expected an integer below 2^63"},
    {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "expected ']' after at most 8 sizes"},
    {ONE("F32", "1", "[0,4]"), 4, "found '1', expected '['"},
    {ONE("F32", "[1]", "[0]"), 4, "tensor \"a\" has 1 data_offsets, expected 2"},
    {ONE("F32", "[1]", "[0,4,8]"), 4, "expected two data_offsets"},
    {ONE("F32", "[1]", "[0,4]"), 3, "tensor \"a\" has data_offsets 0 to 4, expected a range within the 3 bytes"},
    {ONE("F32", "[1]", "[4,0]"), 4, "tensor \"a\" has data_offsets 4 to 0, expected a range"},
    {ONE("F32", "[2]", "[0,4]"), 4, "tensor \"a\" has 4 bytes, expected 8 for F32 [2]"},
    {ONE("F64", "[4294967296,4294967296]", "[0,8]"), 8, "tensor \"a\" of F64 [4294967296,4294967296] is too large"},
    {ONE("F4", "[3]", "[0,1]"), 1, "tensor \"a\" of F4 [3] is too large or makes no whole bytes"},
    {ONE("F32", "[1]", "[0,4]"), 6, "has 2 bytes after the last tensor, expected none"},
    {"{}", 1, "has 1 bytes after the last tensor, expected none"},
    {ONE("F32", "[1]", "[4,8]"), 8, "tensor \"a\" begins at byte 4 of the data, expected 0: a hole"},
    {"{" MEMBER("a", "[0,4]") "," MEMBER("b", "[8,12]") "}", 12,
     "tensor \"b\" begins at byte 8 of the data, expected 4"},
    {"{" MEMBER("a", "[0,4]") "," MEMBER("b", "[2,6]") "}", 6,
     "tensor \"b\" begins at byte 2 of the data, inside tensor \"a\""},
    {"{" MEMBER("a", "[0,4]") "," MEMBER("a", "[4,8]") "}", 8, "two arrays are named \"a\""},
    {"{\"__metadata__\":{\"a\":1}}", 0, "found '1', expected a text in quotes"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "__metadata__ has two keys \"a\", expected one"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "the header has two members __metadata__, expected one"},
    {"{\"__metadata__\":[]}", 0, "found '[', expected '{'"},
};

static void check_malformed(const malformed_safetensors *bad)
{
    ur_error error = {{0}};
    put_safetensors(bad->header, "123456789012", bad->data_bytes);
    ck_assert_msg(!ur_arrays_load(path, NULL, &error), "read: %s", bad->header);
    check_error(&error, bad->error);
}

START_TEST(safetensors_malformed)
{
    check_malformed(&malformed[_i]);
}
END_TEST

static void check_not_read(const void *bytes, size_t count, const char *expected)
{
    ur_error error = {{0}};
    put_bytes(bytes, count);
    ck_assert_ptr_null(ur_arrays_load(path, NULL, &error));
    check_error(&error, expected);
}

START_TEST(safetensors_no_file)
{
    ur_error error = {{0}};
    ck_assert_ptr_null(ur_arrays_load(path, NULL, &error));
    check_error(&error, "cannot be read: No such file or directory");
    error.text[0] = 0;
    ck_assert_ptr_null(ur_arrays_load(folder, NULL, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "is a directory, expected a file"));
    error.text[0] = 0;
    ck_assert_ptr_null(ur_arrays_load("/dev/null", NULL, &error));
    ck_assert_str_eq(error.text, "/dev/null: is a device or pipe, expected a regular file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    error.text[0] = 0;
    ck_assert_ptr_null(ur_arrays_load(path, NULL, &error));
    check_error(&error, "is a device or pipe, expected a regular file");
    ck_assert_int_eq(unlink(path), 0);
    check_not_read("", 0, "is empty, expected a safetensors file");
    check_not_read("\2\0\0\0\0\0\0\0{", 9, "has 9 bytes, expected a safetensors file of at least 10");
    check_not_read("\3\0\0\0\0\0\0\0{}", 10, "is truncated: expected a header of 3 bytes, found 2");
    check_not_read("\0\0\0\0\0\0\0\0{}", 10, "found the header's end, expected '{'");
    check_not_read("\1\341\365\5\0\0\0\0{}", 10, "length is 100000001 bytes, expected at most 100000000");
    check_not_read("\377\377\377\377\377\377\377\377{}", 10, "length is 18446744073709551615 bytes");
    check_not_read("\3\0\0\0\0\0\0\0{\0}", 11, "byte 9: found 0x00, expected a tensor's name");
}
END_TEST

START_TEST(safetensors_of_another_format)
{
    check_not_read("\x93NUMPY\1\0v\0", 10, ": is a .npy file, expected a safetensors file");
    check_not_read("PK\3\4\24\0\0\0\0\0", 10, ": is a zip archive, as .npz and .pt files are, expected a safe");
    check_not_read("\x1F\x8B\b\0\1\2\3\4\0\3", 10, ": is compressed by gzip, expected a safetensors file");
    check_not_read("\x89HDF\r\n\x1A\n\0\0", 10, ": is an HDF5 file, expected a safetensors file");
    check_not_read("\x80\2\x8A\nl\xFC\x9C\x46\xF9\x20", 10, ": is a pickle of Python, expected a safetensors file");
}
END_TEST

/* Every beginning of a good file, and every byte of it changed, is read or refused, with a line that names the file. */
START_TEST(safetensors_damaged)
{
    unsigned char file[1024];
    put_safetensors(golden_header, golden_data, sizeof golden_data);
    size_t count = get_bytes(file, sizeof file);
    for (size_t n = 0; n < count; n++) {
        ur_error error = {{0}};
        put_bytes(file, n);
        ck_assert_ptr_null(ur_arrays_load(path, NULL, &error));
        check_error(&error, ": ");
        for (unsigned change = 1; change < 256; change *= 2) {
            error.text[0] = 0;
            file[n] ^= (unsigned char)change;
            put_bytes(file, count);
            file[n] ^= (unsigned char)change;
            ur_arrays *set = ur_arrays_load(path, NULL, &error);
            ck_assert_int_eq(set == NULL, error.text[0] != 0);
            ur_arrays_free(set);
        }
    }
}
END_TEST

/* ---- the set's own rules */

START_TEST(arrays_refused)
{
    static const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const struct {
        const char *name;
        int rank;
        int64_t size[2];
        const char *error;
    } bad[] = {
        {"a", 1, {1}, "two arrays are named \"a\", expected different names"},
        {"__metadata__", 1, {1}, "no array can be named \"__metadata__\""},
        {"\xFF", 1, {1}, "no array can be named"},
        {"b", 1, {-1}, "\"b\" has the size -1, expected at least 0"},
        {"b", 2, {INT64_MAX, 4}, "\"b\" of F32 [9223372036854775807,4] is too large"},
    };
    ur_arrays *set = ur_arrays_new(NULL);
    add(set, "a", UR_ARRAY_F32, 1, (const int64_t[]){1}, (const double[]){1});
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        ur_error error = {{0}};
        ck_assert_ptr_null(ur_arrays_add(set, bad[k].name, UR_ARRAY_F32, bad[k].rank, bad[k].size, &error));
        ck_assert_msg(strstr(error.text, bad[k].error) == error.text, "%s", error.text);
    }
    ur_error error = {{0}};
    ck_assert_ptr_null(ur_arrays_add(set, "b", UR_ARRAY_F32, 9, nine, &error));
    ck_assert_str_eq(error.text, "an array has at most 8 dimensions");
    ck_assert(!ur_arrays_set_text(set, "key", "\x80", NULL));
    ck_assert_ptr_null(ur_arrays_at(set, 1));
    ur_arrays_free(set);
    ur_arrays_free(NULL);
}
END_TEST

START_TEST(elements)
{
    static const int64_t two[] = {2};
    static const double wrong[][2] = {{1, 0.5}, {1, NAN}, {1, 2147483648.0}, {1, INFINITY}};
    ur_arrays *set = ur_arrays_new(NULL);
    ur_array *whole = add(set, "i", UR_ARRAY_I32, 1, two, (const double[]){-2147483648.0, 2147483647.0});
    ur_array *real = add(set, "f", UR_ARRAY_F32, 1, two, (const double[]){0.1, NAN});
    double found[2];
    ck_assert(ur_array_get(whole, found, NULL) && found[0] == -2147483648.0 && found[1] == 2147483647.0);
    ck_assert(ur_array_get(real, found, NULL) && found[0] == (double)0.1F && isnan(found[1]));
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ur_error error = {{0}};
        ck_assert(!ur_array_set(whole, wrong[k], &error));
        ck_assert_ptr_nonnull(strstr(error.text, "i[1] is set to "));
    }
    ur_array *bytes = ur_arrays_add(set, "u", UR_ARRAY_U8, 1, two, NULL);
    ck_assert(bytes && !ur_array_set(bytes, found, NULL));
    ur_arrays_free(set);
}
END_TEST

/* ---- .npy */

static const char npy_2x3[] = "\x93NUMPY\1\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"
                              "                                                          \n";

START_TEST(npy_written)
{
    unsigned char expected[256];
    static const double values[6] = {1, 2, 3, 4, 5, -6};
    ur_arrays *set = ur_arrays_new(NULL);
    const ur_array *array = add(set, "x", UR_ARRAY_F64, 2, (const int64_t[]){2, 3}, values);
    ck_assert(ur_npy_save(array, path, NULL));
    ck_assert_uint_eq(sizeof npy_2x3 - 1, 128);
    append(expected, 0, npy_2x3, 128);
    memset(expected + 128, 0, 48);
    static const unsigned char high[6][2] = {{0xF0, 0x3F}, {0, 0x40},    {8, 0x40},
                                             {0x10, 0x40}, {0x14, 0x40}, {0x18, 0xC0}};
    for (size_t k = 0; k < 6; k++)
        memcpy(expected + 128 + 8 * k + 6, high[k], 2);
    check_bytes(expected, 176);
    ur_arrays_free(set);
}
END_TEST

START_TEST(npy_shapes)
{
    static const char *const shapes[] = {"'shape': (), }", "'shape': (3,), }", "'shape': (1, 3), }",
                                         "'shape': (1, 1, 3), }"};
    static const int64_t sizes[][3] = {{0}, {3}, {1, 3}, {1, 1, 3}};
    static const double values[] = {7, -8, 9};
    for (int rank = 0; rank < 4; rank++) {
        unsigned char bytes[512] = {0};
        ur_arrays *set = ur_arrays_new(NULL), *back = ur_arrays_new(NULL);
        const ur_array *array = add(set, "x", UR_ARRAY_I32, rank, sizes[rank], values);
        ck_assert(ur_npy_save(array, path, NULL));
        ck_assert_uint_eq(get_bytes(bytes, sizeof bytes), 128 + array->bytes);
        ck_assert_ptr_nonnull(strstr((const char *)bytes + 10, shapes[rank]));
        const ur_array *read = ur_npy_load(back, "x", path, NULL);
        ck_assert(read && read->rank == rank && read->type == UR_ARRAY_I32);
        check_values(back, "x", UR_ARRAY_I32, rank ? 3 : 1, values);
        ur_arrays_free(set);
        ur_arrays_free(back);
    }
}
END_TEST

/* Version, a header without padding, data. */
static void put_npy(int version, const char *header, const void *data, size_t data_bytes)
{
    unsigned char file[512] = {0};
    size_t length = strlen(header);
    const unsigned char prefix[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)length};
    size_t at = append(file, 0, prefix, version == 1 ? 10 : 12);
    put_bytes(file, append(file, append(file, at, header, length), data, data_bytes));
}

START_TEST(npy_read)
{
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }      \n",
        "{\"shape\":(1,2),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{ 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 1 , 2 , ) , }",
    };
    for (int version = 1; version <= 3; version++)
        for (size_t k = 0; k < 3; k++) {
            ur_error error = {{0}};
            ur_arrays *set = ur_arrays_new(NULL);
            put_npy(version, headers[k], "\0\0\x80\x3F\0\0\0\xC0", 8);
            ck_assert_msg(ur_npy_load(set, "x", path, &error) != NULL, "%s", error.text);
            check_values(set, "x", UR_ARRAY_F32, 2, (const double[]){1, -2});
            ur_arrays_free(set);
        }
}
END_TEST

#define NPY(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape "}"

typedef struct malformed_npy {
    int version;
    const char *header;
    size_t data_bytes;
    const char *error;
} malformed_npy;

static const malformed_npy bad_npy[] = {
    {1, NPY("'>f8'", "False", "(1,)"), 8, "has dtype '>f8', expected '<f4', '<f8', '<i4' or '<i8'"},
    {1, NPY("'|b1'", "False", "(8,)"), 8, "has dtype '|b1', expected"},
    {1, NPY("'<f2'", "False", "(4,)"), 8, "has dtype '<f2', expected"},
    {1, NPY("[('a', '<f8')]", "False", "(1,)"), 8, "expected a plain dtype"},
    {1, NPY("'<f8'", "True", "(1,)"), 8, "has fortran_order True, expected C order"},
    {1, NPY("'<f8'", "None", "(1,)"), 8, "expected True or False"},
    {1, NPY("'<f8'", "False", "(2,)"), 8, "has 8 bytes of data, expected 16 for '<f8' [2]"},
    {1, NPY("'<f8'", "False", "()"), 9, "has 9 bytes of data, expected 8 for '<f8' []"},
    {1, NPY("'<f8'", "False", "(1)"), 8, "found \")}\" at byte 52 of the header, expected ',' in the shape"},
    {1, NPY("'<f8'", "False", "(-1,)"), 8, "expected a size"},
    {1, NPY("'<f8'", "False", "[1]"), 8, "expected '('"},
    {1, NPY("'<f8'", "False", "(1,"), 8, "expected a size"},
    {1, NPY("'<f8'", "False", "(1 2)"), 8, "expected ',' in the shape"},
    {1, NPY("'<f8'", "False", "(1,1,1,1,1,1,1,1,1)"), 8, "has more than 8 dimensions"},
    {1, NPY("'<f8'", "False", "(99999999999999999999,)"), 8, "has a size beyond 2^63"},
    {1, NPY("'<f8'", "False", "(4294967296,4294967296)"), 8,
     "has the shape [4294967296,4294967296], which is too large"},
    {1, "{'descr': '<f8', 'shape': ()}", 8, "has no fortran_order in the header"},
    {1, "{'descr': '<f8', 'descr': '<f8'}", 8,
     "has \"descr\" in the header, expected descr, fortran_order and shape once"},
    {1, "{'type': '<f8'}", 8, "has \"type\" in the header, expected"},
    {1, "{'descr' '<f8'}", 8, "expected ':'"},
    {1, "{'descr': '<f8}", 8, "expected a plain dtype"},
    {1, "{'descr': '<f8' 'shape': ()}", 8, "expected ',' or '}'"},
    {1, NPY("'<f8'", "False", "()") " x", 8, "found \"x\" at byte 54 of the header, expected the header's end"},
    {1, "", 0, "found \"\" at byte 0 of the header, expected '{'"},
    {4, NPY("'<f8'", "False", "()"), 8, "has version 4.0, expected 1.0, 2.0 or 3.0"},
    {0, NPY("'<f8'", "False", "()"), 8, "has version 0.0, expected 1.0, 2.0 or 3.0"},
};

static void check_bad_npy(const malformed_npy *bad)
{
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    put_npy(bad->version, bad->header, "123456789", bad->data_bytes);
    ck_assert_msg(!ur_npy_load(set, "x", path, &error), "read: %s", bad->header);
    check_error(&error, bad->error);
    ck_assert_ptr_null(ur_arrays_find(set, "x"));
    ur_arrays_free(set);
}

START_TEST(npy_malformed)
{
    check_bad_npy(&bad_npy[_i]);
}
END_TEST

START_TEST(npy_damaged)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *error;
    } bad[] = {
        {"", 0, "has 0 bytes, expected a .npy file"},
        {"\x93NUMPX\1\0\0\0", 10, "does not begin with \\x93NUMPY"},
        {"\x93NUMPY\1\0\5", 9, "is truncated: expected 2 more bytes of the header, found 1"},
        {"\x93NUMPY\1\0\5\0{}", 12, "is truncated: expected 5 more bytes of the header, found 2"},
        {"\x93NUMPY\2\0\1\0\20\0{}", 14, "has a header of 1048577 bytes, expected at most 1048576"},
        {"\x93NUMPY\1\1\2\0{}", 12, "has version 1.1"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        ur_error error = {{0}};
        ur_arrays *set = ur_arrays_new(NULL);
        put_bytes(bad[k].bytes, bad[k].count);
        ck_assert_ptr_null(ur_npy_load(set, "x", path, &error));
        check_error(&error, bad[k].error);
        ur_arrays_free(set);
    }
    unsigned char file[176] = {0};
    append(file, 0, npy_2x3, 128);
    for (size_t n = 0; n < sizeof file; n++)
        for (unsigned change = 1; change < 256; change *= 2) {
            ur_error error = {{0}};
            ur_arrays *set = ur_arrays_new(NULL);
            file[n] ^= (unsigned char)change;
            put_bytes(file, sizeof file);
            file[n] ^= (unsigned char)change;
            ck_assert_int_eq(ur_npy_load(set, "x", path, &error) == NULL, error.text[0] != 0);
            ur_arrays_free(set);
        }
}
END_TEST

/* What ur_arrays_find does not find goes on to here. */
START_TEST(no_array)
{
    ur_error error[4] = {{{0}}};
    ck_assert(!ur_array_get(NULL, NULL, &error[0]) && !ur_array_set(NULL, NULL, &error[1]));
    ck_assert_str_eq(error[0].text, "there is no array to read");
    ck_assert_str_eq(error[1].text, "there is no array to set");
    ck_assert(!ur_npy_save(NULL, path, &error[2]) && !ur_data_save(NULL, UR_F32, path, &error[3]));
    check_error(&error[2], "there is no array to write");
    ck_assert_str_eq(error[3].text, "there is no data to write");
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- written whole or not at all */

START_TEST(file_replaced_at_commit)
{
    put_bytes("old", 3);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new and longer");
    fflush(ur_file_stream(file));
    check_bytes("old", 3);
    ck_assert(ur_file_commit(file, NULL));
    check_bytes("new and longer", 14);
    struct stat status;
    ck_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640);
}
END_TEST

START_TEST(file_abandoned)
{
    put_bytes("old", 3);
    ur_file *file = ur_file_create(path, NULL, NULL), *second = ur_file_create(path, NULL, NULL);
    ck_assert(file && second);
    fprintf(ur_file_stream(file), "%s", "new");
    ur_file_abandon(file);
    ur_file_abandon(second);
    ur_file_abandon(NULL);
    check_bytes("old", 3);
    ck_assert(!ur_file_stream(NULL) && !ur_file_commit(NULL, NULL));
}
END_TEST

/* Writes a file through a link to a link; both stay links. */
static void write_through(const char *link, const char *other)
{
    struct stat status;
    ur_file *file = ur_file_create(link, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new");
    ck_assert(ur_file_commit(file, NULL));
    check_bytes("new", 3);
    ck_assert(lstat(link, &status) == 0 && S_ISLNK(status.st_mode));
    ck_assert(lstat(other, &status) == 0 && S_ISLNK(status.st_mode));
}

/* The file that symbolic links name is replaced, or made, not the link. */
START_TEST(file_behind_a_link)
{
    char link[128], other[128];
    ur_error error = {{0}};
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    put_bytes("old", 3);
    ck_assert(symlink(path, other) == 0 && symlink("other", link) == 0);
    write_through(link, other);
    ck_assert_int_eq(unlink(path), 0);
    write_through(link, other);
    ck_assert(unlink(other) == 0 && symlink("link", other) == 0); /* round and round */
    ck_assert_ptr_null(ur_file_create(link, NULL, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "link: cannot be written"));
    unlink(link);
    unlink(other);
}
END_TEST

static void check_not_written(const char *to, const char *reason)
{
    char expected[256];
    ur_error error = {{0}};
    ur_arrays *set = golden_set();
    snprintf(expected, sizeof expected, "%s: cannot be written: %s", to, reason);
    ck_assert(!ur_arrays_save(set, to, &error));
    ck_assert_str_eq(error.text, expected);
    error.text[0] = 0;
    ck_assert(!ur_npy_save(ur_arrays_find(set, "Wh"), to, &error));
    ck_assert_str_eq(error.text, expected);
    ur_arrays_free(set);
}

/* More than a stream's buffer holds: the write fails before the commit. */
static void check_full_device(void)
{
    static const char zeros[1 << 16];
    ur_error error = {{0}};
    ur_file *file = ur_file_create("/dev/full", NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fwrite(zeros, 1, sizeof zeros, ur_file_stream(file));
    ck_assert(!ur_file_commit(file, &error));
    ck_assert_str_eq(error.text, "/dev/full: cannot be written: No space left on device");
}

START_TEST(failed_write)
{
    char below[192];
    put_bytes("old", 3);
    snprintf(below, sizeof below, "%s/below", path);
    check_not_written(below, "Not a directory");
    snprintf(below, sizeof below, "%s/none/file", folder);
    check_not_written(below, "the folder does not exist");
    check_not_written(folder, "Is a directory");
    if (access("/dev/full", W_OK) == 0) {
        check_not_written("/dev/full", "No space left on device");
        check_full_device();
    }
    check_bytes("old", 3);
}
END_TEST

/* Something that cannot be replaced came in the way after the file was begun: the temporary file goes. */
START_TEST(failed_rename)
{
    ur_error error = {{0}};
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!ur_file_commit(file, &error));
    check_error(&error, "cannot be written: Is a directory");
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* A stream whose descriptor does not take what is written, as on a full disk. */
START_TEST(failed_flush)
{
    ur_error error = {{0}};
    put_bytes("old", 3);
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new");
    FILE *readable = fopen(path, "rb");
    ck_assert_ptr_nonnull(readable);
    ck_assert_int_ge(dup2(fileno(readable), fileno(ur_file_stream(file))), 0);
    ck_assert(!ur_file_commit(file, &error));
    check_error(&error, "cannot be written: Bad file descriptor");
    fclose(readable);
    check_bytes("old", 3);
}
END_TEST

START_TEST(types_that_npy_has_not)
{
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    const ur_array *array = ur_arrays_add(set, "h", UR_ARRAY_F16, 1, (const int64_t[]){1}, NULL);
    ck_assert(!ur_npy_save(array, path, &error));
    check_error(&error, "array h has dtype F16, expected F32, F64, I32 or I64");
    ur_arrays_free(set);
}
END_TEST

/* ---- data sets */

static const int64_t n_t_d[] = {2, 3, 2}, n_t[] = {2, 3};
static const double twelve[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static ur_arrays *set_with_x(void)
{
    ur_arrays *set = ur_arrays_new(NULL);
    add(set, "x", UR_ARRAY_F64, 3, n_t_d, twelve);
    return set;
}

/* Ends the set. */
static ur_data *data_of(ur_arrays *set, int64_t classes)
{
    ur_error error = {{0}};
    ur_data *data = ur_data_from_arrays(set, classes, NULL, &error);
    ck_assert_msg(data != NULL, "%s", error.text);
    ur_arrays_free(set);
    return data;
}

static void check_no_data(ur_arrays *set, int64_t classes, const char *expected)
{
    ur_error error = {{0}};
    ck_assert_ptr_null(ur_data_from_arrays(set, classes, NULL, &error));
    ck_assert_str_eq(error.text, expected);
    ur_arrays_free(set);
}

START_TEST(data_of_each_kind)
{
    ur_data *data = data_of(set_with_x(), 0);
    ck_assert(data->n == 2 && data->steps == 3 && data->inputs == 2 && data->outputs == 0);
    ck_assert(!data->y && !data->lengths && !data->weight);
    ck_assert_mem_eq(data->x, twelve, sizeof twelve);
    ur_data_free(data);

    ur_arrays *set = set_with_x();
    add(set, "y", UR_ARRAY_F32, 3, (const int64_t[]){2, 3, 1}, twelve);
    add(set, "lengths", UR_ARRAY_I32, 1, n_t, (const double[]){3, 0});
    add(set, "weight", UR_ARRAY_F32, 2, n_t, twelve);
    data = data_of(set, 0);
    ck_assert(data->outputs == 1 && !data->y_last && !data->y_classes && data->y[5] == 6);
    ck_assert(data->lengths[0] == 3 && data->lengths[1] == 0 && data->weight[5] == 6);
    ur_data_free(data);

    set = set_with_x();
    add(set, "y", UR_ARRAY_F32, 2, (const int64_t[]){2, 3}, twelve);
    data = data_of(set, 0);
    ck_assert(data->outputs == 3 && data->y_last && !data->y_classes && data->y[5] == 6);
    ur_data_free(data);
}
END_TEST

START_TEST(data_with_classes)
{
    ur_arrays *set = set_with_x();
    add(set, "y", UR_ARRAY_I32, 2, n_t, (const double[]){0, 4, -1, 1, 99, -1});
    add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){2, 1});
    ur_data *data = data_of(set, 0);
    ck_assert(data->outputs == 5 && data->y_classes && !data->y_last && data->y[4] == 99);
    ur_data_free(data);

    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 1, n_t, (const double[]){3, -7});
    add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){2, 0});
    data = data_of(set, 6);
    ck_assert(data->outputs == 6 && data->y_classes && data->y_last && data->y[0] == 3 && data->y[1] == -7);
    ur_data_free(data);
}
END_TEST

START_TEST(data_refused)
{
    static const int64_t three[] = {3}, odd[] = {2, 4}, flat[] = {2, 6}, empty[] = {2, 0, 2};
    ur_arrays *set = ur_arrays_new(NULL);
    check_no_data(set, 0, "has no array x, expected one of [N,T,d]");
    set = ur_arrays_new(NULL);
    add(set, "x", UR_ARRAY_F64, 2, flat, twelve);
    check_no_data(set, 0, "x is [2,6], expected [N,T,d] with sizes of at least 1");
    set = ur_arrays_new(NULL);
    add(set, "x", UR_ARRAY_F64, 3, empty, NULL);
    check_no_data(set, 0, "x is [2,0,2], expected [N,T,d] with sizes of at least 1");
    set = ur_arrays_new(NULL);
    ck_assert_ptr_nonnull(ur_arrays_add(set, "x", UR_ARRAY_F16, 3, n_t_d, NULL));
    check_no_data(set, 0, "x has dtype F16, expected F32, F64, I32 or I64");
    set = set_with_x();
    add(set, "length", UR_ARRAY_I64, 1, n_t, twelve);
    check_no_data(set, 0, "has an array \"length\", expected x, y, lengths and weight");

    set = set_with_x();
    add(set, "y", UR_ARRAY_F64, 2, (const int64_t[]){3, 2}, twelve);
    check_no_data(set, 0, "y is [3,2], expected [2,3,p] or [2,p] as x has them");
    set = set_with_x();
    add(set, "y", UR_ARRAY_F64, 1, n_t, twelve);
    check_no_data(set, 0, "y is [2], expected [2,3,p] or [2,p] as x has them");
    set = set_with_x();
    add(set, "y", UR_ARRAY_F64, 3, (const int64_t[]){2, 3, 0}, twelve);
    check_no_data(set, 0, "y is [2,3,0], expected [2,3,p] or [2,p] as x has them");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 2, odd, twelve);
    check_no_data(set, 0, "y of integers is [2,4], expected classes [2,3] or [2] as x has them");

    set = set_with_x();
    add(set, "lengths", UR_ARRAY_I64, 1, three, twelve);
    check_no_data(set, 0, "lengths is I64 [3], expected I32 or I64 [2] as x has it");
    set = set_with_x();
    add(set, "lengths", UR_ARRAY_F32, 1, n_t, twelve);
    check_no_data(set, 0, "lengths is F32 [2], expected I32 or I64 [2] as x has it");
    set = set_with_x();
    add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){3, -1});
    check_no_data(set, 0, "lengths[1] is -1, expected 0 to 3");
    set = set_with_x();
    add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){4, 1});
    check_no_data(set, 0, "lengths[0] is 4, expected 0 to 3");
    set = set_with_x();
    add(set, "weight", UR_ARRAY_F64, 2, odd, twelve);
    check_no_data(set, 0, "weight is [2,4], expected [2,3] as x has them");
}
END_TEST

START_TEST(classes_refused)
{
    ur_arrays *set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 2, n_t, (const double[]){0, 1, 2, 0, 1, -2});
    check_no_data(set, 0, "y[1,2] is -2, expected a class of at least 0");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 2, n_t, (const double[]){0, 1, 2, 0, 3, 1});
    check_no_data(set, 3, "y[1,1] is 3, expected a class from 0 to 2");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 1, n_t, (const double[]){0, -1});
    check_no_data(set, 3, "y[1] is -1, expected a class of at least 0");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 2, n_t, (const double[]){0, 1, 2, 0, 0x1p31, 1});
    check_no_data(set, 0, "y[1,1] is 2147483648, expected a class from 0 to 2147483647");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 1, n_t, (const double[]){0, 1});
    ((int64_t *)ur_arrays_find(set, "y")->data)[1] = INT64_MAX;
    check_no_data(set, 0, "y[1] is 9223372036854775807, expected a class from 0 to 2147483647");
    set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 1, n_t, (const double[]){0, 1});
    check_no_data(set, -3, "-3 classes were asked for, expected a number from 1, or 0");
}
END_TEST

/* NaN in the padding, and all the rest, come back from a file as they were; both precisions. */
START_TEST(data_saved_and_loaded)
{
    for (int i = 0; i < 2; i++) {
        ur_error error = {{0}};
        ur_arrays *set = set_with_x();
        add(set, "y", UR_ARRAY_I64, 2, n_t, (const double[]){0, 1, 2, 3, -1, -1});
        add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){3, 1});
        add(set, "weight", UR_ARRAY_F64, 2, n_t, twelve);
        ur_data *data = data_of(set, 0);
        data->x[11] = NAN;
        ck_assert_msg(ur_data_save(data, i ? UR_F64 : UR_F32, path, &error), "%s", error.text);
        ur_data *back = ur_data_load(path, 0, NULL, &error);
        ck_assert_msg(back != NULL, "%s", error.text);
        ck_assert(back->n == 2 && back->steps == 3 && back->inputs == 2 && back->outputs == 4 && back->y_classes);
        ck_assert_mem_eq(back->x, data->x, 11 * sizeof(double));
        ck_assert(isnan(back->x[11]));
        ck_assert_mem_eq(back->y, data->y, 6 * sizeof(double));
        ck_assert_mem_eq(back->lengths, data->lengths, 2 * sizeof(int64_t));
        ck_assert_mem_eq(back->weight, data->weight, 6 * sizeof(double));
        ur_data_free(data);
        ur_data_free(back);
    }
}
END_TEST

START_TEST(data_errors_name_the_file)
{
    ur_error error = {{0}};
    put_safetensors("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "1234", 4);
    ck_assert_ptr_null(ur_data_load(path, 0, NULL, &error));
    check_error(&error, "x is [1], expected [N,T,d]");
    error.text[0] = 0;
    put_safetensors("{}", NULL, 0);
    ck_assert_ptr_null(ur_data_load(path, 0, NULL, &error));
    check_error(&error, "has no array x, expected one of [N,T,d]");
    error.text[0] = 0;
    ur_arrays *set = set_with_x();
    put_npy(1, NPY("'<i8'", "False", "(2,)"), "\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0", 16);
    ck_assert_ptr_nonnull(ur_npy_load(set, "lengths", path, NULL));
    ck_assert_ptr_null(ur_data_from_arrays(set, 0, NULL, &error));
    check_error(&error, "lengths[1] is 4, expected 0 to 3");
    ur_arrays_free(set);
}
END_TEST

START_TEST(new_data)
{
    ur_error error = {{0}};
    ur_data *data = ur_data_new(2, 5, 1, 3, UR_DATA_Y_LAST | UR_DATA_LENGTHS, NULL, &error);
    ck_assert(data && data->y_last && !data->y_classes && !data->weight && data->lengths[1] == 5 && data->y[5] == 0);
    ur_data_free(data);
    ur_data_free(NULL);
    ck_assert_ptr_null(ur_data_new(0, 5, 1, 3, 0, NULL, &error));
    ck_assert_str_eq(error.text, "data of the sizes [0,5,1], expected at least 1 each");
    error.text[0] = 0;
    ck_assert_ptr_null(ur_data_new(INT64_MAX, INT64_MAX, 2, 3, 0, NULL, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "no memory for data"));
}
END_TEST

/* ---- memory: every allocation fails once, nothing is lost, and a line says so */

typedef struct budget {
    int left;
    long long bytes;
} budget;

static void *limited(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    budget *b = (budget *)user;
    if (new_bytes && b->left-- <= 0)
        return NULL;
    b->bytes += (long long)new_bytes - (long long)old_bytes;
    if (new_bytes)
        return realloc(block, new_bytes);
    free(block);
    return NULL;
}

/* Loads, copies to a data set and back, and saves. */
static bool load_and_save(const ur_allocator *allocator, ur_error *error)
{
    ur_data *data = ur_data_load(path, 0, allocator, error);
    ur_arrays *set = data ? ur_data_to_arrays(data, UR_F64, allocator, error) : NULL;
    bool good = set && ur_arrays_set_text(set, "key", "value", error) && ur_arrays_save(set, path, error);
    ur_data_free(data);
    ur_arrays_free(set);
    return good;
}

START_TEST(no_memory)
{
    ur_arrays *set = set_with_x();
    int allowed = 0;
    bool good = false;
    ck_assert(ur_arrays_save(set, path, NULL));
    for (; !good; allowed++) {
        budget b = {.left = allowed};
        ur_allocator allocator = {.resize = limited, .user = &b};
        ur_error error = {{0}};
        good = load_and_save(&allocator, &error);
        ck_assert_msg(good || strstr(error.text, "no memory") || strstr(error.text, "Cannot allocate memory"), "%s",
                      error.text);
        ck_assert_int_eq(b.bytes, 0);
    }
    ck_assert_int_gt(allowed, 8);
    ur_arrays_free(set);
}
END_TEST

/* ---- all of it */

static TCase *cases_in_folder(Suite *suite, const char *name)
{
    TCase *cases = tcase_create(name);
    tcase_add_checked_fixture(cases, make_folder, remove_folder);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return cases;
}

static void add_safetensors(Suite *suite)
{
    TCase *cases = cases_in_folder(suite, "safetensors");
    tcase_add_test(cases, safetensors_written);
    tcase_add_test(cases, safetensors_read);
    tcase_add_test(cases, safetensors_of_others);
    tcase_add_test(cases, safetensors_of_every_type);
    tcase_add_test(cases, many_arrays_and_keys);
    tcase_add_loop_test(cases, safetensors_malformed, 0, (int)(sizeof malformed / sizeof *malformed));
    tcase_add_test(cases, safetensors_no_file);
    tcase_add_test(cases, safetensors_of_another_format);
    tcase_add_test(cases, safetensors_damaged);
    tcase_add_test(cases, arrays_refused);
    tcase_add_test(cases, elements);
    tcase_add_test(cases, no_memory);
}

static void add_npy(Suite *suite)
{
    TCase *cases = cases_in_folder(suite, "npy");
    tcase_add_test(cases, npy_written);
    tcase_add_test(cases, npy_shapes);
    tcase_add_test(cases, npy_read);
    tcase_add_loop_test(cases, npy_malformed, 0, (int)(sizeof bad_npy / sizeof *bad_npy));
    tcase_add_test(cases, npy_damaged);
    tcase_add_test(cases, types_that_npy_has_not);
    tcase_add_test(cases, no_array);
}

static void add_writing(Suite *suite)
{
    TCase *cases = cases_in_folder(suite, "writing");
    tcase_add_test(cases, file_replaced_at_commit);
    tcase_add_test(cases, file_abandoned);
    tcase_add_test(cases, file_behind_a_link);
    tcase_add_test(cases, failed_write);
    tcase_add_test(cases, failed_rename);
    tcase_add_test(cases, failed_flush);
}

static void add_data(Suite *suite)
{
    TCase *cases = cases_in_folder(suite, "data");
    tcase_add_test(cases, data_of_each_kind);
    tcase_add_test(cases, data_with_classes);
    tcase_add_test(cases, data_refused);
    tcase_add_test(cases, classes_refused);
    tcase_add_test(cases, data_saved_and_loaded);
    tcase_add_test(cases, data_errors_name_the_file);
    tcase_add_test(cases, new_data);
}

int main(void)
{
    Suite *suite = suite_create("files");
    add_safetensors(suite);
    add_npy(suite);
    add_writing(suite);
    add_data(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
