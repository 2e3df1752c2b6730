/* test_mistakes_null.c - calls without a tape, a trainer, a file or a name: nothing happens, and where there is room
 * for words they say what is missing. */
#include "mistakes.h"

/* Without a tape there is nowhere to leave words; nothing happens. */
START_TEST(no_tape)
{
    ur_net_options o = small();
    ur_var none = {0};
    ck_assert_uint_eq(ur_linear(NULL, "W", 3, none).index, UR_NONE);
    ck_assert_uint_eq(ur_bias(NULL, "b", none).index, UR_NONE);
    ck_assert_uint_eq(ur_affine(NULL, "phi", none, none).index, UR_NONE);
    ck_assert_uint_eq(ur_activate(UR_TANH, none).index, UR_NONE);
    ck_assert_uint_eq(ur_slice(none, 0, 0, 1).index, UR_NONE);
    ck_assert_uint_eq(ur_reshape(none, UR_SHAPE(3)).index, UR_NONE);
    ck_assert_uint_eq(ur_concat(0, NULL, 0).index, UR_NONE);
    ck_assert_uint_eq(ur_concat(2, NULL, 0).index, UR_NONE);
    ck_assert_uint_eq(ur_total(2, NULL).index, UR_NONE);
    ck_assert_uint_eq(ur_recurrent(NULL, none).index, none.index);
    ck_assert(!ur_look(none, NULL));
    ck_assert(ur_random(1, NULL, 2) == ur_random(1, "", 2));
    ck_assert_int_eq(ur_net_outputs(NULL), 0);
    ck_assert_int_eq(ur_net_outputs(&(ur_net_options){.hidden = 3}), 3);
    ck_assert_ptr_null(ur_net_new(NULL, &o, 4, 5));
    ck_assert(!ur_params_copy(NULL, NULL));
    ck_assert(!ur_net_fits(NULL, NULL) && !ur_net_bind(NULL, NULL, 0, 1));
    ck_assert_int_eq(ur_data_rows(NULL) + ur_data_length(NULL, 3), 0);
    ck_assert_int_eq(ur_data_row(NULL, 3), 3);
    ck_assert(!ur_net_score(NULL, NULL, NULL, 0, 1, NULL));
    ck_assert(!ur_net_differentiate(NULL) && !ur_net_track(NULL));
    ck_assert_ptr_null(ur_cell_find(NULL));
}
END_TEST

/* An error keeps its first words: they are forgotten once they were looked at. */
static void ck_assert_told(ur_error *error, const char *words)
{
    ck_assert_str_eq(error->text, words);
    *error = (ur_error){{0}};
}

/* Nor does a trainer that could not be made end the program: what it is asked for fails, or is nothing. */
START_TEST(no_trainer)
{
    ur_score score = {.loss = 1};
    ur_train_options read;
    ur_error error = {{0}};
    const ur_data *data = NULL;
    ck_assert_ptr_null(ur_trainer_new(NULL, data, &(ur_train_options){.rate = 1}));
    ck_assert_int_eq(ur_trainer_epoch(NULL, &score), UR_FAILED);
    ck_assert_double_eq(score.loss, 0);
    ck_assert_ptr_null(ur_trainer_valid(NULL));
    ck_assert_int_eq(ur_trainer_epochs(NULL), 0);
    ck_assert_double_eq(ur_trainer_rate(NULL), 0);
    ck_assert_uint_eq(ur_trainer_bytes(NULL) + ur_trainer_plan_bytes(NULL), 0);
    ck_assert(!ur_trainer_explain(NULL, stdout) && !ur_net_evaluate(NULL, data, &score));
    ck_assert(!ur_trainer_save(NULL, &(ur_model){.epoch = 1}, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no trainer to write");
    ck_assert(!ur_trainer_resume(NULL, NULL, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no trainer to go on with");
    ck_assert_int_eq(ur_train_count(NULL, 5), 5);
    ck_assert_int_eq(ur_train_count(&(ur_train_options){.valid = 1e300}, 5), 5);
    ur_shuffle(5, NULL, 1, 1);
    ur_longest_first(NULL, 3, 3, (int64_t[]){2, 0, 1});
    ck_assert(!ur_train_options_read(NULL, "m.safetensors", &read, &error));
    ck_assert_told(&error, "m.safetensors: a model of unroll was expected, its metadata have no 'optim'");
    ur_trainer_free(NULL);
}
END_TEST

START_TEST(no_files)
{
    char text[UR_ARRAY_TEXT];
    ur_net_options o = {0};
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert_ptr_null(ur_file_create(NULL, NULL, &error));
    ck_assert_told(&error, "the path of a file to write was expected, there is none");
    ck_assert(!ur_arrays_save(set, NULL, NULL) && !ur_arrays_save(NULL, NULL, &error));
    ck_assert_told(&error, "there are no arrays to write");
    ck_assert(!ur_model_save(NULL, NULL, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no network to write");
    ck_assert(!ur_net_from_arrays(NULL, set, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no network to write these parameters to");
    ck_assert(!ur_model_read(set, "m.safetensors", NULL, NULL, &error));
    ck_assert_told(&error, "m.safetensors: room for the options and the ur_model was expected, there is none");
    ck_assert(!ur_sizes_from_arrays(set, "m.safetensors", &o, &error));
    ck_assert_told(&error, "m.safetensors: a network's options with its cell were expected, there are none");
    ck_assert_str_eq(ur_array_shape(NULL, text), "[]");
    ck_assert_ptr_null(ur_task_data(NULL, NULL, NULL, &error));
    ck_assert(!ur_task_path(NULL, "BTXSE", NULL, NULL, &error) && !ur_task_find(NULL) && !ur_optim_find(NULL));
    ck_assert_uint_eq(ur_task_symbols(NULL, NULL, 0, text, sizeof text), 0);
    ur_arrays_free(set);
    ur_data_free(NULL);
}
END_TEST

/* A set's arrays and metadata: no names, no numbers, no such type. */
START_TEST(no_names)
{
    const int64_t size[] = {2, 3};
    double numbers[6] = {0};
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    ur_array *array = ur_arrays_add(set, "a", UR_ARRAY_F32, 2, size, &error);
    ck_assert_ptr_nonnull(array);
    ck_assert_ptr_null(ur_arrays_add(set, NULL, UR_ARRAY_F32, 2, size, &error));
    ck_assert_told(&error, "the name of an array was expected, there is none");
    ck_assert_ptr_null(ur_arrays_add(set, "x", UR_ARRAY_F32, 2, NULL, &error));
    ck_assert_told(&error, "\"x\" has no sizes, expected 2");
    ck_assert_ptr_null(ur_arrays_add(set, "x", (ur_array_type)99, 2, size, &error));
    ck_assert_told(&error, "\"x\" has the type 99, expected one of ur_array_type");
    ck_assert_ptr_null(ur_arrays_add(set, "x", (ur_array_type)-1, 2, size, &error));
    ck_assert_told(&error, "\"x\" has the type -1, expected one of ur_array_type");
    ck_assert_str_eq(ur_array_type_name((ur_array_type)99), "?");
    ck_assert(!ur_arrays_set_text(set, NULL, "x", &error));
    ck_assert_told(&error, "metadata are a key and a text, there is no key");
    ck_assert(!ur_arrays_set_text(set, "k", NULL, &error));
    ck_assert_told(&error, "metadata are a key and a text, there is no text");
    ck_assert(ur_arrays_set_text(set, "k", "v", &error) && !ur_arrays_text(set, NULL) && !ur_arrays_find(set, NULL));
    ck_assert(!ur_array_get(array, NULL, &error));
    ck_assert_told(&error, "there is no room for the numbers of an array");
    ck_assert(!ur_array_set(array, NULL, &error));
    ck_assert_told(&error, "there are no numbers to set an array to");
    ck_assert(!ur_array_get(NULL, numbers, &error));
    ck_assert_told(&error, "there is no array to read");
    ck_assert_ptr_null(ur_data_to_arrays(&(ur_data){.n = 1, .steps = 1, .inputs = 1}, UR_F32, NULL, &error));
    ck_assert_told(&error, "there is no data to write");
    ck_assert_ptr_null(ur_arrays_load(NULL, NULL, &error));
    ck_assert_told(&error, "the path of a file to read was expected, there is none");
    ck_assert(!ur_params_to_arrays(NULL, set, &error));
    ck_assert_told(&error, "there is no tape with parameters to write");
    ck_assert(!ur_params_from_arrays(NULL, set, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no tape to write these parameters to");
    ur_arrays_free(set);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("mistakes null");
    tcase_add_test(cases, no_tape);
    tcase_add_test(cases, no_trainer);
    tcase_add_test(cases, no_files);
    tcase_add_test(cases, no_names);
    return run_cases(suite_create("mistakes null"), cases);
}
