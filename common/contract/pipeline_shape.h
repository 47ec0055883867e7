/* pipeline_shape: the tables behind pipeline_read() and pipeline_to_json(). Private to contract/
 * and its tests, one of which holds them against the schema in crds/.
 */
#ifndef COMMON_CONTRACT_PIPELINE_SHAPE_H
#define COMMON_CONTRACT_PIPELINE_SHAPE_H

#include "common/contract/field.h"

extern const struct shape shape_document; /* into struct pipeline; apiVersion and kind beside it */
extern const struct shape shape_spec;
extern const struct shape shape_kafka;
extern const struct shape shape_topic;
extern const struct shape shape_edge;
extern const struct shape shape_gateway;
extern const struct shape shape_pod;

/* ---- the steps of pipeline_read() behind the reading itself */

/* Fills in what depends on a mode, a signal or a name. False: out of memory. */
bool pipeline_default(struct field_reader *reader, struct pipeline *pipeline);

/* What no single field can say: references, clashes, combinations. `path` is that of the part. */
void pipeline_validate(const struct pipeline *pipeline, struct faults *faults);
void pipeline_validate_topics(const struct pipeline *pipeline, struct faults *faults);
void pipeline_validate_edge(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                            const char *path, struct faults *faults);
void pipeline_validate_processors(const struct pipeline_processor *processors, size_t count,
                                  const char *path, struct faults *faults);
void pipeline_validate_routes(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                              const char *path, struct faults *faults);
void pipeline_validate_gateway(const struct pipeline *pipeline,
                               const struct pipeline_gateway *gateway, const char *path,
                               struct faults *faults);
void pipeline_validate_pod(const struct pipeline_pod *pod, const char *path, struct faults *faults);
void pipeline_validate_properties(const struct pipeline_map *properties, bool consumer_only,
                                  const char *path, struct faults *faults);

/* A certificate without its key, or the other way round. */
void pipeline_validate_pair(const struct pipeline_secret *certificate,
                            const struct pipeline_secret *key, const char *path,
                            struct faults *faults);

/* What isn't built yet; a field_judge. */
enum field_verdict pipeline_judge(struct faults *faults, const char *pattern, const char *path,
                                  const struct json *value);

#endif
