/* setup.h - from options to data and networks: what the commands share. */
#ifndef UNROLL_SETUP_H
#define UNROLL_SETUP_H

#include "options.h"

/* The cell of this name, or NULL after an error that names a near one. */
const ur_cell *setup_cell(const char *name);
/* The data of --task or --data. `fresh`: data of a task that no training run draws. NULL after an error. */
ur_data *setup_data(const options *o, const char *task, bool fresh);
/* The network's options from the command line, a task's where it has its own, and the data. False after an error. */
bool setup_net_options(const options *o, const ur_cell *cell, const ur_task *task, const ur_data *data,
                       ur_net_options *net);

/* Replaces what the command line gives of out, loss, reduction and hidden activation. */
void setup_override(const options *o, ur_net_options *net);

#endif
