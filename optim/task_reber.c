/* task_reber.c - Reber's grammar (A. S. Reber, "Implicit learning of artificial grammars", 1967) as in the lecture:
 *
 *                   .-S-.
 *                   |   v
 *            .--T--> 2 -----X-----> 4 --S--.
 *            |                     / ^     v
 *     0 -B-> 1             .---X--'  P      6 -E-> 7
 *            |             v         |     ^
 *            '--P--------> 3 ---V--> 5 --V-'
 *                         | ^
 *                         '-T
 */
#include "task.h"

/* One state a line, as in the diagram. */
/* clang-format off */
static const ur_automaton_state states[] = {
    [0] = {"0", {{'B', 1}}},
    [1] = {"1", {{'T', 2}, {'P', 3}}},
    [2] = {"2", {{'S', 2}, {'X', 4}}},
    [3] = {"3", {{'T', 3}, {'V', 5}}},
    [4] = {"4", {{'X', 3}, {'S', 6}}},
    [5] = {"5", {{'P', 4}, {'V', 6}}},
    [6] = {"6", {{'E', 7}}},
    [7] = {"7", {{0}}},
};
/* clang-format on */

static const ur_automaton automaton = {.states = sizeof states / sizeof *states, .state = states};

const ur_task ur_task_reber = {
    .name = "reber",
    .inputs = 7,
    .outputs = 7,
    .min_length = 30,
    .out = "sigmoid",
    .loss = "bce",
    .alphabet = "BEPSTVX",
    .automaton = &automaton,
    .data = ur__automaton_data,
};
