/* states.h - --state and --state-out of `unroll run`: the states of a network, [N,units] by their names. */
#ifndef UNROLL_STATES_H
#define UNROLL_STATES_H

#include "options.h"

/* Reads the file into the states' starts, which the network was recorded to be given. False, with a message, if it does
 * not fit. */
bool states_read(const char *path, const ur_net *net);
/* Writes those after the last step of the run, or `carried`, by ur_state, to the start of the next one. */
bool states_write(const char *path, const ur_net *net, ur_plan *plan, bool carried);

#endif
