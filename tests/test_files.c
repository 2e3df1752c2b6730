/* test_files.c - files are written whole or not at all: what stands there until the commit, behind links, and after
 * each way to fail. */
#include <sys/stat.h>

#include "file_bytes.h"

START_TEST(file_replaced_at_commit)
{
    put_bytes("old", 3);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new and longer");
    fflush(ur_file_stream(file));
    check_bytes("old", 3);
    ck_assert(ur_file_commit(file, NULL));
    check_bytes("new and longer", 14);
    struct stat status;
    ck_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640);
}
END_TEST

START_TEST(file_abandoned)
{
    put_bytes("old", 3);
    ur_file *file = ur_file_create(path, NULL, NULL), *second = ur_file_create(path, NULL, NULL);
    ck_assert(file && second);
    fprintf(ur_file_stream(file), "%s", "new");
    ur_file_abandon(file);
    ur_file_abandon(second);
    ur_file_abandon(NULL);
    check_bytes("old", 3);
    ck_assert(!ur_file_stream(NULL) && !ur_file_commit(NULL, NULL));
}
END_TEST

/* Writes a file through a link to a link; both stay links. */
static void write_through(const char *link, const char *other)
{
    struct stat status;
    ur_file *file = ur_file_create(link, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new");
    ck_assert(ur_file_commit(file, NULL));
    check_bytes("new", 3);
    ck_assert(lstat(link, &status) == 0 && S_ISLNK(status.st_mode));
    ck_assert(lstat(other, &status) == 0 && S_ISLNK(status.st_mode));
}

/* The file that symbolic links name is replaced, or made, not the link. */
START_TEST(file_behind_a_link)
{
    char link[128], other[128];
    ur_error error = {{0}};
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    put_bytes("old", 3);
    ck_assert(symlink(path, other) == 0 && symlink("other", link) == 0);
    write_through(link, other);
    ck_assert_int_eq(unlink(path), 0);
    write_through(link, other);
    ck_assert(unlink(other) == 0 && symlink("link", other) == 0); /* round and round */
    ck_assert_ptr_null(ur_file_create(link, NULL, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "link: cannot be written"));
    unlink(link);
    unlink(other);
}
END_TEST

static void check_not_written(const char *to, const char *reason)
{
    char expected[256];
    ur_error error = {{0}};
    ur_arrays *set = golden_set();
    snprintf(expected, sizeof expected, "%s: cannot be written: %s", to, reason);
    ck_assert(!ur_arrays_save(set, to, &error));
    ck_assert_str_eq(error.text, expected);
    error.text[0] = 0;
    ck_assert(!ur_npy_save(ur_arrays_find(set, "Wh"), to, &error));
    ck_assert_str_eq(error.text, expected);
    ur_arrays_free(set);
}

/* More than a stream's buffer holds: the write fails before the commit. */
static void check_full_device(void)
{
    static const char zeros[1 << 16];
    ur_error error = {{0}};
    ur_file *file = ur_file_create("/dev/full", NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fwrite(zeros, 1, sizeof zeros, ur_file_stream(file));
    ck_assert(!ur_file_commit(file, &error));
    ck_assert_str_eq(error.text, "/dev/full: cannot be written: No space left on device");
}

START_TEST(failed_write)
{
    char below[192];
    put_bytes("old", 3);
    snprintf(below, sizeof below, "%s/below", path);
    check_not_written(below, "Not a directory");
    snprintf(below, sizeof below, "%s/none/file", folder);
    check_not_written(below, "the folder does not exist");
    check_not_written(folder, "Is a directory");
    if (access("/dev/full", W_OK) == 0) {
        check_not_written("/dev/full", "No space left on device");
        check_full_device();
    }
    check_bytes("old", 3);
}
END_TEST

/* Something that cannot be replaced came in the way after the file was begun: the temporary file goes. */
START_TEST(failed_rename)
{
    ur_error error = {{0}};
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!ur_file_commit(file, &error));
    check_error(&error, "cannot be written: Is a directory");
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* A stream whose descriptor does not take what is written, as on a full disk. */
START_TEST(failed_flush)
{
    ur_error error = {{0}};
    put_bytes("old", 3);
    ur_file *file = ur_file_create(path, NULL, NULL);
    ck_assert_ptr_nonnull(file);
    fprintf(ur_file_stream(file), "%s", "new");
    FILE *readable = fopen(path, "rb");
    ck_assert_ptr_nonnull(readable);
    ck_assert_int_ge(dup2(fileno(readable), fileno(ur_file_stream(file))), 0);
    ck_assert(!ur_file_commit(file, &error));
    check_error(&error, "cannot be written: Bad file descriptor");
    fclose(readable);
    check_bytes("old", 3);
}
END_TEST

int main(void)
{
    TCase *cases = cases_in_folder("files");
    tcase_add_test(cases, file_replaced_at_commit);
    tcase_add_test(cases, file_abandoned);
    tcase_add_test(cases, file_behind_a_link);
    tcase_add_test(cases, failed_write);
    tcase_add_test(cases, failed_rename);
    tcase_add_test(cases, failed_flush);
    return run_cases(suite_create("files"), cases);
}
