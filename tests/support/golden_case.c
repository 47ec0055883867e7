#include "tests/support/golden_case.h"

#include "common/yaml.h"
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (4u << 20)

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t golden_case_each(const char *dir, golden_case_fn *check)
{
    char *names[256];
    size_t count = 0;
    DIR *handle = opendir(dir);

    assert_non_null(handle);
    for (struct dirent *entry = readdir(handle); entry != NULL; entry = readdir(handle)) {
        if (entry->d_name[0] == '.')
            continue;
        assert_true(count < sizeof names / sizeof names[0]);
        names[count++] = strdup(entry->d_name);
    }
    closedir(handle);
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        check(path);
        free(names[i]);
    }
    return count;
}

static void read_text(const char *folder, const char *name, struct buf *into)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!golden_read(path, into))
        fail_msg("%s can't be read; SURGETANK_GOLDEN=write makes it", path);
}

struct json *golden_case_read(const char *folder, const char *name)
{
    AUTO(buf_fini) struct buf text = {0};
    AUTO(json_free) struct json *documents = NULL;
    struct error error = {0};

    read_text(folder, name, &text);
    if (yaml_parse(buf_bytes(&text), TEXT_MAX, &documents, &error))
        fail_msg("%s/%s: %s", folder, name, error.text);
    assert_int_equal(json_size(documents), 1);
    return json_clone(json_first(documents));
}

/* The number of the first line in which the two differ, and what each has there. */
static void fail_at_difference(const char *folder, const char *name, const char *want,
                               const char *got)
{
    unsigned line = 1;
    const char *want_line = want, *got_line = got;

    for (; *want != '\0' && *want == *got; want++, got++) {
        if (*want == '\n') {
            line++;
            want_line = want + 1;
            got_line = got + 1;
        }
    }
    fail_msg("%s/%s:%u\n  want %.*s\n  got  %.*s\nSURGETANK_GOLDEN=write takes over what came out",
             folder, name, line, (int)strcspn(want_line, "\n"), want_line,
             (int)strcspn(got_line, "\n"), got_line);
}

void golden_case_compare(const char *folder, const char *name, const struct json *got)
{
    AUTO(buf_fini) struct buf text = {0}, want = {0};
    char path[1024];

    assert_ok(json_print_pretty(got, &text));
    assert_ok(buf_append_text(&text, "\n"));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (golden_write(path, buf_text(&text)))
        return;
    read_text(folder, name, &want);
    if (strcmp(buf_text(&want), buf_text(&text)) != 0)
        fail_at_difference(folder, name, buf_text(&want), buf_text(&text));
}
