/* test_train_memory.c - trainers of one network, one after another: what each takes it gives back, and when there is no
 * memory a line says so. */
#include "heap.h"
#include "training.h"

static ur_tape *tape_on(heap *h)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = h}});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

/* One that only descends, one with all that an order and errors take, one with validation and early stopping. */
enum { TRAININGS = 3 };

static ur_train_options training(int i)
{
    ur_train_options options = {.optim = ur_optim_find(i == 1 ? "momentum" : "adam"), .rate = 0.1};
    options.shuffle = options.until_zero_errors = i == 1;
    options.valid = i == 2 ? 0.3 : 0;
    options.patience = i == 2 ? 9 : 0;
    options.freeze = i == 2 ? "Wh" : NULL;
    return options;
}

/* The first trainer records the gradients, and evaluation nothing at all: both leave no byte behind. */
START_TEST(trainers_give_back_what_they_took)
{
    heap h = {0};
    sample s;
    fill_sample(&s);
    ur_train_options options = training(_i);
    ur_net_options shape = small_options();
    shape.batch_norm = true;
    ur_tape *tape = tape_on(&h);
    ur_net *net = ur_net_new(tape, &shape, T, 2);
    assert_good(tape, "network");
    const ur_var *gradient = NULL;
    long long bytes = 0;
    size_t tape_bytes = 0;
    for (int round = 0; round < 40; round++) {
        ur_score score = {0};
        ur_trainer *trainer = new_trainer(net, &s.data, &options);
        train(trainer, 1);
        ck_assert_uint_gt(ur_trainer_bytes(trainer), ur_trainer_plan_bytes(trainer));
        ur_trainer_free(trainer);
        ck_assert(ur_net_evaluate(net, &s.data, &score));
        if (round == 0) {
            bytes = h.bytes;
            tape_bytes = ur_tape_bytes(tape);
            gradient = net->gradient;
        }
        ck_assert_ptr_eq(net->gradient, gradient);
        ck_assert_int_eq(h.bytes, bytes);
        ck_assert_uint_eq(ur_tape_bytes(tape), tape_bytes);
    }
    ur_tape_free(tape);
    ck_assert_int_eq(h.bytes, 0);
    ck_assert(!h.lied);
}
END_TEST

/* Two trainers with an epoch each are one with two, running averages included. */
START_TEST(a_second_trainer_goes_on)
{
    sample s;
    fill_sample(&s);
    ur_net_options shape = small_options();
    shape.batch_norm = true;
    const ur_train_options options = {.rate = 0.1};
    ur_net *once = net_of(UR_F64, shape, 3), *twice = net_of(UR_F64, shape, 3);
    ur_trainer *trainer = new_trainer(once, &s.data, &options);
    train(trainer, 2);
    ur_trainer_free(trainer);
    for (int i = 0; i < 2; i++) {
        trainer = new_trainer(twice, &s.data, &options);
        train(trainer, 1);
        ur_trainer_free(trainer);
    }
    size_t n;
    const double *expected = theta_of(once, &n);
    ck_assert_mem_eq(theta_of(twice, &n), expected, n * sizeof *expected);
    for (size_t i = 0; i < once->averages; i++)
        ck_assert_mem_eq(ur_leaf(twice->average[i].leaf), ur_leaf(once->average[i].leaf), M * sizeof(double));
    ur_tape_free(once->tape);
    ur_tape_free(twice->tape);
}
END_TEST

/* Windows record the leaves that hold the whole outputs, which stay on the tape; all else is given back. */
static ur_net *windowed_net(ur_tape *tape)
{
    ur_net_options shape = small_options();
    shape.start = UR_START_GIVEN;
    return ur_net_new(tape, &shape, 2, 3);
}

START_TEST(no_memory)
{
    sample s;
    fill_sample(&s);
    bool good = false;
    const ur_train_options options = {
        .optim = ur_optim_find("adam"), .rate = 0.1, .valid = 0.3, .patience = 9, .stateful = true};
    for (long long fails = 1; !good; fails++) {
        heap h = {0};
        ur_tape *tape = tape_on(&h);
        ur_net *net = windowed_net(tape);
        assert_good(tape, "network");
        h.fails = h.calls + fails;
        h.for_good = true;
        ur_trainer *trainer = ur_trainer_new(net, &s.data, &options);
        good = trainer != NULL;
        ck_assert_msg(good || strstr(ur_tape_error(tape), "no memory"), "allocation %lld", fails);
        ck_assert(!good || fails > 10);
        ur_trainer_free(trainer);
        ur_tape_free(tape);
        ck_assert_int_eq(h.bytes, 0);
        ck_assert(!h.lied);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("train memory");
    tcase_add_loop_test(cases, trainers_give_back_what_they_took, 0, TRAININGS);
    tcase_add_test(cases, a_second_trainer_goes_on);
    tcase_add_test(cases, no_memory);
    return run_cases(suite_create("train memory"), cases);
}
