/* freeze.c - parameters that training leaves as they are, by their names: `Wi,bh`, or `layer0.` for a module. */
#include <string.h>

#include "train.h"

/* The next name of the list, `length` characters from *text on, which moves past it. False at the end. */
static bool next_name(const char **text, const char **name, size_t *length)
{
    if (!*text || !**text)
        return false;
    *name = *text;
    *length = strcspn(*text, ",");
    *text += *length + ((*text)[*length] == ',');
    return true;
}

static bool means(const char *name, size_t length, const char *parameter)
{
    bool module = length > 0 && name[length - 1] == '.';
    return strncmp(parameter, name, length) == 0 && (module || !parameter[length]);
}

bool ur__frozen(const char *freeze, const char *parameter)
{
    const char *name;
    size_t length;
    while (next_name(&freeze, &name, &length))
        if (means(name, length, parameter))
            return true;
    return false;
}

/* ---- names that mean nothing */

/* Lists the parameters that are as near to the name as any. */
static void fail_unknown(ur_tape *tape, const char *name, size_t length)
{
    char near[256] = "";
    const char *found;
    size_t nearest = SIZE_MAX;
    ur__text out = {.text = near, .bytes = sizeof near};
    for (size_t k = 0; ur_param_at(tape, k, NULL, &found, NULL); k++) {
        size_t edits = ur__edits(name, length, found);
        nearest = edits < nearest ? edits : nearest;
    }
    for (size_t k = 0; ur_param_at(tape, k, NULL, &found, NULL); k++)
        if (ur__edits(name, length, found) == nearest)
            ur__print(&out, "%s%s", out.length ? ", " : "", found);
    ur_tape_fail(tape, "freeze: no parameter has the name '%.*s', near it %s",
                 (int)(length < UR__EDITED ? length : UR__EDITED), name, near);
}

bool ur__freeze_check(ur_tape *tape, const char *freeze)
{
    const char *name, *parameter;
    size_t length;
    while (next_name(&freeze, &name, &length)) {
        bool known = false;
        for (size_t k = 0; !known && ur_param_at(tape, k, NULL, &parameter, NULL); k++)
            known = means(name, length, parameter);
        if (!known) {
            fail_unknown(tape, name, length);
            return false;
        }
    }
    return true;
}
