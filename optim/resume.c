/* resume.c - training in model files: what it takes to go on as if there had been no break. Beside what a model has,
 * these are the optimiser's states, `optim.m.Wi`, the best parameters of early stopping, `optim.best.Wi`, with their
 * running averages, `optim.best.average.mean`, and in the metadata the options that change the result and the trainer's
 * counters. */
#include <math.h>
#include <string.h>

#include "files.h"
#include "train.h"

/* ---- options */

static bool set_options(const ur_train_options *o, ur_arrays *set, ur_error *error)
{
    bool good = ur_arrays_set_text(set, "optim", o->optim->name, error);
    for (const ur__train_real *real = ur__train_reals; real->name; real++)
        good = good && ur__set_real(set, real->key, ur__train_number(o, real), error);
    return good && ur_arrays_set_text(set, "schedule", ur_schedule_names[o->schedule], error) &&
           ur__set_number(set, "epochs", (uint64_t)o->epochs, error) &&
           ur__set_number(set, "patience", (uint64_t)o->patience, error) &&
           ur_arrays_set_text(set, "shuffle", ur__no_yes[o->shuffle], error) &&
           ur__set_number(set, "shuffle_seed", o->seed, error) &&
           ur_arrays_set_text(set, "freeze", o->freeze ? o->freeze : "", error) &&
           ur_arrays_set_text(set, "until_zero_errors", ur__no_yes[o->until_zero_errors], error) &&
           ur_arrays_set_text(set, "stateful", ur__no_yes[o->stateful], error);
}

bool ur_train_options_read(const ur_arrays *set, const char *path, ur_train_options *options, ur_error *error)
{
    ur__reader r = {.set = set, .path = path, .error = error};
    if (!options)
        return ur__fail_in(error, path, "room for the options was expected, there is none");
    const char *optim = ur__read_text(&r, "optim"), *freeze = ur__read_text(&r, "freeze");
    *options = (ur_train_options){
        .optim = optim ? ur_optim_find(optim) : NULL,
        .schedule = (ur_schedule)ur__read_choice(&r, "schedule", ur_schedule_names),
        .epochs = ur__read_number(&r, "epochs", 0),
        .patience = ur__read_number(&r, "patience", 0),
        .shuffle = ur__read_choice(&r, "shuffle", ur__no_yes),
        .seed = ur__read_seed(&r, "shuffle_seed"),
        .freeze = freeze && *freeze ? freeze : NULL,
        .until_zero_errors = ur__read_choice(&r, "until_zero_errors", ur__no_yes),
        .stateful = ur__read_choice(&r, "stateful", ur__no_yes),
    };
    for (const ur__train_real *real = ur__train_reals; real->name; real++) {
        double number = ur__read_real(&r, real->key, real->limits);
        memcpy((char *)options + real->offset, &number, sizeof number);
    }
    if (!r.failed && !options->optim)
        return ur__fail_in(error, path, "the optimiser '%s' is not one of this version", optim);
    return !r.failed;
}

/* ---- state */

static const char *state_prefix(const char *state, char text[32])
{
    snprintf(text, 32, "optim.%s.", state);
    return text;
}

static bool set_state(const ur_trainer *t, ur_arrays *set, ur_error *error)
{
    char prefix[32];
    const ur_optim *optim = t->options.optim;
    ur_tape *tape = t->net->tape;
    bool good = true;
    for (int s = 0; s < optim->states; s++)
        good = good && ur__vector_to_arrays(tape, state_prefix(optim->state[s], prefix), t->state[s], set, error);
    if (t->best)
        good = good && ur__vector_to_arrays(tape, state_prefix("best", prefix), t->best, set, error) &&
               ur__averages_to_arrays(t->net, prefix, t->best_average, set, error);
    return good && ur__set_number(set, "updates", (uint64_t)t->updates, error) &&
           ur__set_number(set, "waited", (uint64_t)t->waited, error) &&
           ur__set_number(set, "halvings", (uint64_t)t->halvings, error) &&
           ur__set_real(set, "best_loss", t->best_loss, error);
}

bool ur_trainer_save(const ur_trainer *trainer, const ur_model *model, const char *path, ur_error *error)
{
    if (!trainer || !model)
        return ur__fail_in(error, path, "there is no %s to write", trainer ? "ur_model" : "trainer");
    ur_arrays *set = ur_arrays_new(NULL);
    ur_model told = *model;
    told.epoch = trainer->epoch;
    told.batch = trainer->net->batch;
    bool good = set ? ur__model_to_arrays(trainer->net, &told, set, error) &&
                          set_options(&trainer->options, set, error) && set_state(trainer, set, error) &&
                          ur_arrays_save(set, path, error)
                    : ur__fail_in(error, path, "no memory for the model");
    ur_arrays_free(set);
    return good;
}

/* The first array from number *k on whose name begins with the prefix, or NULL; *k becomes its number. */
static const ur_array *next_array(const ur_arrays *set, const char *prefix, size_t *k)
{
    const ur_array *array;
    while ((array = ur_arrays_at(set, *k)) && strncmp(array->name, prefix, strlen(prefix)) != 0)
        ++*k;
    return array;
}

static bool has_vector(const ur_arrays *set, const char *prefix)
{
    size_t k = 0;
    return next_array(set, prefix, &k) != NULL;
}

static bool state_is_finite(const ur_arrays *set, const char *path, ur_error *error)
{
    const ur_array *array;
    for (size_t k = 0; (array = next_array(set, "optim.", &k)); k++)
        if (!ur__array_is_finite(array, path, error))
            return false;
    return true;
}

static bool state_fits(const ur_trainer *t, const ur_arrays *set, const char *path, ur_error *error)
{
    char prefix[32];
    const ur_optim *optim = t->options.optim;
    for (int s = 0; s < optim->states; s++)
        if (!ur__vector_fits(t->net->tape, state_prefix(optim->state[s], prefix), set, path, error))
            return false;
    return !t->best || !has_vector(set, state_prefix("best", prefix)) ||
           (ur__vector_fits(t->net->tape, prefix, set, path, error) &&
            ur__averages_fit(t->net, prefix, set, path, error));
}

/* Best parameters that the file does not have are found anew. */
static bool read_state(ur_trainer *t, const ur_arrays *set, const char *path, ur_error *error)
{
    char prefix[32];
    const ur_optim *optim = t->options.optim;
    ur_tape *tape = t->net->tape;
    for (int s = 0; s < optim->states; s++)
        if (!ur__vector_from_arrays(tape, state_prefix(optim->state[s], prefix), t->state[s], set, path, error))
            return false;
    if (!t->best)
        return true;
    if (has_vector(set, state_prefix("best", prefix)))
        return ur__vector_from_arrays(tape, prefix, t->best, set, path, error) &&
               ur__averages_from_arrays(t->net, prefix, t->best_average, set, path, error);
    t->best_loss = INFINITY;
    t->waited = 0;
    return true;
}

static bool same_optimiser(const ur_trainer *t, ur__reader *r)
{
    const char *name = ur__read_text(r, "optim"), *mine = t->options.optim->name;
    if (r->failed || strcmp(name, mine) == 0 || t->options.optim->states == 0)
        return !r->failed;
    return ur__fail_in(r->error, r->path, "was trained by %s, whose state %s cannot go on from", name, mine);
}

/* All is looked at before anything is changed. */
bool ur_trainer_resume(ur_trainer *t, const ur_arrays *set, const char *path, ur_error *error)
{
    ur__reader r = {.set = set, .path = path, .error = error};
    if (!t)
        return ur__fail_in(error, path, "there is no trainer to go on with");
    if (!ur_arrays_text(set, "updates"))
        return ur__fail_in(error, path, "holds no state of a training to go on from");
    ur_trainer told = *t;
    told.epoch = ur__read_number(&r, "epoch", 0);
    told.updates = ur__read_number(&r, "updates", 0);
    told.waited = ur__read_number(&r, "waited", 0);
    told.halvings = ur__read_number(&r, "halvings", 0);
    told.best_loss = ur__read_real(&r, "best_loss", UR__ANY);
    told.score = (ur_score){0};
    if (r.failed || !same_optimiser(t, &r) || !ur__net_fits_arrays(t->net, set, path, error) ||
        !state_fits(t, set, path, error) || !state_is_finite(set, path, error))
        return false;
    *t = told;
    return ur_net_from_arrays(t->net, set, path, error) && read_state(t, set, path, error);
}
