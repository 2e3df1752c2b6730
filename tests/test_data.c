/* test_data.c - data sets from arrays and files: each kind, what is refused and with which words, back and forth;
 * and every allocation fails once. */
#include <math.h>

#include "file_bytes.h"
#include "heap.h"

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

    set = set_with_x(); /* no classes: integers for every output */
    add(set, "y", UR_ARRAY_I32, 3, (const int64_t[]){2, 3, 2}, twelve);
    data = data_of(set, 0);
    ck_assert(data->outputs == 2 && !data->y_classes && !data->y_last && data->y[11] == twelve[11]);
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
    check_no_data(set, 0, "y of integers is [2,4], expected classes [2,3] or [2], or [2,3,p], as x has them");

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

/* A view of some rows in another order is saved as networks see it. */
START_TEST(rows_in_their_order)
{
    ur_error error = {{0}};
    ur_arrays *set = set_with_x();
    add(set, "y", UR_ARRAY_I64, 1, n_t, (const double[]){4, 7});
    add(set, "lengths", UR_ARRAY_I64, 1, n_t, (const double[]){3, 1});
    add(set, "weight", UR_ARRAY_F64, 2, n_t, twelve);
    ur_data *data = data_of(set, 0), view = *data;
    for (int one = 0; one < 2; one++) { /* row 1 and row 0; row 1 alone */
        view.order = (const int64_t[]){1, 0};
        view.n = 2 - one;
        view.rows = 2;
        ck_assert_msg(ur_data_save(&view, UR_F64, path, &error), "%s", error.text);
        ur_data *back = ur_data_load(path, 0, NULL, &error);
        ck_assert_msg(back != NULL, "%s", error.text);
        ck_assert_int_eq(back->n, view.n);
        for (int64_t k = 0; k < view.n; k++) {
            int64_t n = view.order[k];
            ck_assert_mem_eq(back->x + k * 6, data->x + n * 6, 6 * sizeof(double));
            ck_assert_mem_eq(back->weight + k * 3, data->weight + n * 3, 3 * sizeof(double));
            ck_assert_double_eq(back->y[k], data->y[n]);
            ck_assert_int_eq(back->lengths[k], data->lengths[n]);
        }
        ur_data_free(back);
    }
    view.order = (const int64_t[]){2};
    ck_assert(!ur_data_save(&view, UR_F64, path, &error));
    ck_assert_str_eq(error.text, "order[0] is 2, expected the number of a row from 0 to 1");
    error.text[0] = 0;
    view.order = (const int64_t[]){1};
    data->y[1] = 0.5;
    ck_assert(!ur_data_save(&view, UR_F64, path, &error));
    ck_assert_str_eq(error.text, "y[0] is set to 0.5, expected an integer of type I64");
    ur_data_free(data);
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

int main(void)
{
    TCase *cases = cases_in_folder("data");
    tcase_add_test(cases, no_memory);
    tcase_add_test(cases, data_of_each_kind);
    tcase_add_test(cases, data_with_classes);
    tcase_add_test(cases, data_refused);
    tcase_add_test(cases, classes_refused);
    tcase_add_test(cases, data_saved_and_loaded);
    tcase_add_test(cases, rows_in_their_order);
    tcase_add_test(cases, data_errors_name_the_file);
    tcase_add_test(cases, new_data);
    return run_cases(suite_create("data"), cases);
}
