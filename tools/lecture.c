/* lecture.c - `unroll lecture`: what the lecture prints, what is derived, and how far they are apart. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lecture.h"

/* A right formula agrees to TOLERANCE; a misprint is off by more than VISIBLE. */
static const double TOLERANCE = 1e-12, VISIBLE = 1e-3;

/* ---- rows */

lecture_row *lecture_add(lecture_report *r, lecture_verdict verdict, const char *name, const char *place,
                         const char *printed, const char *derived, ...)
{
    lecture_row *row = &r->row[r->count < LECTURE_ROWS - 1 ? r->count++ : r->count];
    *row = (lecture_row){.verdict = verdict,
                         .name = name,
                         .place = place,
                         .printed = printed,
                         .printed_apart = NAN,
                         .derived_apart = NAN};
    va_list list;
    va_start(list, derived);
    vsnprintf(row->derived, sizeof row->derived, derived, list);
    va_end(list);
    return row;
}

double lecture_apart(size_t n, const double *a, const double *b)
{
    double difference = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        difference = fmax(difference, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    return difference == 0 ? 0 : difference / largest;
}

bool lecture_good(ur_tape *tape)
{
    const char *error = tape ? ur_tape_error(tape) : "lecture: no memory";
    if (error)
        complain("%s", error);
    return !error;
}

/* A number that is not there hides nothing: a sentence without one is a fact of print, not a formula. */
static bool holds(const lecture_row *row)
{
    bool derived = isnan(row->derived_apart) || row->derived_apart <= TOLERANCE;
    switch (row->verdict) {
    case RIGHT:
        return row->printed_apart <= TOLERANCE;
    case MISPRINT:
        return derived && (isnan(row->printed_apart) || row->printed_apart > VISIBLE);
    case MISSING:
        return row->derived_apart <= TOLERANCE;
    case CLAIM:
        break;
    }
    return !row->refuted;
}

static const char *verdict_text(lecture_verdict verdict)
{
    static const char *const names[] = {"right", "misprint", "missing", "claim"};
    return names[verdict];
}

/* ---- text */

enum { HANGING = 10, INDENT = 22, RIGHT_EDGE = 116 };

/* Columns that the bytes of a word in UTF-8 take. */
static int width_of(const char *word, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += (word[i] & 0xC0) != 0x80;
    return width;
}

/* Prints words after a margin of INDENT columns. */
static void print_wrapped(const char *label, const char *text)
{
    int column = printf("%*s%-*s", HANGING, "", INDENT - HANGING, label);
    for (const char *word = text; *word; word += strspn(word, " ")) {
        size_t bytes = strcspn(word, " ");
        int width = width_of(word, bytes);
        if (column > INDENT && column + 1 + width > RIGHT_EDGE)
            column = printf("\n%*s", INDENT, "") - 1;
        else if (column > INDENT)
            column += printf(" ");
        printf("%.*s", (int)bytes, word);
        column += width;
        word += bytes;
    }
    putchar('\n');
}

static void print_differences(const lecture_row *row)
{
    bool printed = !isnan(row->printed_apart), derived = !isnan(row->derived_apart);
    if (!printed && !derived)
        return;
    printf("%*s%-*s", HANGING, "", INDENT - HANGING, "difference");
    if (printed)
        printf("%.2g%s", row->printed_apart, row->verdict == RIGHT ? "" : " of the print");
    if (derived)
        printf("%s%.2g of what is derived", printed ? ", " : "", row->derived_apart);
    putchar('\n');
}

static void print_text_row(const lecture_row *row)
{
    printf("%-9s %s\n", verdict_text(row->verdict), row->name);
    print_wrapped("slide", row->place);
    if (*row->printed)
        print_wrapped("printed", row->printed);
    print_wrapped(row->verdict == CLAIM ? "found" : "derived", row->derived);
    print_differences(row);
    if (!holds(row))
        printf("%*sFAILS\n", HANGING, "");
    putchar('\n');
}

/* ---- markdown */

static void print_cell(const char *text)
{
    fputs("| ", stdout);
    for (; *text; text++)
        if (*text == '|' || *text == '<' || *text == '*')
            printf("\\%c", *text);
        else
            putchar(*text);
    putchar(' ');
}

static void print_number(double value)
{
    if (isnan(value))
        fputs("| – ", stdout);
    else
        printf("| %.2g ", value);
}

static void print_markdown_row(const lecture_row *row)
{
    printf("| %s%s ", verdict_text(row->verdict), holds(row) ? "" : ", FAILS");
    print_cell(row->name);
    print_cell(row->place);
    print_cell(*row->printed ? row->printed : "–");
    print_cell(row->derived);
    print_number(row->printed_apart);
    print_number(row->derived_apart);
    puts("|");
}

static void print_markdown_head(void)
{
    puts("# The lecture, checked\n");
    puts("Differences are the largest of all steps, units and sequences, relative to the largest element of the "
         "step.\n");
    puts("| verdict | name | slide | as printed | as derived, or found | difference of the print | of the derived |");
    puts("| --- | --- | --- | --- | --- | --- | --- |");
}

/* ---- the command */

static int report(const lecture_report *r, int64_t format)
{
    size_t count[4] = {0}, failed = 0;
    if (format == FORMAT_MARKDOWN)
        print_markdown_head();
    for (size_t i = 0; i < r->count; i++) {
        const lecture_row *row = &r->row[i];
        if (format == FORMAT_MARKDOWN)
            print_markdown_row(row);
        else
            print_text_row(row);
        count[row->verdict]++;
        failed += !holds(row);
    }
    printf("%s%zu right, %zu misprints, %zu missing, %zu claims; ", format == FORMAT_MARKDOWN ? "\n" : "", count[RIGHT],
           count[MISPRINT], count[MISSING], count[CLAIM]);
    printf(failed ? "%zu of %zu rows FAIL\n" : "every row holds\n", failed, r->count);
    return failed ? CHECK_FAILED : DONE;
}

static bool fill_report(lecture_report *r, const options *o)
{
    if (o->experiments)
        return lecture_reber(r) && lecture_sine(r, o->output) && lecture_long_range(r, o->output) &&
               lecture_depth(r, o->output);
    if (!lecture_forward(r) || !lecture_deltas(r) || !lecture_zeros(r) || !lecture_grammar(r) || !lecture_radius(r))
        return false;
    lecture_numbers(r);
    return lecture_remedies(r);
}

static int lecture(const options *o)
{
    if (o->output && !o->experiments)
        return complain("--output: the diagrams belong to --experiments");
    lecture_report *r = (lecture_report *)calloc(1, sizeof *r);
    if (!r)
        return complain("lecture: no memory");
    int status = fill_report(r, o) ? report(r, o->format) : BAD_INPUT;
    free(r);
    return status;
}

const command command_lecture = {
    .name = "lecture",
    .bit = LECTURE,
    .arguments = "",
    .summary = "checks the formulas and the claims of the lecture",
    .text = "Each formula as printed and as derived, with the largest relative difference from what autodiff gives:\n"
            "right, misprint, missing in the print, or a claim in words with what was found. Status 1 when a right\n"
            "formula is off by more than 1e-12 or a misprint agrees. --experiments trains and measures instead, some\n"
            "seconds long; with -o it draws its diagrams.",
    .example = "unroll lecture --experiments --format markdown -o diagrams",
    .run = lecture,
};
