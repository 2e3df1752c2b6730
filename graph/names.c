/* names.c - time steps, scopes, and the names of parameters and values. */
#include <string.h>

#include "internal.h"

/* ---- an index from a name and a step, or from a node, to a symbol */

static uint32_t hash_name(const char *prefix, const char *name, int64_t step)
{
    return (uint32_t)ur__mix(ur__hash(name, ur__hash(prefix, UR__HASH_START)), (uint64_t)step);
}

static uint32_t hash_node(uint32_t node)
{
    return (uint32_t)ur__mix(node, 1);
}

static int64_t step_of(const ur_tape *tape, const ur__symbol *s)
{
    return ur__op(tape, s->node) == &ur_op_param ? UR__PARAM_STEP : ur__step(tape, s->node);
}

/* Doubles both indices when they are half full. */
static bool index_room(ur_tape *tape)
{
    if (tape->symbols * 2 < tape->by_name.slots)
        return true;
    if (!ur__index_double(tape, &tape->by_node) || !ur__index_double(tape, &tape->by_name))
        return false;
    for (size_t s = 0; s < tape->symbols; s++) {
        ur__index_add(&tape->by_name, tape->symbol[s].hash, s);
        ur__index_add(&tape->by_node, hash_node(tape->symbol[s].node), s);
    }
    return true;
}

/* Symbol of prefix and name at a step, or NULL. */
static ur__symbol *find(const ur_tape *tape, const char *prefix, const char *name, int64_t step)
{
    if (!tape->by_name.slots)
        return NULL;
    uint32_t hash = hash_name(prefix, name, step);
    size_t length = strlen(prefix);
    const ur__index *index = &tape->by_name;
    for (size_t i = ur__index_first(index, hash); index->slot[i]; i = ur__index_next(index, i)) {
        ur__symbol *s = &tape->symbol[index->slot[i] - 1];
        if (s->hash == hash && step_of(tape, s) == step && strncmp(s->name, prefix, length) == 0 &&
            strcmp(s->name + length, name) == 0)
            return s;
    }
    return NULL;
}

/* A copy of the name, one for all the steps of a value. */
static const char *copy_name(ur_tape *tape, const char *name)
{
    uint32_t *slot = &tape->name_slot[ur__hash(name, UR__HASH_START) & (UR__SLOTS - 1)];
    if (*slot < tape->symbols && strcmp(tape->symbol[*slot].name, name) == 0)
        return tape->symbol[*slot].name;
    *slot = (uint32_t)tape->symbols;
    return ur__arena_text(&tape->arena, &tape->allocator, name);
}

static const char *add(ur_tape *tape, const char *prefix, const char *name, int64_t step, uint32_t node)
{
    char full[UR__PATH];
    if (!ur__concatenate(full, sizeof full, prefix, name)) {
        ur__fail(&tape->error, "a name is longer than %d characters: %s", UR__PATH - 1, full);
        return NULL;
    }
    if (!index_room(tape) || !ur__room(tape, &tape->symbol, &tape->symbol_room, tape->symbols, sizeof *tape->symbol))
        return NULL;
    const char *copy = copy_name(tape, full);
    if (!copy) {
        ur__fail(&tape->error, "no memory for a name");
        return NULL;
    }
    uint32_t hash = hash_name(prefix, name, step);
    tape->symbol[tape->symbols] = (ur__symbol){.name = copy, .hash = hash, .node = node};
    ur__index_add(&tape->by_name, hash, tape->symbols);
    ur__index_add(&tape->by_node, hash_node(node), tape->symbols);
    tape->symbols++;
    return copy;
}

/* ---- steps and scopes */

bool ur__mark(ur_tape *tape)
{
    if (tape->marks && tape->mark[tape->marks - 1] == tape->nodes)
        return true;
    if (!ur__room(tape, &tape->mark, &tape->mark_room, tape->marks, sizeof *tape->mark))
        return false;
    tape->mark[tape->marks++] = (uint32_t)tape->nodes;
    return true;
}

void ur_step(ur_tape *tape, int64_t t)
{
    if (!tape || tape->error.text[0])
        return;
    if (t < 0 || t > INT32_MAX)
        ur__fail(&tape->error, "ur_step: a step from 0 to %d was expected, not %lld", INT32_MAX, (long long)t);
    else if (ur__mark(tape))
        tape->now.step = (int32_t)t;
}

/* Scope 0 is the top; scope s stands at scope[s-1]. The same name under the same parent is one scope. */
static void open_scope(ur_tape *tape, const char *name, bool module)
{
    if (!tape || tape->error.text[0])
        return;
    if (!name || !*name) {
        ur__fail(&tape->error, "%s: a name was expected, there is none", module ? "ur_module_open" : "ur_scope_open");
        return;
    }
    for (size_t s = tape->scopes; s > 0; s--) {
        const ur__scope *known = &tape->scope[s - 1];
        if (known->parent == tape->now.scope && known->module == module && strcmp(known->name, name) == 0) {
            tape->now.scope = (uint32_t)s;
            return;
        }
    }
    const char *copy = ur__arena_text(&tape->arena, &tape->allocator, name);
    if (!copy || !ur__room(tape, &tape->scope, &tape->scope_room, tape->scopes, sizeof *tape->scope)) {
        ur__fail(&tape->error, "no memory for a name");
        return;
    }
    tape->scope[tape->scopes++] = (ur__scope){.parent = tape->now.scope, .module = module, .name = copy};
    tape->now.scope = (uint32_t)tape->scopes;
}

void ur_scope_open(ur_tape *tape, const char *name)
{
    open_scope(tape, name, false);
}

void ur_module_open(ur_tape *tape, const char *name)
{
    open_scope(tape, name, true);
}

void ur_scope_close(ur_tape *tape)
{
    if (!tape || tape->error.text[0])
        return;
    if (!tape->now.scope)
        ur__fail(&tape->error, "ur_scope_close: no scope is open");
    else
        tape->now.scope = tape->scope[tape->now.scope - 1].parent;
}

static void print_path(const ur_tape *tape, uint32_t scope, bool modules_only, const char *between, const char *after,
                       ur__text *out)
{
    if (!scope)
        return;
    const ur__scope *s = &tape->scope[scope - 1];
    print_path(tape, s->parent, modules_only, between, between, out);
    if (s->module || !modules_only)
        ur__print(out, "%s%s", s->name, after);
}

void ur__path(const ur_tape *tape, uint32_t scope, char *text, size_t bytes)
{
    ur__text out = {.text = text, .bytes = bytes};
    if (text && bytes)
        text[0] = 0;
    print_path(tape, scope, false, "/", "", &out);
}

/* "layer0.back." before the names that are declared now. */
static void prefix_now(const ur_tape *tape, char text[UR__PATH])
{
    ur__text out = {.text = text, .bytes = UR__PATH};
    text[0] = 0;
    print_path(tape, tape->now.scope, true, ".", ".", &out);
}

const char *ur__place(const ur_tape *tape, ur__site site, char text[UR__PLACE])
{
    char path[UR__PATH];
    ur__text out = {.text = text, .bytes = UR__PLACE};
    ur__path(tape, site.scope, path, sizeof path);
    text[0] = 0;
    if (path[0])
        ur__print(&out, " in %s", path);
    if (site.step > 0)
        ur__print(&out, "%s step %d", path[0] ? "," : " at", (int)site.step);
    return text;
}

/* ---- names */

ur_var ur_name(ur_var value, const char *name)
{
    ur_tape *tape = value.tape;
    if (!ur__valid(tape, value, "ur_name"))
        return ur__poison(tape, NULL);
    if (!name || !*name)
        return ur__poison(tape, "ur_name: a name was expected, there is none");
    if (ur__op(tape, value.index) == &ur_op_param)
        return ur__poison(tape, "ur_name: %s is a parameter and keeps that name, it cannot be %s as well",
                          ur__name_of(tape, value.index), name);
    char prefix[UR__PATH];
    prefix_now(tape, prefix);
    int32_t step = ur__step(tape, value.index);
    ur__symbol *known = find(tape, prefix, name, step);
    if (known && known->node != value.index) {
        char place[UR__PLACE];
        return ur__poison(tape, "ur_name: another value is named %s%s%s", prefix, name,
                          ur__place(tape, (ur__site){tape->now.scope, step}, place));
    }
    if (!known && !add(tape, prefix, name, step, value.index))
        return ur__poison(tape, NULL);
    return value;
}

ur_var ur_find(ur_tape *tape, const char *name, int64_t t)
{
    const ur__symbol *s = NULL;
    if (tape && name && !tape->error.text[0] && !(s = find(tape, "", name, t)))
        s = find(tape, "", name, UR__PARAM_STEP);
    return s ? ur__var(tape, s->node) : ur__poison(tape, NULL);
}

const char *ur__name_of(const ur_tape *tape, uint32_t node)
{
    if (!tape->by_node.slots)
        return NULL;
    const ur__index *index = &tape->by_node;
    for (size_t i = ur__index_first(index, hash_node(node)); index->slot[i]; i = ur__index_next(index, i)) {
        const ur__symbol *s = &tape->symbol[index->slot[i] - 1];
        if (s->node == node)
            return s->name;
    }
    return NULL;
}

const char *ur__operand(const ur_tape *tape, uint32_t node, char text[UR__OPERAND])
{
    const char *name = ur__name_of(tape, node);
    char shape[UR_SHAPE_TEXT];
    ur__text out = {.text = text, .bytes = UR__OPERAND};
    ur__print(&out, "%s%s", name ? name : ur__op(tape, node)->name, ur_shape_text(ur__shape(tape, node), shape));
    return text;
}

/* ---- what leaves.c needs */

uint32_t ur__find_param(const ur_tape *tape, const char *name)
{
    char prefix[UR__PATH];
    prefix_now(tape, prefix);
    const ur__symbol *s = find(tape, prefix, name, UR__PARAM_STEP);
    return s ? s->node : UR_NONE;
}

const char *ur__name_leaf(ur_tape *tape, const char *name, int64_t step, uint32_t node)
{
    char prefix[UR__PATH];
    prefix[0] = 0;
    if (step == UR__PARAM_STEP)
        prefix_now(tape, prefix);
    const ur__symbol *known = find(tape, prefix, name, step);
    if (known) {
        char place[UR__PLACE];
        ur__fail(&tape->error, "%s: a value of this name is on the tape already%s", name,
                 ur__place(tape, *ur__site_of(tape, known->node), place));
        return NULL;
    }
    return add(tape, prefix, name, step, node);
}
