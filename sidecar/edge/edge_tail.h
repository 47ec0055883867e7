/* edge_tail: log files as an input of the edge: the document's words in, tail's life, metrics and
 * state out.
 *
 *   containerLogs, files --> struct tail_source --> tail (its own thread) --> spool, lane logs
 *
 * Thread: the main thread; edge_tail_refresh() and edge_tail_put() the HTTP server's.
 */
#ifndef SIDECAR_EDGE_EDGE_TAIL_H
#define SIDECAR_EDGE_EDGE_TAIL_H

#include "common/arena.h"
#include "common/contract/pipeline.h"
#include "common/error.h"

struct edge_tail;
struct json;
struct pods;
struct refine;
struct spool;
struct stamp;

/* Loans for its life. */
struct edge_tail_options {
    const struct pipeline_edge *edge;
    const struct stamp *stamp; /* for what comes from this node */
    struct refine *refine;     /* of its own: processors and routes */
    struct pods *pods;         /* NULL: paths alone tell whose a log is */
    struct spool *spool;
    void (*stored)(void *context); /* on the committer's thread; NULL: nobody asks */
    void *context;
};

/* NULL, and OK, where the edge follows no files. */
NODISCARD enum err edge_tail_open(const struct edge_tail_options *options,
                                  struct edge_tail **ret_tail, struct error *error);

/* From now on lines are stamped and refined so; those before are not used any more. NULL is fine.
 */
void edge_tail_change(struct edge_tail *tail, const struct stamp *stamp, struct refine *refine);

/* What was read is stored within `grace_ms`, if the spool takes it. NULL is fine, again is fine. */
void edge_tail_stop(struct edge_tail *tail, uint32_t grace_ms);

/* Whether the spool still has something of it. NULL is fine. */
bool edge_tail_in_spool(const struct edge_tail *tail);

/* After the spool was closed. */
void edge_tail_close(struct edge_tail **tail);

/* Sets the metrics; NULL is fine. */
void edge_tail_refresh(struct edge_tail *tail);

/* "tail": {"paused":false,"trouble":"","filesOpen":N,"loads":N,"refusedLoads":N,
 *   "leftOutRecords":N,"sources":[
 *     {"name":"containerLogs","oldestUnreadMs":N,"files":N,"bytes":N,"records":N,"unreadBytes":N,
 *      "lostBytes":N,"lostFiles":N,"truncations":N,"refusedFiles":N,"readErrors":N,
 *      "lines":N,"emptyLines":N,"joinedLines":N,"passedLines":N,"groupedRecords":N,
 *      "multilineGaveUp":N,"invalidLines":N,"cutLines":N,"longLines":N}]}
 * Nothing for NULL. */
void edge_tail_put(struct edge_tail *tail, struct json *root);

/* Calls `visit` with each directory below which files are to be read. */
typedef void edge_tail_visit_dir(void *context, const char *dir);
void edge_tail_dirs(const struct pipeline_edge *edge, edge_tail_visit_dir *visit, void *context);

#endif
