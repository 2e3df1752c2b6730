/* task_ereber.c - the embedded Reber grammar as in the lecture (Hochreiter and Schmidhuber, "Long short-term memory",
 * 1997, experiment 1): the second symbol, T or P, chooses one of two copies of Reber's automaton and comes back as the
 * second to last.
 *
 *              .-T-> t0 Reber t7 -T-.
 *     s0 -B-> s1                     e0 -E-> e1
 *              '-P-> p0 Reber p7 -P-'
 */
#include "task.h"

enum { S0, S1, T0, P0 = T0 + 8, E0 = P0 + 8, E1 };

static const ur_automaton_state states[] = {
    [S0] = {"s0", {{'B', S1}}},
    [S1] = {"s1", {{'T', T0}, {'P', P0}}},

    [T0 + 0] = {"t0", {{'B', T0 + 1}}},
    [T0 + 1] = {"t1", {{'T', T0 + 2}, {'P', T0 + 3}}},
    [T0 + 2] = {"t2", {{'S', T0 + 2}, {'X', T0 + 4}}},
    [T0 + 3] = {"t3", {{'T', T0 + 3}, {'V', T0 + 5}}},
    [T0 + 4] = {"t4", {{'X', T0 + 3}, {'S', T0 + 6}}},
    [T0 + 5] = {"t5", {{'P', T0 + 4}, {'V', T0 + 6}}},
    [T0 + 6] = {"t6", {{'E', T0 + 7}}},
    [T0 + 7] = {"t7", {{'T', E0}}},

    [P0 + 0] = {"p0", {{'B', P0 + 1}}},
    [P0 + 1] = {"p1", {{'T', P0 + 2}, {'P', P0 + 3}}},
    [P0 + 2] = {"p2", {{'S', P0 + 2}, {'X', P0 + 4}}},
    [P0 + 3] = {"p3", {{'T', P0 + 3}, {'V', P0 + 5}}},
    [P0 + 4] = {"p4", {{'X', P0 + 3}, {'S', P0 + 6}}},
    [P0 + 5] = {"p5", {{'P', P0 + 4}, {'V', P0 + 6}}},
    [P0 + 6] = {"p6", {{'E', P0 + 7}}},
    [P0 + 7] = {"p7", {{'P', E0}}},

    [E0] = {"e0", {{'E', E1}}},
    [E1] = {"e1", {{0}}},
};

static const ur_automaton automaton = {.states = sizeof states / sizeof *states, .state = states};

const ur_task ur_task_ereber = {
    .name = "ereber",
    .inputs = 7,
    .outputs = 7,
    .min_length = 40,
    .out = "sigmoid",
    .loss = "bce",
    .alphabet = "BEPSTVX",
    .automaton = &automaton,
    .data = ur__automaton_data,
};
