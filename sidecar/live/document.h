/* document: the file that a process was given, and how it changes.
 *
 *   FILE                          the document; in a pod DIR/pipeline.json, with beside it, while
 *   DIR/candidate.json            a change is rolled out, the document to come
 *   DIR/percent                   and how many of a hundred pods take it
 *
 *   FILE, candidate, percent --pick by the pod's name--> text --read, check--> struct pipeline
 *
 * A pod takes the candidate if its name says so (pipeline_takes_candidate()). Outside Kubernetes
 * there is only FILE.
 *
 * Files are looked at by stat(): what they are is read again only if one looks different. An editor
 * that writes in place may be caught half-way; that document is refused, and the next look finds
 * the rest.
 *
 * Thread: the main one.
 */
#ifndef SIDECAR_LIVE_DOCUMENT_H
#define SIDECAR_LIVE_DOCUMENT_H

#include "common/attr.h"
#include "common/contract/pipeline.h"

#include <stdbool.h>

struct document;

/* `pod` is the pod's name; NULL: there is no candidate for this process. Both are copied.
 * ERR_NOMEM.
 */
NODISCARD enum err document_open(const char *file, const char *pod, struct document **ret_document,
                                 struct error *error);
void document_close(struct document **document);

/* True: something looks different since the last document_read(), or it has not been called. */
bool document_has_changed(const struct document *document);

/* Reads what this process is to take. `candidate` tells which of the two it was, also on failure.
 * Errors and `faults` as of pipeline_load(). */
NODISCARD enum err document_read(struct document *document, struct pipeline **ret_pipeline,
                                 bool *ret_candidate, struct faults *faults, struct error *error);

/* Reads FILE, candidate or not: what goes on when the candidate can't. */
NODISCARD enum err document_read_current(struct document *document, struct pipeline **ret_pipeline,
                                         struct faults *faults, struct error *error);

#endif
