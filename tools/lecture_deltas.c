/* lecture_deltas.c - the lecture's deltas: each print is coded as it stands, with the other deltas taken from autodiff,
 * and compared at every t, unit and sequence with the gradient that autodiff gives at that place.
 *
 * For the RNN delta^h is the derivative by net^h. In the gated RNN and the LSTM h is no function of one net value, and
 * the prints hold for the derivatives by the values h and c themselves. */
#include <math.h>
#include <string.h>

#include "lecture.h"

/* ---- formulas, element by element */

typedef double formula(const lecture_place *at);

typedef struct printed_delta {
    lecture_verdict verdict;
    int unit;
    const char *name, *place, *printed, *derived;
    formula *as_printed, *as_derived; /* NULL: not printed; the print is right */
} printed_delta;

static double sigmoid_slope(double y)
{
    return y * (1 - y);
}

static double tanh_slope(double y)
{
    return 1 - y * y;
}

static double target(const lecture_place *at, int i)
{
    const lecture_net *n = at->n;
    return n->data->y[(at->k * TAU + at->t - 1) * n->outputs + i];
}

/* ---- the output layer, the last unit of each cell */

static int output_unit(const lecture_net *n)
{
    int unit = 0;
    while (n->names[unit + 1])
        unit++;
    return unit;
}

static double output(const lecture_place *at, int i)
{
    return at->n->value[output_unit(at->n)][at->t][i][at->k];
}

static double delta_o_bce(const lecture_place *at)
{
    double o = output(at, at->i), y = target(at, at->i);
    return sigmoid_slope(o) * (-y / o + (1 - y) / (1 - o));
}

static double delta_o_mse(const lecture_place *at)
{
    return output(at, at->i) - target(at, at->i);
}

static double delta_o_sigmoid_mse(const lecture_place *at)
{
    double o = output(at, at->i);
    return sigmoid_slope(o) * (o - target(at, at->i));
}

/* dE/do = -y / o; the Jacobian of softmax is do_j/dnet_i = o_j ([i = j] - o_i). */
static double delta_o_jacobian(const lecture_place *at)
{
    double sum = 0;
    for (int j = 0; j < at->n->outputs; j++)
        sum += output(at, j) * ((at->i == j) - output(at, at->i)) * (-target(at, j) / output(at, j));
    return sum;
}

static double delta_o_softmax_elementwise(const lecture_place *at)
{
    double o = output(at, at->i);
    return sigmoid_slope(o) * (-target(at, at->i) / o);
}

#define GRADIENTS "gradients by net values; training the LSTM"

enum { OUTPUT = -1 };

static const printed_delta sigmoid_deltas[] = {
    {RIGHT, OUTPUT, "δ^o, sigmoid and binary cross-entropy", GRADIENTS, "δ^o_t = ∂f^o ⊙ ∂E_xt",
     "the same; it is o_t − y_t", delta_o_bce, NULL},
};

static const printed_delta sigmoid_mse_deltas[] = {
    {RIGHT, OUTPUT, "δ^o, sigmoid and squared error", GRADIENTS, "δ^o_t = ∂f^o ⊙ ∂E_xt",
     "the same; it is o_t (1 − o_t) (o_t − y_t)", delta_o_sigmoid_mse, NULL},
};

static const printed_delta identity_deltas[] = {
    {RIGHT, OUTPUT, "δ^o, identity and squared error", GRADIENTS, "δ^o_t = ∂f^o ⊙ ∂E_xt", "the same; it is o_t − y_t",
     delta_o_mse, NULL},
};

static const printed_delta softmax_deltas[] = {
    {RIGHT, OUTPUT, "δ^o, softmax and cross-entropy, with the Jacobian", GRADIENTS, "δ^o_t = ∂f^o ⊙ ∂E_xt",
     "the same where ⊙ is the product with the Jacobian of f^o; it is o_t − y_t", delta_o_jacobian, NULL},
    {MISPRINT, OUTPUT, "δ^o, softmax and cross-entropy, element by element", GRADIENTS,
     "δ^o_t = ∂f^o ⊙ ∂E_xt, ⊙ the elementwise product",
     "the product with the Jacobian: outputs of softmax depend on each other; ⊙ needs independent outputs, as the "
     "slide "
     "on training the LSTM says",
     delta_o_softmax_elementwise, delta_o_jacobian},
};

/* ---- RNN: units h, o */

enum { RNN_H, RNN_O };
static const char *const rnn_units[] = {"h", "o", NULL};

static double rnn_delta_h(const lecture_place *at)
{
    return tanh_slope(lecture_value(at, RNN_H, 0)) *
           (lecture_through(at, "Wo", RNN_O, 0) + lecture_through(at, "Wh", RNN_H, 1));
}

/* f^h read as the output layer's activation, here the sigmoid. */
static double rnn_delta_h_of_output(const lecture_place *at)
{
    double net = atanh(lecture_value(at, RNN_H, 0));
    return sigmoid_slope(1 / (1 + exp(-net))) *
           (lecture_through(at, "Wo", RNN_O, 0) + lecture_through(at, "Wh", RNN_H, 1));
}

/* delta^h_{t+1} = 0 as the print has it for any t, and for t = tau alone. */
static double rnn_delta_h_no_future(const lecture_place *at)
{
    return tanh_slope(lecture_value(at, RNN_H, 0)) * lecture_through(at, "Wo", RNN_O, 0);
}

static double rnn_delta_h_last(const lecture_place *at)
{
    return at->t == TAU ? rnn_delta_h_no_future(at) : rnn_delta_h(at);
}

#define HIDDEN "gradients by net values"

static const printed_delta rnn_deltas[] = {
    {RIGHT, RNN_H, "RNN: δ^h", HIDDEN, "δ^h_t = ∂f^h ⊙ ((W_o δ^o_t) + (W_h δ^h_{t+1}))", "the same", rnn_delta_h, NULL},
    {MISPRINT, RNN_H, "RNN: f^h is the activation of the output layer", HIDDEN,
     "δ^h_t = ∂f^h ⊙ (...), f^h the activation in the output layer",
     "f^h is the activation of the hidden layer; the difference is that of a sigmoid in its place",
     rnn_delta_h_of_output, rnn_delta_h},
    {MISPRINT, RNN_H, "RNN: δ^h_{t+1} = 0", HIDDEN, "h_t depends on o_t alone, so that δ^h_{t+1} = 0",
     "true of τ alone: δ^h_{τ+1} = 0, for after the last step h_τ acts on o_τ only", rnn_delta_h_no_future,
     rnn_delta_h_last},
};

/* ---- gated RNN: units u, phi, h, o */

enum { GATED_U, GATED_PHI, GATED_H, GATED_O };
static const char *const gated_units[] = {"u", "phi", "h", "o", NULL};

static double gated_delta_u(const lecture_place *at)
{
    return lecture_delta(at, GATED_H, 0) * (1 - lecture_value(at, GATED_PHI, 0)) *
           tanh_slope(lecture_value(at, GATED_U, 0));
}

static double gated_delta_u_printed(const lecture_place *at)
{
    return lecture_delta(at, GATED_U, 0) * (1 - lecture_value(at, GATED_PHI, 0)) *
           tanh_slope(lecture_value(at, GATED_U, 0));
}

static double gated_delta_phi(const lecture_place *at)
{
    return lecture_delta(at, GATED_H, 0) * (lecture_value(at, GATED_H, -1) - lecture_value(at, GATED_U, 0)) *
           sigmoid_slope(lecture_value(at, GATED_PHI, 0));
}

static double gated_delta_h(const lecture_place *at)
{
    return lecture_through(at, "Wo", GATED_O, 0) + lecture_through(at, "Whphi", GATED_PHI, 1) +
           lecture_through(at, "Whu", GATED_U, 1) + lecture_delta(at, GATED_H, 1) * lecture_value(at, GATED_PHI, 1);
}

#define GATED "gradients of the RNN with forget gates"

static const printed_delta gated_deltas[] = {
    {MISPRINT, GATED_U, "gated RNN: δ^u, scalar line", GATED, "δ^u_ti = δ^u_ti (1 − φ_ti) (1 − u_ti²)",
     "δ^u_ti = δ^h_ti (1 − φ_ti) (1 − u_ti²): on the right stands δ^h", gated_delta_u_printed, gated_delta_u},
    {RIGHT, GATED_U, "gated RNN: δ^u, vector line", GATED, "δ^u_t = δ^h_t ⊙ (1 − φ_t) ⊙ (1 − u_t ⊙ u_t)",
     "the same, δ^h being the derivative by the value h_t", gated_delta_u, NULL},
    {RIGHT, GATED_PHI, "gated RNN: δ^φ, scalar line", GATED, "δ^φ_ti = δ^h_ti (h_{t-1,i} − u_ti) φ_ti (1 − φ_ti)",
     "the same", gated_delta_phi, NULL},
    {RIGHT, GATED_PHI, "gated RNN: δ^φ, vector line", GATED, "δ^φ_t = δ^h_t ⊙ (h_{t-1} − u_t) ⊙ φ_t ⊙ (1 − φ_t)",
     "the same", gated_delta_phi, NULL},
    {RIGHT, GATED_H, "gated RNN: δ^h", GATED,
     "δ^h_t = W_o δ^o_t + W_hφ δ^φ_{t+1} + W_hu δ^u_{t+1} + (δ^h_{t+1} ⊙ φ_{t+1})", "the same, by the value h_t",
     gated_delta_h, NULL},
};

/* ---- LSTM: units kappa, phi, omega, u, c, h, o */

enum { KAPPA, PHI, OMEGA, U, C, H, O };
static const char *const lstm_units[] = {"kappa", "phi", "omega", "u", "c", "h", "o", NULL};

static double delta_c(const lecture_place *at, bool right_slope, bool right_step)
{
    double c = lecture_value(at, C, 0), slope = tanh_slope(right_slope ? tanh(c) : c);
    return lecture_delta(at, H, 0) * lecture_value(at, OMEGA, 0) * slope +
           lecture_delta(at, C, 1) * lecture_value(at, PHI, right_step ? 1 : 0);
}

static double delta_c_printed(const lecture_place *at)
{
    return delta_c(at, false, false);
}

static double delta_c_wrong_slope(const lecture_place *at)
{
    return delta_c(at, false, true);
}

static double delta_c_wrong_step(const lecture_place *at)
{
    return delta_c(at, true, false);
}

static double delta_c_derived(const lecture_place *at)
{
    return delta_c(at, true, true);
}

static double delta_kappa(const lecture_place *at)
{
    return lecture_delta(at, C, 0) * lecture_value(at, U, 0) * sigmoid_slope(lecture_value(at, KAPPA, 0));
}

static double delta_phi(const lecture_place *at)
{
    return lecture_delta(at, C, 0) * lecture_value(at, C, -1) * sigmoid_slope(lecture_value(at, PHI, 0));
}

static double delta_omega(const lecture_place *at)
{
    return lecture_delta(at, H, 0) * tanh(lecture_value(at, C, 0)) * sigmoid_slope(lecture_value(at, OMEGA, 0));
}

static double delta_u(const lecture_place *at)
{
    return lecture_delta(at, C, 0) * lecture_value(at, KAPPA, 0) * tanh_slope(lecture_value(at, U, 0));
}

static double delta_h(const lecture_place *at)
{
    return lecture_through(at, "Wo", O, 0) + lecture_through(at, "Whkappa", KAPPA, 1) +
           lecture_through(at, "Whphi", PHI, 1) + lecture_through(at, "Whomega", OMEGA, 1) +
           lecture_through(at, "Whu", U, 1);
}

#define LSTM "training the LSTM"

static const printed_delta lstm_deltas[] = {
    {MISPRINT, C, "LSTM: δ^c as printed", LSTM, "δ^c_t = δ^h_t ⊙ ω_t ⊙ (1 − c_t ⊙ c_t) + δ^c_{t+1} ⊙ φ_t",
     "δ^c_t = δ^h_t ⊙ ω_t ⊙ (1 − tanh(c_t) ⊙ tanh(c_t)) + δ^c_{t+1} ⊙ φ_{t+1}", delta_c_printed, delta_c_derived},
    {MISPRINT, C, "LSTM: δ^c, 1 − c ⊙ c alone", LSTM, "1 − c_t ⊙ c_t, with φ_{t+1} put right",
     "1 − tanh(c_t) ⊙ tanh(c_t), the slope of tanh at c_t", delta_c_wrong_slope, delta_c_derived},
    {MISPRINT, C, "LSTM: δ^c, φ_t alone", LSTM, "δ^c_{t+1} ⊙ φ_t, with 1 − tanh(c_t) ⊙ tanh(c_t) put right",
     "δ^c_{t+1} ⊙ φ_{t+1}, for c_{t+1} = κ_{t+1} ⊙ u_{t+1} + φ_{t+1} ⊙ c_t", delta_c_wrong_step, delta_c_derived},
    {RIGHT, KAPPA, "LSTM: δ^κ of the input gate κ", LSTM, "δ^κ_t = δ^c_t ⊙ u_t ⊙ (1 − κ_t) ⊙ κ_t", "the same",
     delta_kappa, NULL},
    {MISSING, PHI, "LSTM: δ^φ of the forget gate", LSTM, "", "δ^φ_t = δ^c_t ⊙ c_{t-1} ⊙ φ_t ⊙ (1 − φ_t)", NULL,
     delta_phi},
    {RIGHT, U, "LSTM: δ^u", LSTM, "δ^u_t = δ^c_t ⊙ κ_t ⊙ (1 − u_t ⊙ u_t)", "the same", delta_u, NULL},
    {RIGHT, OMEGA, "LSTM: δ^ω of the output gate ω", LSTM, "δ^ω_t = δ^h_t ⊙ tanh(c_t) ⊙ (1 − ω_t) ⊙ ω_t", "the same",
     delta_omega, NULL},
    {RIGHT, H, "LSTM: δ^h", LSTM,
     "δ^h_t = W_o δ^o_t + W_hκ δ^κ_{t+1} + W_hφ δ^φ_{t+1} + W_hω δ^ω_{t+1} + W_hu δ^u_{t+1}",
     "the same, by the value h_t", delta_h, NULL},
};

/* ---- comparing */

/* The formula over all units and sequences of each step; the worst step counts. */
static double largest_apart(const lecture_net *n, int unit, formula *f)
{
    int rows = strcmp(n->names[unit], "o") == 0 ? n->outputs : UNITS;
    double worst = 0;
    for (int t = 1; t <= TAU; t++) {
        double coded[UNITS * COLUMNS] = {0};
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < COLUMNS; k++)
                coded[i * COLUMNS + k] = f(&(lecture_place){.n = n, .t = t, .i = i, .k = k});
        worst = fmax(worst, lecture_apart((size_t)rows * COLUMNS, coded, &n->delta[unit][t][0][0]));
    }
    return worst;
}

/* What several networks show: of a right formula the worst, of a misprint the least that it is off. */
static void merge(lecture_row *row, const lecture_net *n, const printed_delta *d)
{
    int unit = d->unit == OUTPUT ? output_unit(n) : d->unit;
    if (d->as_printed) {
        double apart = largest_apart(n, unit, d->as_printed);
        row->printed_apart = d->verdict == RIGHT ? fmax(row->printed_apart, apart) : fmin(row->printed_apart, apart);
    }
    if (d->as_derived)
        row->derived_apart = fmax(row->derived_apart, largest_apart(n, unit, d->as_derived));
}

/* The lecture defines delta^h_t by the loss of step t alone; its recursion is that of the whole loss. */
static bool compare_definition(lecture_report *r, lecture_net *n)
{
    double alone[TAU + 1][UNITS][COLUMNS], worst = 0;
    for (int t = 1; t <= TAU; t++) {
        if (!lecture_net_run(n, t))
            return false;
        memcpy(alone[t], n->delta[RNN_H][t], sizeof alone[t]);
    }
    if (!lecture_net_run(n, 0))
        return false;
    for (int t = 1; t <= TAU; t++)
        worst = fmax(worst, lecture_apart((size_t)UNITS * COLUMNS, &alone[t][0][0], &n->delta[RNN_H][t][0][0]));
    lecture_row *row =
        lecture_add(r, MISPRINT, "RNN: δ^h is a derivative of E_xt", "gradient at hidden neurons",
                    "δ^h_t = ∂E_xt / ∂net^h_t, the loss of step t",
                    "δ^h_t = ∂E_X / ∂net^h_t, the loss of the whole sequence: the printed recursion "
                    "gives this one, for h_t acts on all later steps; the gated RNN's lines repeat E_xt");
    row->printed_apart = worst;
    row->derived_apart = largest_apart(n, RNN_H, rnn_delta_h);
    return true;
}

static void compare_indices(lecture_report *r, const lecture_net *n)
{
    ur_node h = {0};
    ur_look(ur_find(n->tape, "h", 1), &h);
    double rows = (double)h.shape.size[0];
    lecture_row *row = lecture_add(
        r, MISPRINT, "RNN: δ^h has components 1 ... p", "gradient at hidden neurons",
        "δ^h_t = (∂E/∂net^h_t1, ..., ∂E/∂net^h_tp)",
        "(∂E/∂net^h_t1, ..., ∂E/∂net^h_tm): the hidden layer has m units, here p = %d, m = %d", n->outputs, UNITS);
    row->printed_apart = fabs(n->outputs - rows) / rows;
    row->derived_apart = fabs(UNITS - rows) / rows;
    row = lecture_add(r, MISPRINT, "RNN: hidden states are t-dimensional", "hidden states of the RNN",
                      "t-dimensional vectors h_t", "m-dimensional: h_t has %d components at every t = 1 ... %d",
                      (int)rows, TAU);
    row->printed_apart = fabs(1 - rows) / rows;
    row->derived_apart = fabs(UNITS - rows) / rows;
}

/* ---- all cells */

static const struct cell {
    const char *name, *const *units, *plain;
} cells[] = {{"rnn", rnn_units, ""}, {"gated", gated_units, "h"}, {"lstm", lstm_units, "h c"}};

static const struct ending {
    ur_activation out;
    ur_loss loss;
} endings[] = {{UR_SIGMOID, UR_BCE}, {UR_IDENTITY, UR_MSE}, {UR_SOFTMAX, UR_CE}, {UR_SIGMOID, UR_MSE}};

enum { RNN = 1, GATED_RNN = 2, LONG_SHORT = 4, ALL_CELLS = 7, CELLS = 3 };
enum { BY_BCE = 1, BY_IDENTITY = 2, BY_SOFTMAX = 4, BY_MSE = 8, ALL_ENDINGS = 15, ENDINGS = 4 };

/* Formulas, and in which cells and above which outputs they are tried. */
static const struct trial {
    unsigned cells, endings;
    size_t count;
    const printed_delta *deltas;
} trials[] = {
#define COUNTED(deltas) sizeof(deltas) / sizeof *(deltas), deltas
    {ALL_CELLS, BY_BCE, COUNTED(sigmoid_deltas)},
    {ALL_CELLS, BY_MSE, COUNTED(sigmoid_mse_deltas)},
    {ALL_CELLS, BY_IDENTITY, COUNTED(identity_deltas)},
    {ALL_CELLS, BY_SOFTMAX, COUNTED(softmax_deltas)},
    {RNN, ALL_ENDINGS, COUNTED(rnn_deltas)},
    {GATED_RNN, ALL_ENDINGS, COUNTED(gated_deltas)},
    {LONG_SHORT, ALL_ENDINGS, COUNTED(lstm_deltas)},
#undef COUNTED
};

static bool try_cell(lecture_row *rows, const struct trial *q, const struct cell *cell, const struct ending *ending)
{
    lecture_net n;
    ur_net_options net = {
        .cell = ur_cell_find(cell->name), .out = ending->out, .loss = ending->loss, .start = UR_START_GIVEN};
    bool good = lecture_net_open(&n, net, cell->units, cell->plain);
    for (size_t i = 0; good && i < q->count; i++)
        merge(&rows[i], &n, &q->deltas[i]);
    lecture_net_close(&n);
    return good;
}

static bool try_formulas(lecture_report *r, const struct trial *q)
{
    lecture_row *rows = &r->row[r->count];
    for (const printed_delta *d = q->deltas; d < q->deltas + q->count; d++)
        lecture_add(r, d->verdict, d->name, d->place, d->printed, "%s", d->derived);
    for (int c = 0; c < CELLS; c++)
        for (int e = 0; e < ENDINGS; e++)
            if ((q->cells >> c & 1) && (q->endings >> e & 1) && !try_cell(rows, q, &cells[c], &endings[e]))
                return false;
    return true;
}

static bool try_definitions(lecture_report *r)
{
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("rnn"), .out = UR_SIGMOID, .loss = UR_BCE, .start = UR_START_GIVEN};
    bool good = lecture_net_open(&n, net, rnn_units, "") && compare_definition(r, &n);
    if (good)
        compare_indices(r, &n);
    lecture_net_close(&n);
    return good;
}

bool lecture_deltas(lecture_report *r)
{
    bool good = try_definitions(r);
    for (size_t i = 0; good && i < sizeof trials / sizeof *trials; i++)
        good = try_formulas(r, &trials[i]);
    return good;
}
