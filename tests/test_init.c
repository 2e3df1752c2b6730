/* test_init.c - random numbers and the initial values made of them: the numbers are Philox, as published and as
 * coded here; moments and orthogonality against what the rules of the papers promise, within five standard errors; a
 * value depends on its parameter's name alone, which can be one for many. */
#include "training.h"

/* ---- random numbers */

/* Philox4x32-10 as published: ten rounds of two products, the key raised by Weyl's constants between them. */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t L0 = counter[0], R0 = counter[1], L1 = counter[2], R1 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p0 = (uint64_t)L0 * 0xD2511F53u, p1 = (uint64_t)L1 * 0xCD9E8D57u;
        L0 = (uint32_t)(p1 >> 32) ^ R0 ^ k0;
        R0 = (uint32_t)p1;
        L1 = (uint32_t)(p0 >> 32) ^ R1 ^ k1;
        R1 = (uint32_t)p0;
    }
    out[0] = L0;
    out[1] = R0;
    out[2] = L1;
    out[3] = R1;
}

/* The upper 52 bits of two words and a half, in (0,1). */
static double unit(uint32_t high, uint32_t low)
{
    return ldexp((double)((uint64_t)high << 20 | low >> 12) + 0.5, -52);
}

START_TEST(random_numbers_are_philox)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } published[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
         {UINT32_MAX, UINT32_MAX},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t out[4];
    for (int i = 0; i < 3; i++) {
        philox(published[i].counter, published[i].key, out);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(out[k], published[i].out[k]);
    }
    /* FNV-1a of this name is 0, so that all four words of the counter and both of the key are. */
    ck_assert_double_eq(ur_random(0, "77kepQFQ8Kl", 0), unit(0x6627e8d5, 0xe169c58d));

    static const uint64_t seeds[] = {0, 1, 42, 0x123456789abcdef0, UINT64_MAX};
    static const uint64_t counters[] = {0, 1, 77, (uint64_t)1 << 32, 0xfedcba9876543210};
    static const char *const streams[] = {"", "W", "layer0.back.Wh"};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 3; k++) {
                uint64_t s = seeds[i], c = counters[j], h = 0xcbf29ce484222325;
                for (const char *p = streams[k]; *p; p++)
                    h = (h ^ (unsigned char)*p) * 0x100000001b3;
                philox((uint32_t[]){(uint32_t)c, (uint32_t)(c >> 32), (uint32_t)h, (uint32_t)(h >> 32)},
                       (uint32_t[]){(uint32_t)s, (uint32_t)(s >> 32)}, out);
                ck_assert_double_eq(ur_random(s, streams[k], c), unit(out[0], out[1]));
            }
}
END_TEST

START_TEST(random_numbers_are_uniform)
{
    enum { DRAWS = 200000, BINS = 64, MOMENTS = 4 };
    double moment[MOMENTS + 1] = {0}, neighbours = 0, last = 0.5;
    int bin[BINS] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        double u = ur_random(5, "uniform", i), power = 1;
        ck_assert(u > 0 && u < 1);
        for (int k = 1; k <= MOMENTS; k++)
            moment[k] += (power *= u);
        neighbours += (u - 0.5) * (last - 0.5);
        bin[(int)(u * BINS)]++;
        last = u;
    }
    for (int k = 1; k <= MOMENTS; k++) { /* E u^k = 1/(k+1); five standard errors */
        double mean = 1.0 / (k + 1), variance = 1.0 / (2 * k + 1) - mean * mean;
        ck_assert_double_eq_tol(moment[k] / DRAWS, mean, 5 * sqrt(variance / DRAWS));
    }
    ck_assert_double_eq_tol(neighbours / DRAWS, 0, 5 / 12.0 / sqrt(DRAWS));
    double chi = 0;
    for (int i = 0; i < BINS; i++)
        chi +=
            ((double)bin[i] - (double)DRAWS / BINS) * ((double)bin[i] - (double)DRAWS / BINS) / ((double)DRAWS / BINS);
    ck_assert_double_eq_tol(chi, BINS - 1, 5 * sqrt(2.0 * (BINS - 1)));
}
END_TEST

/* ---- numbers of each parameter */

static void check_moments(ur_init rule, int64_t rows, int64_t columns)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(rows, columns));
    ck_assert(ur_params_init(tape, rule, 5));
    const double *w = (const double *)ur_leaf(W);
    double n = (double)(rows * columns), average = (double)(rows + columns) / 2, variance = 1 / average;
    double bound = sqrt(3 / average), largest = 0, m1 = 0, m2 = 0, m4 = 0, next = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        largest = fmax(largest, fabs(w[i]));
        m1 += w[i] / n;
        m2 += w[i] * w[i] / n;
        m4 += w[i] * w[i] * w[i] * w[i] / n;
        next += i ? w[i] * w[i - 1] / n : 0;
    }
    double kurtosis = rule == UR_GLOROT_UNIFORM ? 1.8 : 3; /* E w^4 / variance^2; five standard errors */
    double eighth = rule == UR_GLOROT_UNIFORM ? 9 : 105;   /* E w^8 / variance^4 */
    ck_assert_double_eq_tol(m1, 0, 5 * sqrt(variance / n));
    ck_assert_double_eq_tol(m2 / variance, 1, 5 * sqrt((kurtosis - 1) / n));
    ck_assert_double_eq_tol(m4 / variance / variance, kurtosis, 5 * sqrt((eighth - kurtosis * kurtosis) / n));
    ck_assert_double_eq_tol(next / variance, 0, 5 / sqrt(n));
    if (rule == UR_GLOROT_UNIFORM)
        ck_assert(largest < bound && largest > bound * (1 - 20 / n));
    else
        ck_assert(largest > 1.5 * bound);
    ur_tape_free(tape);
}

START_TEST(glorots_moments)
{
    check_moments(UR_GLOROT_UNIFORM, 150, 250);
    check_moments(UR_GLOROT_UNIFORM, 400, 30);
    check_moments(UR_GLOROT_NORMAL, 150, 250);
    check_moments(UR_GLOROT_NORMAL, 30, 400);
}
END_TEST

/* A number depends on seed, name and place alone: neither on the order of declaration nor on what else there is. */
START_TEST(initial_values_depend_on_names)
{
    ur_tape *one = new_tape(UR_F64), *other = new_tape(UR_F64), *single = new_tape(UR_F32);
    ur_var a = ur_param(one, "A", UR_SHAPE(3, 4)), b = ur_param(one, "B", UR_SHAPE(3, 4));
    ur_param(other, "C", UR_SHAPE(7, 7));
    ur_var v = ur_param(other, "v", UR_SHAPE(12)), b2 = ur_param(other, "B", UR_SHAPE(3, 4));
    ur_var a2 = ur_param(other, "A", UR_SHAPE(3, 4)), a3 = ur_param(single, "A", UR_SHAPE(3, 4));
    for (int i = 0; i < 12; i++)
        ((double *)ur_leaf(v))[i] = 1 + i;
    ck_assert(ur_params_init(one, UR_GLOROT_UNIFORM, 8) && ur_params_init(other, UR_GLOROT_UNIFORM, 8) &&
              ur_params_init(single, UR_GLOROT_UNIFORM, 8));
    ck_assert_mem_eq(ur_leaf(a), ur_leaf(a2), 12 * sizeof(double));
    ck_assert_mem_eq(ur_leaf(b), ur_leaf(b2), 12 * sizeof(double));
    int equal = 0;
    for (int i = 0; i < 12; i++) {
        ck_assert(((double *)ur_leaf(v))[i] == 0);
        ck_assert(((float *)ur_leaf(a3))[i] == (float)((double *)ur_leaf(a))[i]);
        equal += ((double *)ur_leaf(a))[i] == ((double *)ur_leaf(b))[i];
    }
    ck_assert_int_eq(equal, 0);
    ck_assert(ur_params_init(other, UR_GLOROT_UNIFORM, 9));
    for (int i = 0; i < 12; i++)
        equal += ((double *)ur_leaf(a))[i] == ((double *)ur_leaf(a2))[i];
    ck_assert_int_eq(equal, 0);
    ur_tape_free(one);
    ur_tape_free(other);
    ur_tape_free(single);
}
END_TEST

/* ---- rules */

/* Variance, and bound of the uniform ones, against the papers' numbers; five standard errors. */
static void check_spread(ur_init rule, int64_t in, int64_t out, double variance, bool uniform)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(in, out)), b = ur_param(tape, "b", UR_SHAPE(out));
    ck_assert(ur_write(b, (size_t)out, (const double *)ur_leaf(W)) && ur_params_init(tape, rule, 4));
    const double *w = (const double *)ur_leaf(W);
    double n = (double)(in * out), mean = 0, square = 0, bound = sqrt(3 * variance);
    for (int64_t i = 0; i < in * out; i++) {
        mean += w[i] / n;
        square += w[i] * w[i] / n;
    }
    double most = largest((size_t)(in * out), w);
    ck_assert_double_eq_tol(mean, 0, 5 * sqrt(variance / n));
    ck_assert_double_eq_tol(square / variance, 1, 5 * sqrt((uniform ? 0.8 : 2) / n));
    ck_assert(uniform ? most < bound && most > bound * (1 - 20 / n) : most > 1.5 * bound);
    ck_assert(largest((size_t)out, (const double *)ur_leaf(b)) == 0);
    ur_tape_free(tape);
}

START_TEST(initial_variances)
{
    check_spread(UR_HE_UNIFORM, 50, 300, 2.0 / 50, true);
    check_spread(UR_HE_NORMAL, 50, 300, 2.0 / 50, false);
    check_spread(UR_LECUN_UNIFORM, 50, 300, 1.0 / 50, true);
    check_spread(UR_LECUN_NORMAL, 50, 300, 1.0 / 50, false);
    check_spread(UR_GLOROT_UNIFORM, 50, 300, 2.0 / 350, true);
    check_spread(UR_GLOROT_NORMAL, 50, 300, 2.0 / 350, false);
    check_spread(UR_GLOROT, 300, 50, 2.0 / 350, true);
}
END_TEST

/* Q'Q = 1 where there are not more columns than rows, QQ' = 1 where there are not fewer; every matrix of a row of them. */
static void check_orthogonal(ur_dtype dtype, int64_t blocks, int64_t rows, int64_t columns, double tolerance)
{
    enum { LARGE = 100 * 100 };
    static double q[LARGE];
    ur_tape *tape = new_tape(dtype);
    ur_var W = ur_param(tape, "W", blocks > 1 ? UR_SHAPE(blocks, rows, columns) : UR_SHAPE(rows, columns));
    ck_assert(ur_params_init(tape, UR_ORTHOGONAL, 9));
    for (int64_t i = 0; i < blocks * rows * columns; i++)
        q[i] = dtype == UR_F32 ? (double)((const float *)ur_leaf(W))[i] : ((const double *)ur_leaf(W))[i];
    for (const double *m = q; m < q + blocks * rows * columns; m += rows * columns) {
        bool tall = rows >= columns;
        int64_t vectors = tall ? columns : rows, length = tall ? rows : columns;
        for (int64_t a = 0; a < vectors; a++)
            for (int64_t b = 0; b < vectors; b++) {
                double sum = 0;
                for (int64_t i = 0; i < length; i++)
                    sum += tall ? m[i * columns + a] * m[i * columns + b] : m[a * columns + i] * m[b * columns + i];
                ck_assert_double_eq_tol(sum, a == b, tolerance);
            }
    }
    if (blocks > 1)
        ck_assert_double_gt(distance((size_t)(rows * columns), q, q + rows * columns), 0.01);
    ur_tape_free(tape);
}

START_TEST(orthogonal_matrices)
{
    check_orthogonal(UR_F64, 1, 100, 100, 3e-15);
    check_orthogonal(UR_F64, 1, 40, 7, 1e-14);
    check_orthogonal(UR_F64, 1, 7, 40, 1e-14);
    check_orthogonal(UR_F64, 2, 12, 12, 1e-14);
    check_orthogonal(UR_F64, 1, 1, 1, 1e-14);
    check_orthogonal(UR_F32, 1, 30, 30, 1e-6);
}
END_TEST

/* Signs and places are fair: over many seeds the mean of each element of a 2 x 2 matrix is 0, its variance 1/2. */
START_TEST(orthogonal_matrices_are_fair)
{
    enum { DRAWS = 4000 };
    double mean[4] = {0}, square[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    const double *w = (const double *)ur_leaf(ur_param(tape, "W", UR_SHAPE(2, 2)));
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        ck_assert(ur_params_init(tape, UR_ORTHOGONAL, seed));
        for (int i = 0; i < 4; i++) {
            mean[i] += w[i] / DRAWS;
            square[i] += w[i] * w[i] / DRAWS;
        }
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(mean[i], 0, 5 * sqrt(0.5 / DRAWS));
        ck_assert_double_eq_tol(square[i], 0.5, 5 * sqrt(0.125 / DRAWS));
    }
    ur_tape_free(tape);
}
END_TEST

START_TEST(rules_have_names)
{
    static const struct {
        const char *name;
        ur_init rule;
    } rules[] = {{"glorot_uniform", UR_GLOROT_UNIFORM},
                 {"glorot_normal", UR_GLOROT_NORMAL},
                 {"he_uniform", UR_HE_UNIFORM},
                 {"he_normal", UR_HE_NORMAL},
                 {"lecun_uniform", UR_LECUN_UNIFORM},
                 {"lecun_normal", UR_LECUN_NORMAL},
                 {"orthogonal", UR_ORTHOGONAL},
                 {"zeros", UR_ZEROS},
                 {"glorot", UR_GLOROT}};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        ck_assert_str_eq(ur_init_names[rules[k].rule], rules[k].name);
    ck_assert_ptr_null(ur_init_names[9]);
    ck_assert_str_eq(ur_schedule_names[UR_STEPS], "step");
    ck_assert_str_eq(ur_schedule_names[UR_PLATEAU], "plateau");
    ck_assert_ptr_null(ur_schedule_names[5]);
}
END_TEST

/* The forget gates' biases of two layers, in both directions, and nothing else; a gain is 1 by itself. */
START_TEST(one_name_for_many_parameters)
{
    ur_net_options shape = small_options();
    shape.cell = ur_cell_find("lstm");
    shape.layers = 2;
    shape.bidirectional = true;
    shape.layer_norm = true;
    for (int dtype = UR_F32; dtype <= UR_F64; dtype++) {
        ur_net *net = net_of((ur_dtype)dtype, shape, 1), *before = net_of((ur_dtype)dtype, shape, 1);
        ck_assert(ur_params_fill(net->tape, "bphi", 1.5) && ur_params_fill(net->tape, "layer1.bu", -2));
        const char *name;
        ur_var param, old;
        int forget = 0, gains = 0;
        for (size_t k = 0; ur_param_at(net->tape, k, &param, &name, NULL); k++) {
            ur_node node;
            ck_assert(ur_look(param, &node) && ur_param_at(before->tape, k, &old, NULL, NULL));
            size_t count = ur_shape_count(node.shape), bytes = count * ur_dtype_bytes((ur_dtype)dtype);
            bool is_forget = strstr(name, "bphi") != NULL, is_one = strcmp(name, "layer1.bu") == 0;
            bool is_gain = strstr(name, "gamma") != NULL;
            double first =
                dtype == UR_F32 ? (double)((float *)ur_leaf(param))[count - 1] : ((double *)ur_leaf(param))[count - 1];
            forget += is_forget;
            gains += is_gain;
            if (is_forget || is_one)
                ck_assert(first == (is_one ? -2 : 1.5));
            else
                ck_assert_mem_eq(ur_leaf(param), ur_leaf(old), bytes);
            ck_assert(!is_gain || first == 1);
        }
        ck_assert_int_eq(forget, 4);
        ck_assert_int_gt(gains, 0);
        ck_assert(!ur_params_fill(net->tape, "phi", 1));
        ck_assert_str_eq(ur_tape_error(net->tape), "phi: no parameter has this name");
        ur_tape_free(net->tape);
        ur_tape_free(before->tape);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("init");
    tcase_add_test(cases, random_numbers_are_philox);
    tcase_add_test(cases, random_numbers_are_uniform);
    tcase_add_test(cases, glorots_moments);
    tcase_add_test(cases, initial_values_depend_on_names);
    tcase_add_test(cases, initial_variances);
    tcase_add_test(cases, orthogonal_matrices);
    tcase_add_test(cases, orthogonal_matrices_are_fair);
    tcase_add_test(cases, rules_have_names);
    tcase_add_test(cases, one_name_for_many_parameters);
    return run_cases(suite_create("init"), cases);
}
