/* test_npy.c - .npy files byte by byte against NumPy's format: written, read in each version, malformed, damaged. */
#include "file_bytes.h"

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
    error[2].text[0] = 0;
    ck_assert(!ur_npy_save(NULL, NULL, &error[2]));
    ck_assert_str_eq(error[2].text, "there is no array to write");
}
END_TEST

START_TEST(types_that_npy_has_not)
{
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    const ur_array *array = ur_arrays_add(set, "h", UR_ARRAY_F16, 1, (const int64_t[]){1}, NULL);
    ck_assert(!ur_npy_save(array, path, &error));
    check_error(&error, "array h has dtype F16, expected F32, F64, I32 or I64");
    error.text[0] = 0;
    ck_assert(!ur_npy_save(array, NULL, &error));
    ck_assert_str_eq(error.text, "array h has dtype F16, expected F32, F64, I32 or I64");
    ur_arrays_free(set);
}
END_TEST

int main(void)
{
    TCase *cases = cases_in_folder("npy");
    tcase_add_test(cases, npy_written);
    tcase_add_test(cases, npy_shapes);
    tcase_add_test(cases, npy_read);
    tcase_add_loop_test(cases, npy_malformed, 0, (int)(sizeof bad_npy / sizeof *bad_npy));
    tcase_add_test(cases, npy_damaged);
    tcase_add_test(cases, types_that_npy_has_not);
    tcase_add_test(cases, no_array);
    return run_cases(suite_create("npy"), cases);
}
