/* test_models.c - models in files: each comes back as it was saved, to the bit, and what is wrong with parameters or
 * metadata is named. The files themselves are test_safetensors.c's. */
#include <unistd.h>

#include "net_by_hand.h"
#include "temporary.h"

/* Not `weighted` and `start`: they belong to the data and to the run, not to the model. */
static void assert_same_options(const ur_net_options *a, const ur_net_options *b)
{
    ck_assert_ptr_eq(a->cell, b->cell);
    ck_assert_int_eq(a->inputs, b->inputs);
    ck_assert_int_eq(a->hidden, b->hidden);
    ck_assert_int_eq(a->outputs, b->outputs);
    ck_assert_int_eq((int)a->hidden_activation, (int)b->hidden_activation);
    ck_assert_int_eq((int)a->out, (int)b->out);
    ck_assert_int_eq((int)a->loss, (int)b->loss);
    ck_assert_int_eq((int)a->reduction, (int)b->reduction);
}

static void check_round_trip(ur_dtype dtype, const ur_net_options *options, ur_model model)
{
    const char *path = temporary_path();
    ur_error error = {{0}};
    ur_net *net = new_net(dtype, options, 2, 1);
    size_t count, again;
    ck_assert(ur_params_init(net->tape, UR_GLOROT_NORMAL, 3));
    void *theta = ur_params(net->tape, &count);
    for (size_t i = 0; i < count; i++) { /* vectors too, and what decimal digits would not keep */
        if (dtype == UR_F64)
            ((double *)theta)[i] += i == 1 ? 5e-324 : i == 2 ? -1e300 : 0.1 * (double)i;
        else
            ((float *)theta)[i] += i == 1 ? 1e-45f : i == 2 ? -1e38f : 0.1f * (float)i;
    }
    ck_assert_msg(ur_model_save(net, &model, path, &error), "%s", error.text);

    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    ck_assert_msg(set != NULL, "%s", error.text);
    ur_net_options found;
    ur_model read;
    ck_assert_msg(ur_model_read(set, path, &found, &read, &error), "%s", error.text);
    assert_same_options(&found, &net->options);
    ck_assert_int_eq(read.epoch, model.epoch);
    ck_assert_uint_eq(read.seed, model.seed);
    if (model.task)
        ck_assert_str_eq(read.task, model.task);
    else
        ck_assert_ptr_null(read.task);
    ur_net *loaded = new_net(dtype, &found, 2, 1);
    ck_assert_msg(ur_params_from_arrays(loaded->tape, set, path, &error), "%s", error.text);
    const void *values = ur_params(loaded->tape, &again);
    ck_assert_uint_eq(again, count);
    ck_assert_mem_eq(values, theta, count * ur_dtype_bytes(dtype));
    ur_arrays_free(set);
    ur_tape_free(loaded->tape);
    ur_tape_free(net->tape);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(models_come_back)
{
    static const ur_activation outs[] = {UR_NO_ACTIVATION, UR_IDENTITY, UR_SIGMOID, UR_TANH, UR_SOFTMAX};
    static const ur_loss losses[] = {UR_MSE, UR_NO_LOSS, UR_BCE, UR_MSE, UR_CE};
    for (int k = 0; k < 10; k++) {
        ur_net_options o = *options_of(outs[k % 5], losses[k % 5], (ur_reduction)(k % 3), false);
        o.outputs = o.out ? P : 0;
        o.hidden_activation = k & 1 ? UR_RELU : UR_TANH;
        o.cell = ur_cell_find(k & 2 ? "mlp" : "rnn");
        check_round_trip(k < 5 ? UR_F32 : UR_F64, &o,
                         (ur_model){.task = k & 1 ? "reber" : NULL, .epoch = 1000 + k, .seed = (uint64_t)k});
    }
}
END_TEST

START_TEST(models_keep_large_numbers)
{
    check_round_trip(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_MEAN_ALL, false),
                     (ur_model){.epoch = INT64_C(1) << 53, .seed = UINT64_MAX});
}
END_TEST

/* The arrays of an RNN with d=2, m=3, p=3, except `without`, which becomes `instead`. */
static ur_arrays *model_arrays(const char *without, const char *instead, int64_t rows, int64_t columns)
{
    static const struct {
        const char *name;
        int rank;
        int64_t size[2];
    } parts[] = {{"Wi", 2, {D, M}}, {"Wh", 2, {M, M}}, {"bh", 1, {M}}, {"Wo", 2, {M, P}}, {"bo", 1, {P}}};
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert_ptr_nonnull(set);
    for (int k = 0; k < 5; k++)
        if (!without || strcmp(parts[k].name, without) != 0) {
            ur_array *array = ur_arrays_add(set, parts[k].name, UR_ARRAY_F64, parts[k].rank, parts[k].size, NULL);
            ck_assert_ptr_nonnull(array);
            for (size_t i = 0; i < array->count; i++)
                ((double *)array->data)[i] = (double)(10 * k) + (double)i;
        }
    if (instead)
        ck_assert_ptr_nonnull(
            ur_arrays_add(set, instead, UR_ARRAY_F64, columns ? 2 : 1, (const int64_t[]){rows, columns}, NULL));
    return set;
}

START_TEST(wrong_parameters_are_named)
{
    static const struct {
        const char *without, *instead;
        int64_t rows, columns;
        const char *words[2];
    } wrong[] = {
        {"Wh", NULL, 0, 0, {"m.safetensors: ", "Wh[3,3] is missing"}},
        {"bo", NULL, 0, 0, {"m.safetensors: ", "bo[3] is missing"}},
        {NULL, "Wphi", 2, 3, {"m.safetensors: ", "Wphi"}},
        {"Wi", "Wi", 3, 2, {"Wi[3,2]", "Wi[2,3]"}},
        {"bh", "bh", 4, 0, {"bh[4]", "bh[3]"}},
        {"bh", "bh", 3, 1, {"bh[3,1]", "bh[3]"}},
        {"Wo", "wo", 3, 3, {"m.safetensors: ", "Wo[3,3] is missing"}},
    };
    ur_error error = {{0}};
    ur_net *net = new_net(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false), T, 1);
    ur_arrays *right = model_arrays(NULL, NULL, 0, 0);
    ck_assert_msg(ur_params_from_arrays(net->tape, right, "m.safetensors", &error), "%s", error.text);
    ck_assert(((float *)ur_leaf(ur_find(net->tape, "Wo", 0)))[8] == 38);
    size_t bytes = ur_tape_bytes(net->tape);
    for (int k = 0; k < 1000; k++) /* takes no memory of the tape */
        ck_assert(ur_net_from_arrays(net, right, "m.safetensors", &error));
    ck_assert_uint_eq(ur_tape_bytes(net->tape), bytes);
    ur_arrays_free(right);
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ur_arrays *set = model_arrays(wrong[k].without, wrong[k].instead, wrong[k].rows, wrong[k].columns);
        error.text[0] = 0;
        ck_assert(!ur_params_from_arrays(net->tape, set, "m.safetensors", &error));
        for (int i = 0; i < 2; i++)
            ck_assert_msg(strstr(error.text, wrong[k].words[i]) != NULL, "'%s' was expected in '%s'", wrong[k].words[i],
                          error.text);
        ck_assert(!ur_params_from_arrays(net->tape, set, "m.safetensors", NULL));
        ck_assert_ptr_null(ur_tape_error(net->tape));
        ur_arrays_free(set);
    }
    ur_tape_free(net->tape);
}
END_TEST

/* The first parameter that would tell the hidden units is named where none does. */
START_TEST(sizes_from_parameters)
{
    ur_error error = {{0}};
    ur_net_options o = *options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    o.hidden = o.outputs = 0;
    ur_arrays *set = model_arrays(NULL, NULL, 0, 0), *flat = ur_arrays_new(NULL);
    ck_assert_msg(ur_sizes_from_arrays(set, "m.safetensors", &o, &error), "%s", error.text);
    ck_assert(o.hidden == M && o.outputs == P && o.inputs == D);
    o.out = UR_NO_ACTIVATION; /* Wo would tell */
    o.layers = 2;
    ck_assert(!ur_sizes_from_arrays(set, "m.safetensors", &o, &error));
    ck_assert_str_eq(error.text, "m.safetensors: the parameter layer0.Wi of the cell rnn is missing");
    error.text[0] = 0;
    o.layers = 1;
    ck_assert_ptr_nonnull(ur_arrays_add(flat, "Wi", UR_ARRAY_F64, 1, (const int64_t[]){6}, NULL));
    ck_assert(!ur_sizes_from_arrays(flat, "m.safetensors", &o, &error));
    ck_assert_str_eq(error.text, "m.safetensors: Wi[6] was found, Wi of the cell rnn has 2 dimensions");
    ur_arrays_free(set);
    ur_arrays_free(flat);
}
END_TEST

START_TEST(wrong_metadata_are_named)
{
    static const struct {
        const char *key, *value, *words;
    } wrong[] = {
        {"cell", "transformer", "transformer"},
        {"d", "0", "'d'"},
        {"m", "three", "'three'"},
        {"p", "-1", "'p'"},
        {"out", "step", "'step'"},
        {"loss", "", "'loss'"},
        {"reduce", "max", "'max'"},
        {"epoch", "1x", "'1x'"},
        {"m", "99999999999999999999", "'m'"},
        {"d", "1000000", "'d' in the metadata is 1000000, the parameters have 2"},
        {"m", "1000000", "'m' in the metadata is 1000000, the parameters have 3"},
        {"p", "1000000", "'p' in the metadata is 1000000, the parameters have 3"},
        {"layers", "1000000", "'layers' in the metadata is 1000000, the file has 5 arrays of sizes up to 3"},
        {"heads", "1000000", "'heads' in the metadata is 1000000, the file has 5 arrays of sizes up to 3"},
        {"format", "unroll model 99", "'unroll model 99', 'unroll model 1' was expected"},
        {"dropout", "-1", "'dropout' in the metadata is '-1', a number from 0 to below 1 was expected"},
        {"recurrent_dropout", "1", "'recurrent_dropout' in the metadata is '1', a number from 0 to below 1"},
        {"cell", "brnn", "the parameter Wih of the cell brnn is missing"},
        {"cell", "lstm", "the parameter Wkappa of the cell lstm is missing"},
        {"layers", "2", "the parameter layer0.Wi of the cell rnn is missing"},
    };
    ur_error error = {{0}};
    ur_net *net = new_net(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false), T, 1);
    ur_net_options options;
    ur_model model = {.epoch = 3};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        const char *path = temporary_path();
        ck_assert_msg(ur_model_save(net, &model, path, &error), "%s", error.text);
        ur_arrays *set = ur_arrays_load(path, NULL, &error);
        ck_assert_ptr_nonnull(set);
        ck_assert(ur_arrays_set_text(set, wrong[k].key, wrong[k].value, &error));
        ck_assert(!ur_model_read(set, "m.safetensors", &options, &model, &error));
        ck_assert_msg(strstr(error.text, "m.safetensors: ") && strstr(error.text, wrong[k].words),
                      "'%s' was expected in '%s'", wrong[k].words, error.text);
        error.text[0] = 0;
        ur_arrays_free(set);
        ck_assert_int_eq(unlink(path), 0);
    }
    ur_arrays *none = ur_arrays_new(NULL);
    ck_assert(!ur_model_read(none, "m.safetensors", &options, &model, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "a model of unroll was expected"));
    ur_arrays_free(none);
    ur_tape_free(net->tape);
}
END_TEST

/* Options that do not go together are the file's too. */
START_TEST(models_that_cannot_be_recorded)
{
    static const struct {
        const char *cell, *key, *value, *words;
    } wrong[] = {
        {"rnn", "batch_norm", "yes", "m.safetensors: rnn: a layer's output is normalised over its units or"},
        {"brnn", "bidirectional", "yes", "m.safetensors: brnn: runs in both directions itself"},
        {"mlp", "recurrent_dropout", "0.5", "m.safetensors: mlp: recurrent dropout was asked for"},
        {"slstm", "heads", "2",
         "m.safetensors: 'heads' in the metadata is 2, which does not divide the 5 hidden units"},
    };
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        const char *path = temporary_path();
        ur_error error = {{0}};
        ur_model model = {.epoch = 3};
        ur_net_options options = *options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
        options.cell = ur_cell_find(wrong[k].cell);
        options.hidden = 5;
        options.layer_norm = true;
        ur_net *net = new_net(UR_F32, &options, T, 1);
        ck_assert_msg(ur_model_save(net, &model, path, &error), "%s", error.text);
        ur_arrays *set = ur_arrays_load(path, NULL, &error);
        ck_assert(ur_arrays_set_text(set, wrong[k].key, wrong[k].value, &error));
        ck_assert(!ur_model_read(set, "m.safetensors", &options, &model, &error));
        ck_assert_msg(strstr(error.text, wrong[k].words), "'%s' was expected in '%s'", wrong[k].words, error.text);
        ur_arrays_free(set);
        ur_tape_free(net->tape);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("models");
    tcase_add_test(cases, models_come_back);
    tcase_add_test(cases, models_keep_large_numbers);
    tcase_add_test(cases, wrong_parameters_are_named);
    tcase_add_test(cases, sizes_from_parameters);
    tcase_add_test(cases, wrong_metadata_are_named);
    tcase_add_test(cases, models_that_cannot_be_recorded);
    return run_cases(suite_create("models"), cases);
}
