/* lecture_radius.c - powers of the recurrent weights: what the spectral radius decides, and what it does not. */
#include <math.h>
#include <string.h>

#include "lecture.h"

/* ---- delta_t = W_h^(tau-t) delta_tau in the linear network */

static bool add_linear(lecture_report *r)
{
    static const char *const units[] = {"h", "o", NULL};
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("rnn"),
                          .hidden_activation = UR_IDENTITY,
                          .out = UR_IDENTITY,
                          .loss = UR_MSE,
                          .start = UR_START_GIVEN};
    bool good = lecture_net_open(&n, net, units, "h") && lecture_net_run(&n, TAU);
    double power[UNITS][COLUMNS], worst = 0;
    if (good) {
        const double *W = (const double *)ur_leaf(ur_find(n.tape, "Wh", 0));
        memcpy(power, n.delta[0][TAU], sizeof power);
        for (int t = TAU - 1; t >= 1; t--) {
            double next[UNITS][COLUMNS] = {{0}};
            for (int i = 0; i < UNITS; i++)
                for (int k = 0; k < COLUMNS; k++)
                    for (int j = 0; j < UNITS; j++)
                        next[i][k] += W[i * UNITS + j] * power[j][k];
            memcpy(power, next, sizeof power);
            worst = fmax(worst, lecture_apart((size_t)UNITS * COLUMNS, &power[0][0], &n.delta[0][t][0][0]));
        }
        lecture_add(r, RIGHT, "linear RNN: δ^h_t = W_h^(τ−t) δ^h_τ", "vanishing and exploding gradients",
                    "δ^h_t = W_h δ^h_{t+1} = ... = W_h^(τ−t) δ^h_τ",
                    "the same, for f^h = identity and a loss at τ alone")
            ->printed_apart = worst;
    }
    lecture_net_close(&n);
    return good;
}

/* ---- |W^k| of 2 x 2 matrices */

typedef struct matrix {
    double a, b, c, d; /* rows a b, c d */
} matrix;

static matrix product(matrix x, matrix y)
{
    return (matrix){x.a * y.a + x.b * y.c, x.a * y.b + x.b * y.d, x.c * y.a + x.d * y.c, x.c * y.b + x.d * y.d};
}

static double norm(matrix x)
{
    return sqrt(x.a * x.a + x.b * x.b + x.c * x.c + x.d * x.d);
}

/* |W^k|; `most` receives the largest of the powers 1 ... k. */
static double power_norm(matrix w, int k, double *most)
{
    matrix p = w;
    *most = norm(w);
    for (int i = 1; i < k; i++) {
        p = product(p, w);
        *most = fmax(*most, norm(p));
    }
    return norm(p);
}

static void add_powers(lecture_report *r)
{
    const char *place = "spectral radius";
    matrix below = {0.9, 10, 0, 0.9}, above = {1.1, 0, 0, 0.5}, one = {1, 1, 0, 1}, turn = {0.6, -0.8, 0.8, 0.6};
    double most, end = power_norm(below, 500, &most);
    lecture_claim(
        r, end < 1e-12 && most > 10, "|λ_1| < 1", place, "if |λ_1| < 1, then |W^k| → 0: gradients vanish",
        "it is so in the limit; for W = (0.9 10; 0 0.9), radius 0.9, the norm first grows to %.0f and is %.0e at "
        "k = 500",
        most, end);
    double grown = power_norm(above, 500, &most);
    lecture_claim(r, grown > 1e12, "|λ_1| > 1", place, "if |λ_1| > 1, then |W^k| → ∞: gradients explode",
                  "the matrix does, |W^500| = %.0e for W = diag(1.1, 0.5); a gradient without a part along its first "
                  "eigenvector still vanishes, (0, 1) to %.0e, and slopes of tanh below 1 hold against it",
                  grown, pow(0.5, 500));
    double defective = power_norm(one, 100, &most), same = power_norm(turn, 100, &most);
    lecture_claim(r, defective > 50 && fabs(same - norm(turn)) < 1e-12, "|λ_1| = 1", place,
                  "lest errors vanish or explode the radius must stay at 1 or close to it",
                  "necessary for a linear network, not enough: W = (1 1; 0 1) has radius 1 and |W^100| = %.0f; "
                  "orthogonal weights, all singular values 1, keep every gradient's norm, |W^100| = |W| = %.4g",
                  defective, same);
}

/* A step of gradient descent with no gradient leaves the weights where they are. */
static void add_signs(lecture_report *r)
{
    lecture_add(
        r, CLAIM, "weights become 0 during training", "vanishing and exploding gradients",
        "a sign of vanishing gradients: weights may become 0",
        "a gradient of 0 leaves a weight where it is, as the same slide says of the first layers; what becomes 0 "
        "is the change, not the weight");
}

bool lecture_radius(lecture_report *r)
{
    if (!add_linear(r))
        return false;
    add_powers(r);
    add_signs(r);
    return true;
}
