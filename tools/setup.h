/* setup.h - from options to data and networks: what the commands share. */
#ifndef UNROLL_SETUP_H
#define UNROLL_SETUP_H

#include "options.h"

/* The cell of this name, or NULL after an error that names a near one. */
const ur_cell *setup_cell(const char *name);
/* The data of --task or --data. `fresh`: data of a task that no training run draws. `classes`: how many there are where y
 * holds classes, 0: as many as it shows. NULL after an error. */
ur_data *setup_data(const options *o, const char *task, bool fresh, int64_t classes);
/* Can every file that the command line names be written, each another one and none that is read? A result that cannot
 * be written is better known before the work than after it. False after an error. */
bool setup_outputs(const options *o);
/* Are the targets of --data such as the network's loss takes? False after an error. */
bool setup_targets_fit(const options *o, const ur_net_options *net, const ur_data *data);
/* The network's options from the command line, a task's where it has its own, and the data. False after an error. */
bool setup_net_options(const options *o, const ur_cell *cell, const ur_task *task, const ur_data *data,
                       ur_net_options *net);

/* The same where there are no data: d = 3, m = 4 and, with --out, p = 2, and this loss, unless the command line says
 * otherwise. */
bool setup_bare_options(const options *o, ur_loss loss, ur_net_options *net);

/* Replaces what the command line gives of the network's options. False, after an error, when one of them means nothing
 * to such a network. */
bool setup_override(const options *o, ur_net_options *net);
/* The seed of dropout's masks, where there is dropout, from --seed. */
void setup_mask_seed(const options *o, ur_net_options *net);
/* The value of `--size NAME=N`, or `otherwise`. */
int64_t setup_size(const options *o, const char *name, int64_t otherwise);
/* Is the size of what is in the file what --size says of it, if it says anything? Complains if not. */
bool setup_size_is(const options *o, const char *file, const char *name, int64_t size);
/* False, after an error, when a --size has a name that is not in `names`, a list that ends with NULL, or gives m another
 * value than --hidden does. */
bool setup_sizes_known(const options *o, const char *const *names);
/* Initial values by --init, --seed and --forget-bias; the latter alone. False with the tape's error set. */
bool setup_initial(const options *o, ur_tape *tape);
bool setup_forget_bias(const options *o, ur_tape *tape);
/* The threads of --threads, to be freed; NULL where one is enough. */
ur_pool *setup_pool(const options *o);
/* --seed, or its default. */
uint64_t setup_seed(const options *o);
/* False, after an error, for a loss of probabilities of outputs that are none. */
bool setup_loss_fits(const ur_net_options *net);

/* Reads the network's parameters from the arrays of --weights or of the model. False after an error. */
bool setup_params(const options *o, ur_net *net, const ur_arrays *file);

#endif
