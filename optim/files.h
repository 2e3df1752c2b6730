/* files.h - what the readers and writers of files share. Not installed. */
#ifndef UR_FILES_H
#define UR_FILES_H

#include "../graph/support.h"
#include "optim.h"

/* ur__fail with `FILE: ` in front, unless `file` is NULL; of a long path the end, `.../FILE: `. */
bool ur__fail_in(ur_error *error, const char *file, const char *format, ...) UR_PRINTF(3, 4);

/* ---- arrays.c */

bool ur__array_type_find(const char *name, ur_array_type *type);
/* Of one element. */
int ur__array_type_bits(ur_array_type type);
bool ur__array_is_integer(const ur_array *array);
/* Element i of such an array. */
int64_t ur__array_integer(const ur_array *array, size_t i);
/* Is it of a type with numbers? */
bool ur__array_has_numbers(const ur_array *array, ur_error *error);
/* And are they finite? */
bool ur__array_is_finite(const ur_array *array, const char *path, ur_error *error);
/* ur_array_set for elements begin ... begin + n - 1. */
bool ur__array_set_part(ur_array *array, size_t begin, size_t n, const double *values, ur_error *error);
/* All elements in a tape's type. */
bool ur__array_convert(const ur_array *array, ur_dtype dtype, void *out, ur_error *error);
const char *ur__sizes_text(int rank, const int64_t *size, char text[UR_ARRAY_TEXT]);
/* Number of elements and bytes. False when they do not fit into a size_t, or the bits make no whole bytes. */
bool ur__array_bytes(ur_array_type type, int rank, const int64_t *size, size_t *count, size_t *bytes);
/* The file that the set was read from, or NULL; to be set before anything is added. */
const char *ur__arrays_file(const ur_arrays *set);
bool ur__arrays_set_file(ur_arrays *set, const char *path);
ur_allocator ur__arrays_allocator(const ur_arrays *set);
/* A copy of the text that lives as long as the set, or NULL. */
const char *ur__arrays_copy(ur_arrays *set, const char *text);
/* Length of the longest beginning that is UTF-8. */
size_t ur__utf8_length(const char *text, size_t bytes);

/* ---- bytes.c */

/* Opens a regular file for reading and tells its size. */
FILE *ur__open_file(const char *path, uint64_t *bytes, ur_error *error);
/* Reads exactly this many bytes. */
bool ur__read(FILE *stream, const char *path, void *out, size_t bytes, ur_error *error);
/* An array's elements, little-endian in the file. */
bool ur__read_array(FILE *stream, const char *path, ur_array *array, ur_error *error);
void ur__write_array(FILE *stream, const ur_array *array);
/* Little-endian numbers of 1 to 8 bytes. */
uint64_t ur__little(const unsigned char *from, int bytes);
void ur__put_little(unsigned char *to, int bytes, uint64_t value);

/* ---- model.c */

/* A vector in the layout and type of the tape's parameters: each parameter's piece is the array `prefix` NAME. */
bool ur__vector_to_arrays(ur_tape *tape, const char *prefix, const void *vector, ur_arrays *set, ur_error *error);
bool ur__vector_from_arrays(ur_tape *tape, const char *prefix, void *vector, const ur_arrays *set, const char *path,
                            ur_error *error);
/* Are these arrays all there and of the right shapes? Reading them cannot fail then. */
bool ur__vector_fits(ur_tape *tape, const char *prefix, const ur_arrays *set, const char *path, ur_error *error);
/* The same for the running averages, `prefix` average.NAME: in a vector, one after another, each of so many bytes; NULL:
 * where the network has them. */
size_t ur__average_bytes(const ur_net *net);
bool ur__averages_to_arrays(const ur_net *net, const char *prefix, const void *vector, ur_arrays *set, ur_error *error);
bool ur__averages_from_arrays(const ur_net *net, const char *prefix, void *vector, const ur_arrays *set,
                              const char *path, ur_error *error);
bool ur__averages_fit(const ur_net *net, const char *prefix, const ur_arrays *set, const char *path, ur_error *error);
/* All that ur_net_from_arrays reads. */
bool ur__net_fits_arrays(const ur_net *net, const ur_arrays *set, const char *path, ur_error *error);
/* The metadata and parameters of a model. */
bool ur__model_to_arrays(const ur_net *net, const ur_model *model, ur_arrays *set, ur_error *error);
bool ur__set_number(ur_arrays *set, const char *key, uint64_t number, ur_error *error);
bool ur__set_real(ur_arrays *set, const char *key, double value, ur_error *error);
extern const char *const ur__no_yes[];

/* Which numbers an option may be: any, finite ones from 0, or those from 0 to below 1. */
typedef enum ur__limits { UR__ANY, UR__FROM_0, UR__BELOW_1 } ur__limits;
/* What was expected in place of the number; NULL: it is one of them. */
const char *ur__expected(ur__limits limits, double number);

/* Reads the metadata; after the first error, which names `path` and the key, results mean nothing. */
typedef struct ur__reader {
    const ur_arrays *set;
    const char *path;
    ur_error *error;
    bool failed;
} ur__reader;

const char *ur__read_text(ur__reader *r, const char *key);
int64_t ur__read_number(ur__reader *r, const char *key, int64_t least);
double ur__read_real(ur__reader *r, const char *key, ur__limits limits);
uint64_t ur__read_seed(ur__reader *r, const char *key);
unsigned ur__read_choice(ur__reader *r, const char *key, const char *const *choices);

#endif
