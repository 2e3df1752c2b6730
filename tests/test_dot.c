/* test_dot.c - diagrams for Graphviz, read by a little reader of the test's own: whole, with every parameter once,
 * one cell or all its steps. */
#include "small_tapes.h"

enum { DOT_BYTES = 1 << 18, DOT_NODES = 4096 };

static void draw(ur_var root, const ur_dot_options *options, char *text)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert(ur_dot(root.tape, 1, &root, options, file));
    rewind(file);
    size_t length = fread(text, 1, DOT_BYTES - 1, file);
    text[length] = 0;
    ck_assert_uint_lt(length, DOT_BYTES - 1);
    ck_assert_int_eq(fclose(file), 0);
}

/* Reads ` n12`; NULL when something else stands there. */
static const char *read_node(const char *text, size_t *node)
{
    char *end;
    while (*text == ' ')
        text++;
    if (*text != 'n')
        return NULL;
    *node = strtoul(text + 1, &end, 10);
    return end > text + 1 ? end : NULL;
}

/* Braces, brackets and quotes close, and both ends of every edge are drawn. Returns the number of edges. */
static int check_dot(const char *text)
{
    static bool declared[DOT_NODES];
    int braces = 0, brackets = 0, edges = 0;
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (quoted && *p == '\\')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted) {
            braces += (*p == '{') - (*p == '}');
            brackets += (*p == '[') - (*p == ']');
        }
        ck_assert(braces >= 0 && brackets >= 0 && brackets <= 1);
    }
    ck_assert(!quoted && braces == 0 && brackets == 0);
    ck_assert(strncmp(text, "digraph ", 8) == 0);
    memset(declared, 0, sizeof declared);
    for (int pass = 0; pass < 2; pass++)
        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            size_t from, to;
            const char *rest = read_node(line, &from);
            if (!rest)
                continue;
            ck_assert_uint_lt(from, DOT_NODES);
            if (strncmp(rest, " -> ", 4) == 0) {
                edges += pass;
                ck_assert(read_node(rest + 4, &to) && to < DOT_NODES);
                ck_assert(!pass || (declared[from] && declared[to]));
            } else if (strncmp(rest, " [", 2) == 0) {
                ck_assert(pass || !declared[from]);
                declared[from] = true;
            }
        }
    return edges;
}

static int occurrences(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

START_TEST(diagrams_are_whole)
{
    enum { T = 4 };
    static char text[DOT_BYTES];
    ur_tape *tape = new_tape(UR_F32);
    const ur_net_options options = small_rnn();
    ur_net *net = ur_net_new(tape, &options, T, 2);
    assert_good(tape, "tape");
    static const char *const params[] = {"Wi\\n[2,3]", "Wh\\n[3,3]", "bh\\n[3]", "Wo\\n[3,2]", "bo\\n[2]"};
    int edges[2];
    for (int unrolled = 0; unrolled < 2; unrolled++) {
        draw(net->loss,
             &(ur_dot_options){.view = unrolled ? UR_DOT_UNROLLED : UR_DOT_FOLDED, .title = "the \"RNN\" \\"}, text);
        edges[unrolled] = check_dot(text);
        ck_assert_int_eq(occurrences(text, "the \\\"RNN\\\" \\\\"), 1);
        for (int k = 0; k < 5; k++) {
            char label[64];
            snprintf(label, sizeof label, "label=\"%s\"", params[k]);
            ck_assert_msg(occurrences(text, label) == 1, "%s is not in\n%s", label, text);
        }
        ck_assert_int_eq(occurrences(text, "label=\"h = tanh"), unrolled ? T : 1);
        ck_assert_int_eq(occurrences(text, "label=\"o = sigmoid"), 0); /* the loss is of the net value */
        ck_assert_int_eq(occurrences(text, "style=dashed"), 1 - unrolled);
        for (int t = 1; t <= T; t++) {
            char label[32];
            snprintf(label, sizeof label, "label=\"step %d\"", t);
            ck_assert_int_eq(occurrences(text, label), unrolled);
        }
    }
    ck_assert_int_gt(edges[1] / 3, edges[0]);
    draw(net->loss, NULL, text);
    check_dot(text);

    /* The dashed edge ends where h[t-1] is used. */
    size_t h, from, to, product;
    ck_assert_ptr_nonnull(strstr(text, "style=dashed"));
    const char *line = strstr(text, " [style=dashed");
    while (line > text && line[-1] != '\n')
        line--;
    line = read_node(line, &from);
    ck_assert(line && read_node(line + 4, &to));
    h = ur_find(tape, "h", 2).index;
    product = ur_node_input(ur_node_input(ur_node_input(ur_find(tape, "h", 2), 0), 0), 1).index;
    ck_assert_uint_eq(from, h);
    ck_assert_uint_eq(to, product);

    ck_assert(!ur_dot(tape, 0, NULL, NULL, stdout));
    assert_refused(tape, "a root was expected");
    ur_tape_free(tape);
}
END_TEST

/* Where gradients are cut, the second step has a node more than the first: h[t-1] comes from this step's h all the same. */
START_TEST(a_step_with_more_than_another)
{
    static char text[DOT_BYTES];
    ur_net_options options = small_rnn();
    options.bptt = 1;
    ur_tape *tape = new_tape(UR_F32);
    const ur_net *net = ur_net_new(tape, &options, 4, 2);
    assert_good(tape, "tape");
    draw(net->loss, NULL, text);
    check_dot(text);
    const ur_var h = ur_find(tape, "h", 2), product = ur_node_input(ur_node_input(ur_node_input(h, 0), 0), 1);
    char edge[96];
    snprintf(edge, sizeof edge, "  n%u -> n%u [style=dashed, constraint=false, label=\"t-1\"];", (unsigned)h.index,
             (unsigned)ur_node_input(product, 1).index);
    ck_assert_msg(strstr(text, edge) != NULL, "%s is not in\n%s", edge, text);
    ck_assert_int_eq(occurrences(text, "style=dashed"), 1);
    ur_tape_free(tape);
}
END_TEST

/* A step of 60,000 nodes that each read one of the step before: a drawing that looks at all of a step for each does not end
 * in a test's time. */
START_TEST(a_wide_step)
{
    enum { MANY = 30000, T = 3 };
    static ur_var v[MANY];
    ur_tape *tape = new_tape(UR_F32);
    for (int k = 0; k < MANY; k++)
        v[k] = ur_const(tape, UR_SCALAR, 0);
    for (int t = 1; t <= T; t++) {
        ur_step(tape, t);
        for (int k = 0; k < MANY; k++)
            v[k] = ur_tanh(ur_scale(v[k], 2));
    }
    ur_step(tape, 0);
    const ur_var sum = ur_total(MANY, v);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert(ur_dot(tape, 1, &sum, NULL, file));
    (void)fclose(file);
    ur_tape_free(tape);
}
END_TEST

/* Half a million nodes: a drawing that looks at all of them for each, or for each scope, does not end in a test's time. */
START_TEST(a_large_diagram)
{
    ur_net_options options = small_rnn();
    options.layers = 300;
    ur_tape *tape = new_tape(UR_F32);
    const ur_net *net = ur_net_new(tape, &options, 300, 1);
    assert_good(tape, "tape");
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (int view = UR_DOT_FOLDED; view <= UR_DOT_UNROLLED; view++)
        ck_assert(ur_dot(tape, 1, &net->loss, &(ur_dot_options){.view = (ur_dot_view)view}, file));
    (void)fclose(file);
    ur_tape_free(tape);
}
END_TEST

/* Steps may be any numbers: those without a node have no cluster, and the second one that has some stands for all. */
START_TEST(far_steps)
{
    enum { T = 3 };
    static const int32_t steps[] = {5, 5000000, INT32_MAX};
    static char text[DOT_BYTES];
    for (int unrolled = 0; unrolled < 2; unrolled++) {
        ur_tape *tape = new_tape(UR_F32);
        ur_var h = ur_input(tape, "h0", UR_SCALAR);
        for (int t = 0; t < T; t++) {
            ur_step(tape, steps[t]);
            h = ur_name(ur_tanh(ur_mul(ur_param(tape, "w", UR_SCALAR), h)), "h");
        }
        draw(h, &(ur_dot_options){.view = unrolled ? UR_DOT_UNROLLED : UR_DOT_FOLDED}, text);
        ck_assert_int_eq(check_dot(text), unrolled ? 9 : 3);
        ck_assert_int_eq(occurrences(text, "subgraph"), unrolled ? T : 1);
        ck_assert_int_eq(occurrences(text, "label=\"step 5000000\""), unrolled);
        ck_assert_int_eq(occurrences(text, "label=\"h = tanh"), unrolled ? T : 1);
        ur_tape_free(tape);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("dot");
    tcase_add_test(cases, diagrams_are_whole);
    tcase_add_test(cases, a_step_with_more_than_another);
    tcase_add_test(cases, a_wide_step);
    tcase_add_test(cases, a_large_diagram);
    tcase_add_test(cases, far_steps);
    return run_cases(suite_create("dot"), cases);
}
