/* script_export: a backend that takes requests and answers when and what the test says. Linked in
 * place of sidecar/export/export.c. One exporter at a time.
 */
#ifndef TESTS_SUPPORT_SCRIPT_EXPORT_H
#define TESTS_SUPPORT_SCRIPT_EXPORT_H

#include "sidecar/export/export.h"

#define SCRIPT_EXPORT_MAX 64 /* under way */

/* A new exporter; what an earlier one had under way is forgotten. */
struct export *script_export_new(void);

/* Requests sent and not answered, oldest first. */
unsigned script_export_pending(void);
const struct export_batch *script_export_at(unsigned index);

/* Answers the request at `index` and takes it out. */
void script_export_answer(unsigned index, const struct judgement *judgement);

/* The next sends fail with `err`, until it is OK again. */
void script_export_refuse(enum err err);

#endif
