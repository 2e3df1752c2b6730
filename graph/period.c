/* period.c - loop rerolling: finds the steps of a tape that has no step marks, a user's plain loop.
 *
 * A statement looks like another when it has the same operation, shape and constants, reads the same parameters, and
 * finds its other operands as near before it. A loop is a row of looks that repeats with a period P: the rarest look
 * that reads a parameter stands in each step once, so the distance from one to the next is P, and the row grows to both
 * sides of them while look i equals look i + P. Where no parameter is read, the rarest look of any kind tells P, if the
 * row is long. A step begins where the fewest values cross: those of the states.
 *
 * Adjoints need no search: their steps end where those of the nodes end that they belong to. */
#include <stdlib.h>
#include <string.h>

#include "roll.h"

enum {
    LEAST = 4,         /* periods */
    LEAST_ALONE = 8,   /* periods of a row that reads no parameter, ... */
    LENGTH_ALONE = 64, /* ... its statements, ... */
    SHARE_ALONE = 8,   /* ... and one part in so many of the code that is searched */
    SHORTEST = 12,     /* statements that are worth a search */
    NEAR = 64,         /* how far back an operand's distance counts */
    EFFORT = 64        /* steps of the search for each statement of the tape, at most */
};

typedef struct search {
    ur__roller *r;
    uint32_t *list;        /* the statements of a run without steps and marks */
    uint32_t *where;       /* of each node: its place in the list */
    uint32_t *look;        /* of each in the list: the first that looks alike */
    uint32_t *count;       /* of each look, within the part that is searched */
    uint32_t *next;        /* of each in the list: the next one of its look */
    uint32_t *slot;        /* hash table of looks, by place + 1; later the first place of each */
    uint64_t *key;         /* hashes of looks; later what the candidates are sorted by */
    uint32_t *last_reader; /* of each in the list: the place of the last one that reads it, its own: none */
    uint32_t *ended;       /* how many have theirs there */
    size_t length, slots;
    uint64_t effort;
} search;

/* ---- looks */

static bool reads_param(const search *s, uint32_t i)
{
    const ur_tape *tape = s->r->tape;
    uint32_t v = s->list[i];
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++)
        if (ur__op(tape, ur__in(tape, v, k)) == &ur_op_param)
            return true;
    return false;
}

static uint64_t hash_of(const search *s, uint32_t i)
{
    const ur_tape *tape = s->r->tape;
    uint32_t v = s->list[i];
    uint64_t h = ur__mix(tape->node[v].kind, ur__site_of(tape, v)->scope);
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
        uint32_t u = ur__operand_of(tape, v, k);
        const ur_op *op = ur__op(tape, u);
        uint64_t own = op == &ur_op_input ? 1 : 2;
        if (op == &ur_op_param || op == &ur_op_const)
            own = UINT64_C(0x100000000) + s->r->program->place[u].line;
        else if (op != &ur_op_input && u >= s->list[0] && i - s->where[u] < NEAR)
            own = 3 + i - s->where[u];
        h = ur__mix(h, own);
    }
    return h;
}

static void find_looks(search *s)
{
    memset(s->slot, 0, s->slots * sizeof *s->slot);
    for (uint32_t i = 0; i < s->length; i++) {
        s->key[i] = hash_of(s, i);
        size_t at = (size_t)(s->key[i] ^ s->key[i] >> 32) & (s->slots - 1);
        while (s->slot[at] && s->key[s->slot[at] - 1] != s->key[i])
            at = (at + 1) & (s->slots - 1);
        if (!s->slot[at])
            s->slot[at] = i + 1;
        s->look[i] = s->slot[at] - 1;
    }
}

/* ---- periods */

/* A row of looks from `begin` to `end` that repeats. */
typedef struct row {
    uint32_t begin, end, period;
} row;

/* Threads the places of the part by looks: the first of each look in `slot`, the next one in `next`, how many in
 * `count`. From the last place to the first, so that the list of a look is in order. */
static void thread_places(search *s, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++)
        s->count[s->look[i]] = 0;
    for (uint32_t i = end; i-- > begin;) {
        uint32_t look = s->look[i];
        s->next[i] = s->count[look]++ ? s->slot[look] : UR_NONE;
        s->slot[look] = i;
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;
    return *x < *y ? -1 : *x > *y;
}

/* Lists in `key` the part's looks that occur often enough, those that read a parameter before the others, the rare
 * before the frequent. */
static size_t list_candidates(search *s, uint32_t begin, uint32_t end)
{
    size_t n = 0;
    for (uint32_t i = begin; i < end; i++) {
        uint32_t look = s->look[i], count = s->count[look];
        if (s->slot[look] == i && count >= LEAST)
            s->key[n++] = (uint64_t)!reads_param(s, i) << 63 | (uint64_t)count << 32 | look;
    }
    qsort(s->key, n, sizeof *s->key, compare);
    return n;
}

/* The distance that most places of a look have to the next one (the majority vote of Boyer and Moore), and the first
 * place that has it. */
static uint32_t period_of(const search *s, uint32_t look, uint32_t *at)
{
    uint32_t period = 0, votes = 0;
    for (uint32_t i = s->slot[look]; s->next[i] != UR_NONE; i = s->next[i]) {
        uint32_t gap = s->next[i] - i;
        if (votes == 0)
            period = gap;
        votes = gap == period ? votes + 1 : votes - 1;
    }
    for (uint32_t i = s->slot[look]; s->next[i] != UR_NONE; i = s->next[i])
        if (s->next[i] - i == period) {
            *at = i;
            return period;
        }
    return 0;
}

/* Is the row long enough for a loop? One that reads no parameter may repeat by chance: it has to be much of a part of so
 * many statements. */
static bool is_worth(const row *w, bool param, uint32_t part)
{
    uint32_t length = w->end - w->begin;
    if (param)
        return length >= (LEAST - 1) * w->period;
    return length >= LEAST_ALONE * w->period && length >= LENGTH_ALONE && length >= part / SHARE_ALONE;
}

static bool find_row(search *s, uint32_t begin, uint32_t end, row *found)
{
    if (s->effort < 4 * (uint64_t)(end - begin))
        return false;
    s->effort -= 4 * (uint64_t)(end - begin);
    thread_places(s, begin, end);
    size_t candidates = list_candidates(s, begin, end);
    for (size_t k = 0; k < candidates; k++) {
        bool param = s->key[k] >> 63 == 0;
        uint32_t look = (uint32_t)s->key[k], at = 0, P = period_of(s, look, &at), low = at, high = at;
        while (P && low > begin && s->look[low - 1] == s->look[low - 1 + P])
            low--;
        while (P && high + P < end && s->look[high] == s->look[high + P])
            high++;
        uint64_t effort = 2 * (uint64_t)s->count[look] + high - low;
        *found = (row){.begin = low, .end = high + P, .period = P};
        if (P && is_worth(found, param, end - begin))
            return true;
        if (s->effort < effort)
            return false;
        s->effort -= effort;
    }
    return false;
}

/* Does a step begin with this node? It reads nothing of the steps before, `x` say. */
static bool reads_nothing_local(const search *s, uint32_t i)
{
    const ur_tape *tape = s->r->tape;
    uint32_t v = s->list[i];
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++)
        if (ur__in(tape, v, k) >= s->list[0] && ur__is_code(tape, ur__in(tape, v, k)))
            return false;
    return true;
}

/* The last readers of the values of places begin..end-1. */
static void find_readers(search *s, uint32_t begin, uint32_t end)
{
    const ur_tape *tape = s->r->tape;
    for (uint32_t i = begin; i < end; i++) {
        uint32_t v = s->list[i];
        s->last_reader[i] = i;
        s->ended[i] = 0;
        for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
            uint32_t u = ur__operand_of(tape, v, k);
            if (u >= s->list[begin] && ur__is_code(tape, u))
                s->last_reader[s->where[u]] = i;
        }
    }
    for (uint32_t i = begin; i < end; i++)
        s->ended[s->last_reader[i]] += s->last_reader[i] > i;
}

/* Where a step begins in the row's second period: where the fewest values cross; of such places, one that is as far into
 * its period as the searched part's begin, which may be the first step's; or one whose node reads x alone. */
static uint32_t beginning(search *s, const row *w, uint32_t begin)
{
    uint32_t P = w->period, best = w->begin + P, fewest = UR_NONE, crossing = 0;
    find_readers(s, w->begin, w->end - w->begin < 3 * P ? w->end : w->begin + 3 * P);
    for (uint32_t c = w->begin + 1; c < w->begin + 2 * P; c++) {
        crossing += s->last_reader[c - 1] > c - 1;
        crossing -= s->ended[c - 1];
        uint32_t now = 4 * crossing + ((c - begin) % P == 0 ? 0u : 2u) + (reads_nothing_local(s, c) ? 0u : 1u);
        if (c >= w->begin + P && now < fewest) {
            fewest = now;
            best = c;
        }
    }
    return best;
}

/* Leaves in the row what became loops of its iterations, from `first` on. */
static void trim(const search *s, row *w, uint32_t first)
{
    const ur__roller *r = s->r;
    while (first < r->iterations && r->program->place[r->iteration[first].begin].line == UR_NONE)
        first++;
    size_t last = r->iterations;
    while (last > first && r->program->place[r->iteration[last - 1].begin].line == UR_NONE)
        last--;
    if (first == last)
        return;
    w->begin = s->where[r->iteration[first].begin];
    w->end = s->where[r->iteration[last - 1].end - 1] + 1;
}

/* Makes loops of a row, with the two steps before it, whose operands may still be others, and the one after it. Leaves
 * in the row what it took. */
static bool roll_row(search *s, row *w, uint32_t begin, uint32_t end)
{
    ur__roller *r = s->r;
    uint32_t first = (uint32_t)r->iterations, P = w->period, from = beginning(s, w, begin), to;
    while (from >= begin + P && from + P > w->begin)
        from -= P;
    int32_t step = 1;
    for (; from < w->end; from = to, step++) {
        to = from + P < end ? from + P : end;
        ur__iteration one = {
            .begin = s->list[from], .end = s->list[to - 1] + 1, .step = step, .nodes = to - from, .marked = false};
        if (!ur__add_iteration(r, one))
            return false;
    }
    if (!ur__roll_chain(r, first, (uint32_t)r->iterations))
        return false;
    trim(s, w, first);
    return true;
}

static bool roll_part(search *s, uint32_t begin, uint32_t end)
{
    row w;
    while (end - begin >= SHORTEST && find_row(s, begin, end, &w)) {
        if (!roll_row(s, &w, begin, end) || (w.begin > begin && !roll_part(s, begin, w.begin)))
            return false;
        begin = w.end;
    }
    return true;
}

/* ---- adjoints */

/* The iteration of a loop that v is the adjoint of a node of; UR_NONE: none. */
static uint32_t iteration_of(const ur__roller *r, uint32_t v)
{
    uint32_t o = r->origin[v], line = o == UR_NONE ? UR_NONE : r->program->place[o].line;
    return line == UR_NONE || r->program->line[line].loop == UR_NONE ? UR_NONE : r->program->place[o].value;
}

/* Makes loops of the iterations from `first` on. */
static bool roll_new(ur__roller *r, uint32_t *first)
{
    uint32_t begin = *first;
    *first = (uint32_t)r->iterations;
    return ur__roll_steps(r, begin);
}

/* Iterations of adjoints end where those of the nodes end that they belong to, and have their numbers for steps. Other
 * code between two of them ends a chain: the later one may need it, and it the earlier one. */
static bool roll_adjoints(search *s)
{
    ur__roller *r = s->r;
    uint32_t first = (uint32_t)r->iterations, last = UR_NONE;
    for (uint32_t i = 0, end; i < s->length; i = end) {
        uint32_t v = s->list[i], own = r->origin[v] == UR_NONE ? last : iteration_of(r, v);
        for (end = i + 1; end < s->length; end++)
            if (r->origin[s->list[end]] != UR_NONE && iteration_of(r, s->list[end]) != own)
                break;
        last = own;
        if (own == UR_NONE ? !roll_new(r, &first)
                           : !ur__add_iteration(r, (ur__iteration){.begin = v,
                                                                   .end = s->list[end - 1] + 1,
                                                                   .step = (int32_t)own,
                                                                   .nodes = end - i,
                                                                   .marked = false}))
            return false;
    }
    return roll_new(r, &first);
}

/* ---- runs */

static bool roll_run(search *s)
{
    if (s->length < SHORTEST)
        return true;
    bool adjoints = false;
    for (uint32_t i = 0; i < s->length && !adjoints; i++)
        adjoints = iteration_of(s->r, s->list[i]) != UR_NONE;
    if (adjoints)
        return roll_adjoints(s);
    s->slots = 64;
    while (s->slots < 2 * s->length)
        s->slots *= 2;
    find_looks(s);
    return roll_part(s, 0, (uint32_t)s->length);
}

static bool roll_runs(search *s)
{
    const ur_tape *tape = s->r->tape;
    size_t mark = 0;
    for (uint32_t v = 0; v < s->r->nodes; v++) {
        const bool code = ur__is_code(tape, v), step = ur__step(tape, v) != 0;
        bool ends = false;
        for (; mark < tape->marks && tape->mark[mark] <= v; mark++)
            ends = true;
        ends |= code && step;
        if (ends && !roll_run(s))
            return false;
        s->length = ends ? 0 : s->length;
        if (!code || step)
            continue;
        s->where[v] = (uint32_t)s->length;
        s->list[s->length++] = v;
    }
    return roll_run(s);
}

bool ur__roll_periods(ur__roller *r)
{
    size_t n = r->longest, slots = 64;
    if (n < SHORTEST)
        return true;
    while (slots < 2 * n)
        slots *= 2;
    size_t words = 6 * n + r->nodes + slots, bytes = n * sizeof(uint64_t) + words * sizeof(uint32_t);
    uint64_t *block = (uint64_t *)ur__take(r->tape, bytes);
    if (!block)
        return false;
    search s = {.r = r, .key = block, .list = (uint32_t *)(block + n), .effort = EFFORT * (uint64_t)r->nodes};
    s.look = s.list + n;
    s.count = s.look + n;
    s.next = s.count + n;
    s.last_reader = s.next + n;
    s.ended = s.last_reader + n;
    s.slot = s.ended + n;
    s.where = s.slot + slots;
    bool good = roll_runs(&s);
    ur__give(r->tape, block, bytes);
    return good;
}
