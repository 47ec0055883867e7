/* bench_tail: what following files costs: CPU seconds for a million CRI lines, read, cut into
 * records with the metadata of their path, and synced into the spool, all threads counted.
 *
 *   bench_tail [lines in millions, 2] [bytes of a line, 239] [files, 10]
 */
// link: tests/support/tailing.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/lines/multiline.h"
#include "tests/support/tailing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char *const everything[] = {"*"};

static double cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void write_file(const struct tailing *tailing, unsigned number, unsigned long lines,
                       unsigned line_bytes)
{
    char path[256], command[300];

    snprintf(path, sizeof path, "%s/shop_web-%u_11111111-2222-3333-4444-555555555555/app",
             tailing->logs, number);
    snprintf(command, sizeof command, "mkdir -p %s", path);
    if (system(command) != 0)
        abort();
    strncat(path, "/0.log", sizeof path - strlen(path) - 1);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        abort();
    int padding = (int)line_bytes - 60;
    for (unsigned long i = 0; i < lines; i++)
        fprintf(file, "2026-02-05T10:00:00.%09luZ stdout F line %010lu %0*d\n", i % 1000000000, i,
                padding > 0 ? padding : 1, 0);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct tailing tailing;
    double millions = argc > 1 ? strtod(argv[1], NULL) : 2;
    unsigned line_bytes = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 239;
    unsigned files = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 10;
    unsigned long each = (unsigned long)(millions * 1e6) / files;
    struct tail_state state;

    tailing_begin(&tailing);
    tailing.spool_bytes = UINT64_C(4) << 30;
    tailing.source.root = tailing.logs;
    tailing.source.namespaces = tailing.source.pods = everything;
    tailing.source.namespace_count = tailing.source.pod_count = 1;
    tailing.source.format = LINES_CRI;
    tailing.source.line_max = 256 << 10;
    tailing.source.rules = MULTILINE_JAVA | MULTILINE_PYTHON | MULTILINE_GO;
    for (unsigned i = 0; i < files; i++)
        write_file(&tailing, i, each, line_bytes);
    tailing_open(&tailing);
    double before = cpu_s();
    uint64_t start = clock_mono_ns();
    while (tail_records(tailing.tail) < each * files || !tail_is_stored(tailing.tail))
        tail_turn(tailing.tail, 20);
    double used = cpu_s() - before, took = (double)(clock_mono_ns() - start) / 1e9;
    double done = (double)(each * files) / 1e6;
    tail_state(tailing.tail, &state);
    printf("%.1f M lines of %u bytes in %u files: %.2f CPU-s per million, %.0f MB/s, %llu loads\n",
           done, line_bytes, files, used / done, (double)state.sources[0].bytes / 1e6 / took,
           (unsigned long long)state.loads);
    tailing_end(&tailing);
    return 0;
}
