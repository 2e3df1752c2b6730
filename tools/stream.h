/* stream.h - `unroll run --input -`: one step a line, the state carried. */
#ifndef UNROLL_STREAM_H
#define UNROLL_STREAM_H

#include "options.h"

/* Returns the exit status; errors are printed. */
int stream(const options *o, const ur_arrays *weights, const ur_net_options *shape);

#endif
