/* lecture_forward.c - the lecture's cells and losses, coded as printed, against the library's values at every t. */
#include <math.h>

#include "lecture.h"

static double sigmoid(double net)
{
    return 1 / (1 + exp(-net));
}

/* ---- RNN, BRNN */

enum { RNN_H, RNN_O };
static const char *const rnn_units[] = {"h", "o", NULL};

static double rnn_h(const lecture_place *at)
{
    return tanh(lecture_input(at, "Wi") + lecture_linear(at, "Wh", RNN_H, -1) + lecture_bias(at, "bh"));
}

static double rnn_o(const lecture_place *at)
{
    return sigmoid(lecture_linear(at, "Wo", RNN_H, 0) + lecture_bias(at, "bo"));
}

enum { BRNN_H, BRNN_B, BRNN_O };
static const char *const brnn_units[] = {"h", "b", "o", NULL};

static double brnn_h(const lecture_place *at)
{
    return tanh(lecture_input(at, "Wih") + lecture_linear(at, "Wh", BRNN_H, -1) + lecture_bias(at, "bh"));
}

/* b_{tau+1} is the start, which stands at t = 0. */
static double brnn_b(const lecture_place *at)
{
    int later = at->t == TAU ? -TAU : 1;
    return tanh(lecture_input(at, "Wib") + lecture_linear(at, "Wb", BRNN_B, later) + lecture_bias(at, "bb"));
}

static double brnn_o(const lecture_place *at)
{
    return sigmoid(lecture_linear(at, "Who", BRNN_H, 0) + lecture_linear(at, "Wbo", BRNN_B, 0) +
                   lecture_bias(at, "bo"));
}

/* ---- gated RNN, LSTM */

enum { GATED_U, GATED_PHI, GATED_H, GATED_O };
static const char *const gated_units[] = {"u", "phi", "h", "o", NULL};

static double gated_u(const lecture_place *at)
{
    return tanh(lecture_input(at, "Wu") + lecture_linear(at, "Whu", GATED_H, -1) + lecture_bias(at, "bu"));
}

static double gated_phi(const lecture_place *at)
{
    return sigmoid(lecture_input(at, "Wphi") + lecture_linear(at, "Whphi", GATED_H, -1) + lecture_bias(at, "bphi"));
}

static double gated_h(const lecture_place *at)
{
    double phi = lecture_value(at, GATED_PHI, 0);
    return phi * lecture_value(at, GATED_H, -1) + (1 - phi) * lecture_value(at, GATED_U, 0);
}

enum { KAPPA, PHI, OMEGA, U, C, H, O };
static const char *const lstm_units[] = {"kappa", "phi", "omega", "u", "c", "h", "o", NULL};

static double lstm_kappa(const lecture_place *at)
{
    return sigmoid(lecture_input(at, "Wkappa") + lecture_linear(at, "Whkappa", H, -1) + lecture_bias(at, "bkappa"));
}

static double lstm_phi(const lecture_place *at)
{
    return sigmoid(lecture_input(at, "Wphi") + lecture_linear(at, "Whphi", H, -1) + lecture_bias(at, "bphi"));
}

static double lstm_omega(const lecture_place *at)
{
    return sigmoid(lecture_input(at, "Womega") + lecture_linear(at, "Whomega", H, -1) + lecture_bias(at, "bomega"));
}

static double lstm_u(const lecture_place *at)
{
    return tanh(lecture_input(at, "Wu") + lecture_linear(at, "Whu", H, -1) + lecture_bias(at, "bu"));
}

static double lstm_c(const lecture_place *at)
{
    return lecture_value(at, KAPPA, 0) * lecture_value(at, U, 0) + lecture_value(at, PHI, 0) * lecture_value(at, C, -1);
}

static double lstm_h(const lecture_place *at)
{
    return lecture_value(at, OMEGA, 0) * tanh(lecture_value(at, C, 0));
}

/* ---- comparing the values of units */

typedef struct printed_value {
    int unit;
    const char *name, *place, *printed;
    double (*coded)(const lecture_place *at);
} printed_value;

static const printed_value rnn_values[] = {
    {RNN_H, "RNN: h", "hidden states of the RNN", "h_t = f^h(W_iᵀ x_t + W_hᵀ h_{t-1} + b_h)", rnn_h},
    {RNN_O, "RNN: o", "forward pass", "o_t = f^o(W_oᵀ h_t + b_o)", rnn_o},
    {-1, NULL, NULL, NULL, NULL},
};

static const printed_value brnn_values[] = {
    {BRNN_H, "BRNN: h", "bidirectional RNN", "h_t = f^h(W_ihᵀ x_t + W_hᵀ h_{t-1} + b_h)", brnn_h},
    {BRNN_B, "BRNN: b", "bidirectional RNN", "b_t = f^b(W_ibᵀ x_t + W_bᵀ b_{t+1} + b_b)", brnn_b},
    {BRNN_O, "BRNN: o", "bidirectional RNN", "o_t = f^o(W_hoᵀ h_t + W_boᵀ b_t + b_o)", brnn_o},
    {-1, NULL, NULL, NULL, NULL},
};

static const printed_value gated_values[] = {
    {GATED_U, "gated RNN: u", "gated RNN", "u_t = tanh(W_uᵀ x_t + W_huᵀ h_{t-1} + b_u)", gated_u},
    {GATED_PHI, "gated RNN: φ", "forget gate", "φ_t = σ(W_φᵀ x_t + W_hφᵀ h_{t-1} + b_φ)", gated_phi},
    {GATED_H, "gated RNN: h", "forget gate", "h_t = φ_t ⊙ h_{t-1} + (1 − φ_t) ⊙ u_t", gated_h},
    {-1, NULL, NULL, NULL, NULL},
};

static const printed_value lstm_values[] = {
    {KAPPA, "LSTM: κ", "scheme of the LSTM", "κ_t = σ(W_κᵀ x_t + W_hκᵀ h_{t-1} + b_κ)", lstm_kappa},
    {PHI, "LSTM: φ", "scheme of the LSTM", "φ_t = σ(W_φᵀ x_t + W_hφᵀ h_{t-1} + b_φ)", lstm_phi},
    {OMEGA, "LSTM: ω", "scheme of the LSTM", "ω_t = σ(W_ωᵀ x_t + W_hωᵀ h_{t-1} + b_ω)", lstm_omega},
    {U, "LSTM: u", "hidden neurons of the LSTM", "u_t = tanh(W_uᵀ x_t + W_huᵀ h_{t-1} + b_u)", lstm_u},
    {C, "LSTM: c", "hidden neurons of the LSTM", "c_t = κ_t ⊙ u_t + φ_t ⊙ c_{t-1}", lstm_c},
    {H, "LSTM: h", "hidden neurons of the LSTM", "h_t = ω_t ⊙ tanh(c_t)", lstm_h},
    {-1, NULL, NULL, NULL, NULL},
};

static double largest_apart(const lecture_net *n, const printed_value *v)
{
    int rows = n->names[v->unit][0] == 'o' && !n->names[v->unit][1] ? n->outputs : UNITS;
    double worst = 0;
    for (int t = 1; t <= TAU; t++) {
        double coded[UNITS * COLUMNS] = {0};
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < COLUMNS; k++)
                coded[i * COLUMNS + k] = v->coded(&(lecture_place){.n = n, .t = t, .i = i, .k = k});
        worst = fmax(worst, lecture_apart((size_t)rows * COLUMNS, coded, &n->value[v->unit][t][0][0]));
    }
    return worst;
}

static bool add_values(lecture_report *r, const char *cell, const char *const *units, const char *plain,
                       const printed_value *v)
{
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find(cell), .out = UR_SIGMOID, .loss = UR_BCE, .start = UR_START_GIVEN};
    bool good = lecture_net_open(&n, net, units, plain);
    for (; good && v->name; v++)
        lecture_add(r, RIGHT, v->name, v->place, v->printed, "the same")->printed_apart = largest_apart(&n, v);
    lecture_net_close(&n);
    return good;
}

/* ---- losses */

typedef double position_loss(double o, double y);

static double squared(double o, double y)
{
    return 0.5 * (y - o) * (y - o);
}

static double cross_entropy(double o, double y)
{
    return -y * log(o);
}

static double binary(double o, double y)
{
    return -y * log(o) - (1 - y) * log(1 - o);
}

static bool add_loss(ur_activation out, ur_loss kind, lecture_row *row, position_loss *loss)
{
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("rnn"), .out = out, .loss = kind, .start = UR_START_GIVEN};
    bool good = lecture_net_open(&n, net, rnn_units, "");
    double sum = 0;
    for (int i = 0; good && i < COLUMNS * TAU * n.outputs; i++) {
        int unit = i % n.outputs, t = i / n.outputs % TAU, k = i / n.outputs / TAU;
        sum += loss(n.value[RNN_O][t + 1][unit][k], n.data->y[i]);
    }
    if (good)
        *(row->verdict == MISSING ? &row->derived_apart : &row->printed_apart) = lecture_apart(1, &sum, &n.loss);
    lecture_net_close(&n);
    return good;
}

static bool add_losses(lecture_report *r)
{
    lecture_row *mse = lecture_add(r, RIGHT, "squared error", "error in training", "E_X = ½ Σ_t Σ_i (y_ti − o_ti)²",
                                   "the same, with the factor ½");
    lecture_row *ce = lecture_add(r, RIGHT, "cross-entropy", "error in training", "E_X = −Σ_t Σ_i y_ti ln(o_ti)",
                                  "the same, for softmax");
    lecture_row *bce = lecture_add(r, MISSING, "binary cross-entropy", "training on the Reber grammar", "",
                                   "E_X = −Σ_t Σ_i (y_ti ln(o_ti) + (1 − y_ti) ln(1 − o_ti)): named, not printed");
    return add_loss(UR_IDENTITY, UR_MSE, mse, squared) && add_loss(UR_SOFTMAX, UR_CE, ce, cross_entropy) &&
           add_loss(UR_SIGMOID, UR_BCE, bce, binary);
}

bool lecture_forward(lecture_report *r)
{
    return add_values(r, "rnn", rnn_units, "", rnn_values) && add_losses(r) &&
           add_values(r, "brnn", brnn_units, "", brnn_values) &&
           add_values(r, "gated", gated_units, "h", gated_values) &&
           add_values(r, "lstm", lstm_units, "h c", lstm_values);
}
