/* test_train_batches.c - the order of the sequences: shuffling is a fair permutation; batches of shuffled or ordered
 * data, and the part for validation, against gradient descent on copies of their sequences; dropout while training. */
#include "training.h"

/* ---- shuffling */

START_TEST(shuffling_is_a_permutation)
{
    enum { LARGE = 1000 };
    static int64_t order[LARGE], again[LARGE];
    for (int64_t n = 0; n <= LARGE; n += n < 9 ? 1 : 991) {
        bool seen[LARGE] = {false};
        ur_shuffle(n, order, 3, 4);
        ur_shuffle(n, again, 3, 4);
        for (int64_t i = 0; i < n; i++) {
            ck_assert(order[i] >= 0 && order[i] < n && !seen[order[i]]);
            seen[order[i]] = true;
        }
        ck_assert(n == 0 || memcmp(order, again, (size_t)n * sizeof *order) == 0);
    }
    ur_shuffle(LARGE, again, 3, 5);
    ck_assert_mem_ne(order, again, sizeof order);
    ur_shuffle(LARGE, again, 4, 4);
    ck_assert_mem_ne(order, again, sizeof order);
}
END_TEST

/* Each of the 24 orders of four comes as often as another. */
START_TEST(shuffling_is_fair)
{
    enum { DRAWS = 24000 };
    int count[256] = {0}, kinds = 0;
    for (int e = 1; e <= DRAWS; e++) {
        int64_t order[4];
        ur_shuffle(4, order, 17, e);
        count[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        kinds += count[i] > 0;
        ck_assert(count[i] == 0 || fabs((double)count[i] - 1000) < 5 * sqrt(1000));
    }
    ck_assert_int_eq(kinds, 24);
}
END_TEST

/* ---- batches */

/* Copies sequences order[first] ... to a data set of their own. */
static void copy_sequences(const sample *from, const int64_t *order, int64_t first, int64_t count, sample *to)
{
    fill_sample(to);
    for (int64_t k = 0; k < count; k++) {
        memcpy(to->x[k], from->x[order[first + k]], sizeof *to->x);
        memcpy(to->y[k], from->y[order[first + k]], sizeof *to->y);
        to->lengths[k] = from->lengths[order[first + k]];
    }
    to->data.n = count;
}

static void descend_on(const sample *part, double rate, double *theta, size_t n)
{
    double g[MOST] = {0};
    problem p = network_problem(&part->data, 0);
    gradient_of(&p, theta, g);
    for (size_t i = 0; i < n; i++)
        theta[i] -= rate * g[i];
    close_problem(&p);
}

/* Batches of permuted sequences, the last of them smaller, against copies of these sequences; the last `held` ones are
 * for validation. */
static void check_batches(int64_t batch, double valid, int64_t held)
{
    sample s, part;
    fill_sample(&s);
    ur_net *net = new_net(batch);
    size_t n;
    double expected[MOST] = {0}, *theta = theta_of(net, &n);
    memcpy(expected, theta, n * sizeof *theta);
    ur_train_options options = {.rate = 0.05, .shuffle = true, .seed = 8, .valid = valid};
    ck_assert_int_eq(ur_train_count(&options, N), N - held);
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    ck_assert_ptr_null(ur_trainer_valid(trainer));
    for (int64_t e = 1; e <= 4; e++) {
        int64_t order[N], trained = N - held;
        ur_shuffle(trained, order, 8, e);
        train(trainer, 1);
        for (int64_t first = 0; first < trained; first += batch) {
            copy_sequences(&s, order, first, trained - first < batch ? trained - first : batch, &part);
            descend_on(&part, 0.05, expected, n);
        }
        assert_near("theta", n, theta, expected, 1e-12);
        if (!held)
            continue;
        ur_score score = {0};
        copy_sequences(&s, (const int64_t[]){0, 1, 2, 3, 4, 5, 6}, trained, held, &part);
        ck_assert(ur_net_evaluate(net, &part.data, &score));
        ck_assert_double_eq_tol(ur_trainer_valid(trainer)->loss, score.loss, 1e-12);
        ck_assert_int_eq(ur_trainer_valid(trainer)->positions, score.positions);
        ck_assert_int_eq(ur_trainer_valid(trainer)->wrong_positions, score.wrong_positions);
        ck_assert_int_eq(ur_trainer_valid(trainer)->sequences, held);
    }
    close_training(trainer, net);
}

START_TEST(batches_of_shuffled_sequences)
{
    for (int64_t batch = 1; batch <= N + 1; batch++) {
        check_batches(batch, 0, 0);
        check_batches(batch, 0.29, 2);
        check_batches(batch, 0.5, 3);
    }
}
END_TEST

/* Data that is taken in an order is as good as a copy in this order. */
START_TEST(ordered_data)
{
    static const int64_t order[N] = {4, 2, 6, 0, 1, 5, 3};
    sample s, copy;
    fill_sample(&s);
    copy_sequences(&s, order, 0, N, &copy);
    s.data.order = order;
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        ur_train_options options = {.rate = 0.1, .shuffle = shuffle, .valid = 0.3};
        ur_net *one = new_net(2), *other = new_net(2);
        ur_trainer *a = new_trainer(one, &s.data, &options), *b = new_trainer(other, &copy.data, &options);
        size_t n;
        train(a, 3);
        train(b, 3);
        ck_assert_mem_eq(theta_of(one, &n), theta_of(other, &n), n * sizeof(double));
        ck_assert(ur_trainer_valid(a)->loss == ur_trainer_valid(b)->loss);
        close_training(a, one);
        close_training(b, other);
    }
}
END_TEST

/* Dropout is there in training, other in each step, and not after it. */
START_TEST(dropout_while_training)
{
    sample s;
    fill_sample(&s);
    ur_net_options shape = small_options();
    shape.recurrent_dropout = 0.5;
    ur_net *net = net_of(UR_F64, shape, N), *without = new_net(N);
    ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.rate = 0});
    ur_score first, second, evaluated = {0}, plain = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &first), UR_TRAINED);
    ck_assert(*(const double *)ur_leaf(net->training) == -1);
    ck_assert_int_eq(ur_trainer_epoch(trainer, &second), UR_TRAINED);
    ck_assert(ur_net_evaluate(net, &s.data, &evaluated) && ur_net_evaluate(without, &s.data, &plain));
    ck_assert(first.loss != second.loss && first.loss != evaluated.loss && second.loss != evaluated.loss);
    ck_assert_double_eq_tol(evaluated.loss, plain.loss, 1e-12);
    close_training(trainer, net);
    ur_tape_free(without->tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("train batches");
    tcase_add_test(cases, shuffling_is_a_permutation);
    tcase_add_test(cases, shuffling_is_fair);
    tcase_add_test(cases, batches_of_shuffled_sequences);
    tcase_add_test(cases, ordered_data);
    tcase_add_test(cases, dropout_while_training);
    return run_cases(suite_create("train batches"), cases);
}
