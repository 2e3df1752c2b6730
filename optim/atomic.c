/* atomic.c - files that are written whole or not at all: a temporary file in the same folder, fsync, rename. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

struct ur_file {
    ur_allocator allocator;
    ur__arena arena;
    FILE *stream;
    const char *path;      /* as the caller wrote it, for errors */
    const char *target;    /* the file that is replaced or made: where `path` leads to by symbolic links */
    const char *temporary; /* NULL when `path` is written to directly */
};

static bool fail(ur_error *error, const char *path)
{
    const char *reason = errno == ENOENT ? "the folder does not exist" : errno ? strerror(errno) : "write error";
    return ur__fail_in(error, path, "cannot be written: %s", reason);
}

static void free_file(ur_file *file)
{
    ur_allocator a = file->allocator;
    if (file->stream)
        fclose(file->stream);
    ur__arena_free(&file->arena, &a);
    ur__free(&a, file, sizeof *file);
}

/* An unused name beside the target; open's mode lets the umask decide, as for any new file. */
static int open_temporary(ur_file *file)
{
    size_t bytes = strlen(file->target) + 64;
    char *name = (char *)ur__arena_new(&file->arena, &file->allocator, bytes);
    if (!name) {
        errno = ENOMEM;
        return -1;
    }
    for (int k = 0; k < 1000; k++) {
        snprintf(name, bytes, "%s.%ld-%d.tmp", file->target, (long)getpid(), k);
        int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (descriptor >= 0)
            file->temporary = name;
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

/* Where a symbolic link leads to: its text, from the link's own folder on. NULL for what is no link, or with ENOMEM. */
static const char *next_of(ur_file *file, const char *path)
{
    char to[PATH_MAX];
    ssize_t length = readlink(path, to, sizeof to);
    if (length < 0)
        return NULL;
    const char *slash = strrchr(path, '/');
    int folder = slash && to[0] != '/' ? (int)(slash - path) + 1 : 0;
    size_t bytes = (size_t)folder + (size_t)length + 1;
    char *next = (char *)ur__arena_new(&file->arena, &file->allocator, bytes);
    if (!next) {
        errno = ENOMEM;
        return NULL;
    }
    snprintf(next, bytes, "%.*s%.*s", folder, path, (int)length, to);
    return next;
}

static int open_target(ur_file *file)
{
    struct stat status;
    bool exists = stat(file->path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode))
        return open(file->path, O_WRONLY);
    if (!exists && errno != ENOENT)
        return -1;
    file->target = file->path;
    for (const char *next; (next = next_of(file, file->target));)
        file->target = next;
    int descriptor = errno == ENOMEM ? -1 : open_temporary(file);
    if (descriptor >= 0 && exists)
        fchmod(descriptor, status.st_mode & 0777);
    return descriptor;
}

static bool open_stream(ur_file *file)
{
    file->path = ur__arena_text(&file->arena, &file->allocator, file->path);
    if (!file->path) {
        errno = ENOMEM;
        return false;
    }
    int descriptor = open_target(file);
    if (descriptor < 0)
        return false;
    file->stream = fdopen(descriptor, "wb");
    if (!file->stream)
        close(descriptor);
    return file->stream != NULL;
}

ur_file *ur_file_create(const char *path, const ur_allocator *allocator, ur_error *error)
{
    ur_allocator a = ur__allocator(allocator);
    if (!path) {
        ur__fail(error, "the path of a file to write was expected, there is none");
        return NULL;
    }
    ur_file *file = (ur_file *)ur__new(&a, sizeof *file);
    if (!file) {
        errno = ENOMEM;
        fail(error, path);
        return NULL;
    }
    *file = (ur_file){.allocator = a, .path = path};
    if (!open_stream(file)) {
        fail(error, path);
        ur_file_abandon(file);
        return NULL;
    }
    return file;
}

FILE *ur_file_stream(ur_file *file)
{
    return file ? file->stream : NULL;
}

/* Pipes and devices have nothing to sync. */
static bool flush(ur_file *file)
{
    return fflush(file->stream) == 0 && !ferror(file->stream) && (!file->temporary || fsync(fileno(file->stream)) == 0);
}

/* When the caller's writes have failed, errno still tells why, and flushing what is left may not. */
static bool finish(ur_file *file)
{
    int reason = ferror(file->stream) ? errno : 0;
    errno = 0;
    bool flushed = flush(file);
    if (!reason)
        reason = errno;
    bool closed = fclose(file->stream) == 0;
    file->stream = NULL;
    if (!flushed)
        errno = reason;
    return flushed && closed && (!file->temporary || rename(file->temporary, file->target) == 0);
}

bool ur_file_commit(ur_file *file, ur_error *error)
{
    if (!file)
        return false;
    if (!finish(file)) {
        fail(error, file->path);
        ur_file_abandon(file);
        return false;
    }
    free_file(file);
    return true;
}

void ur_file_abandon(ur_file *file)
{
    if (!file)
        return;
    if (file->temporary)
        unlink(file->temporary);
    free_file(file);
}
