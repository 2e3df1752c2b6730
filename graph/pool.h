/* pool.h - what a plan asks of its pool of threads. Not installed. */
#ifndef UR_POOL_H
#define UR_POOL_H

#include "graph.h"

typedef void ur__work_function(void *arg, int worker);

/* Calls work(arg, k) for k = 0 .. workers - 1, at the same time, and returns when all have; `workers` is at most
 * ur_pool_threads. The caller is worker 0; it is all of them, one after another, while the pool is at work elsewhere.
 * Allocates nothing. */
void ur__pool_work(ur_pool *pool, int workers, ur__work_function *work, void *arg);

#endif
