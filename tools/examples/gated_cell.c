/* gated_cell.c - a cell of one's own, trained on sequences of unequal lengths, its gradients checked and its diagram
 * drawn. The first input is -1 or 1, the others are noise; at its end a sequence is asked what the first one was. Who
 * does not remember has the loss ln 2 = 0.693.   gated_cell | dot -Tsvg -o gated.svg */
#include <stdio.h>
#include <unroll.h>

/* The lecture's RNN with a forget gate. */
static ur_var gated(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *h)
{
    (void)options;
    ur_var u = ur_tanh(ur_affine(tape, "u", x, h[0])); /* Wu^T x + Whu^T h + bu */
    ur_var phi = ur_sigmoid(ur_affine(tape, "phi", x, h[0]));
    return h[0] = ur_name(ur_add(ur_mul(phi, h[0]), ur_mul(ur_one_minus(phi), u)), "h");
}

int main(void)
{
    enum { N = 40, T = 8, PARAMS = 8 };
    static const ur_cell cell = {.name = "gated", .states = 1, .state = {{.name = "h"}}, .step = gated};
    const ur_net_options options = {
        .cell = &cell, .inputs = 1, .hidden = 4, .outputs = 1, .out = UR_SIGMOID, .loss = UR_BCE, .weighted = true};
    double x[N * T], y[N];
    int64_t lengths[N];
    for (int i = 0; i < N * T; i++) {
        x[i] = i % T ? 2 * ur_random(1, "x", (uint64_t)i) - 1 : i / T % 2 ? 1 : -1;
        y[i / T] = i / T % 2; /* one target for each sequence, hence `weighted` and `y_last` */
        lengths[i / T] = 4 + i / T % 5;
    }
    ur_data data = {N, T, 1, 1, .x = x, .y = y, .y_last = true, .lengths = lengths};
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_net *net = ur_net_new(tape, &options, T, N);
    ur_trainer *trainer = net ? ur_trainer_new(net, &data, &(ur_train_options){.rate = 0.025}) : NULL;
    ur_var param[PARAMS];
    ur_check_result found[PARAMS];
    ur_score score;
    for (size_t k = 0; k < PARAMS; k++)
        ur_param_at(tape, k, &param[k], NULL, NULL);
    bool good = ur_params_init(tape, UR_GLOROT_UNIFORM, 1) && trainer && ur_net_bind(net, &data, 0, N) &&
                ur_check(net->loss, PARAMS, param, net->gradient, 1e-7, found);
    for (int epoch = 0; good && epoch < 1000; epoch++) {
        score = (ur_score){0}; /* an epoch adds to it */
        good = ur_trainer_epoch(trainer, &score) != UR_FAILED;
    }
    if (!good || !ur_dot(tape, 1, &net->loss, NULL, stdout)) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }
    for (size_t k = 0; k < PARAMS; k++)
        fprintf(stderr, "gradient %zu %s\n", k, found[k].verdict == UR_HOLDS ? "holds" : "does not hold");
    fprintf(stderr, "loss %.6f a sequence, wrong sequences %d of %d\n", score.loss / N, (int)score.wrong_sequences, N);
    ur_trainer_free(trainer);
    ur_tape_free(tape);
    return 0;
}
