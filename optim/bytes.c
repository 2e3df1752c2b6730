/* bytes.c - the bytes of files: opened and read exactly, numbers little-endian whatever the host is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

/* A path leaves this much room for what is wrong with its file. */
enum { PATH_SHOWN = UR_ERROR_BYTES / 2 };

/* Where the end of a longer path begins, at a folder if one begins there. */
static const char *end_of(const char *path)
{
    size_t length = strlen(path);
    const char *end = length > PATH_SHOWN ? path + length - PATH_SHOWN : path;
    const char *folder = end > path ? strchr(end, '/') : NULL;
    return folder ? folder : end;
}

bool ur__fail_in(ur_error *error, const char *file, const char *format, ...)
{
    ur_error message = {{0}};
    const char *end = file ? end_of(file) : "";
    va_list list;
    va_start(list, format);
    ur__fail_list(&message, format, list);
    va_end(list);
    return ur__fail(error, "%s%s%s%s", file && end > file ? "..." : "", end, file ? ": " : "", message.text);
}

/* ---- reading */

/* Not blocking: otherwise a pipe that nobody writes to would hold it up for ever. */
FILE *ur__open_file(const char *path, uint64_t *bytes, ur_error *error)
{
    if (!path) {
        ur__fail(error, "the path of a file to read was expected, there is none");
        return NULL;
    }
    int descriptor = open(path, O_RDONLY | O_NONBLOCK);
    FILE *stream = descriptor >= 0 ? fdopen(descriptor, "rb") : NULL;
    struct stat status;
    if (!stream || fstat(descriptor, &status) != 0)
        ur__fail_in(error, path, "cannot be read: %s", strerror(errno));
    else if (S_ISDIR(status.st_mode))
        ur__fail_in(error, path, "is a directory, expected a file");
    else if (!S_ISREG(status.st_mode))
        ur__fail_in(error, path, "is a device or pipe, expected a regular file");
    else {
        *bytes = (uint64_t)status.st_size;
        return stream;
    }
    if (stream)
        fclose(stream);
    else if (descriptor >= 0)
        close(descriptor);
    return NULL;
}

bool ur__read(FILE *stream, const char *path, void *out, size_t bytes, ur_error *error)
{
    size_t got = bytes ? fread(out, 1, bytes, stream) : 0;
    if (got == bytes)
        return true;
    if (ferror(stream))
        return ur__fail_in(error, path, "cannot be read: %s", strerror(errno));
    return ur__fail_in(error, path, "ends %zu bytes too early", bytes - got);
}

/* ---- little-endian numbers */

uint64_t ur__little(const unsigned char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

void ur__put_little(unsigned char *to, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

/* ---- arrays of them: only those with numbers are converted */

static bool host_is_little(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static int number_bytes(const ur_array *array)
{
    return array->type <= UR_ARRAY_I64 && !host_is_little() ? ur__array_type_bits(array->type) / 8 : 1;
}

static void reverse(unsigned char *number, int bytes)
{
    for (int i = 0; i < bytes / 2; i++) {
        unsigned char c = number[i];
        number[i] = number[bytes - 1 - i];
        number[bytes - 1 - i] = c;
    }
}

bool ur__read_array(FILE *stream, const char *path, ur_array *array, ur_error *error)
{
    if (!ur__read(stream, path, array->data, array->bytes, error))
        return false;
    int width = number_bytes(array);
    for (size_t i = 0; width > 1 && i < array->count; i++)
        reverse((unsigned char *)array->data + i * (size_t)width, width);
    return true;
}

void ur__write_array(FILE *stream, const ur_array *array)
{
    int width = number_bytes(array);
    if (width == 1)
        fwrite(array->data, 1, array->bytes, stream);
    for (size_t i = 0; width > 1 && i < array->count; i++) {
        unsigned char number[8];
        memcpy(number, (const unsigned char *)array->data + i * (size_t)width, (size_t)width);
        reverse(number, width);
        fwrite(number, 1, (size_t)width, stream);
    }
}
