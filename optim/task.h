/* task.h - what the tasks share. Not installed. */
#ifndef UR_TASK_H
#define UR_TASK_H

#include "optim.h"

/* The data of a task with an automaton: strings with the sets of possible next symbols. */
ur_data *ur__automaton_data(const ur_task *task, const ur_task_options *options, const ur_allocator *allocator,
                            ur_error *error);

#endif
