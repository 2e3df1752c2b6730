/* test_safetensors.c - safetensors files byte by byte against the format as published: written, read, of others and
 * of every type; malformed and damaged ones, each with the line that it is refused with; the rules of a set of
 * arrays. */
#include <math.h>
#include <sys/stat.h>

#include "file_bytes.h"

/* ---- the bytes */

static const char golden_header[] = "{\"__metadata__\":{\"cell\":\"an \\\"b\\\"\\u000a\\\\\"},"
                                    "\"Wh\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[16,24]},"
                                    "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                    "\"e\":{\"dtype\":\"F64\",\"shape\":[0,3],\"data_offsets\":[8,8]},"
                                    "\"\xCF\x86\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,16]},"
                                    "\"i\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[24,28]}}       ";
/* n = 258; phi = -2; Wh = 1, -0.5; i = -2 */
static const unsigned char golden_data[28] = {2, 1,    0, 0, 0,    0,    0, 0, 0, 0,    0,    0,    0,    0,
                                              0, 0xC0, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xBF, 0xFE, 0xFF, 0xFF, 0xFF};

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

/* ---- malformed */

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

int main(void)
{
    TCase *cases = cases_in_folder("safetensors");
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
    return run_cases(suite_create("safetensors"), cases);
}
