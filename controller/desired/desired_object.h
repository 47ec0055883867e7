/* desired_object: what all objects of a pipeline have in common. Only for the files of desired/. */
#ifndef CONTROLLER_DESIRED_DESIRED_OBJECT_H
#define CONTROLLER_DESIRED_DESIRED_OBJECT_H

#include "controller/desired/desired.h"

/* One edge or gateway. */
struct tier {
    const struct desired_input *input;
    const struct pipeline *pipeline;
    const struct pipeline_edge *edge;       /* or NULL */
    const struct pipeline_gateway *gateway; /* or NULL */
    const struct desired_rollout *rollout;  /* or NULL */
    const char *part;                       /* the edge's or gateway's name */
    const struct pipeline_pod *pod;
    char name[DESIRED_NAME_MAX + 1];
};

/* {apiVersion, kind, metadata: {name, namespace, labels, ownerReferences}} at the end of `objects`.
 */
struct json *object_add(struct json *objects, const struct tier *tier, const char *api_version,
                        const char *kind, const char *name);

void object_put_labels(struct json *metadata, const struct tier *tier);

/* The two labels that tell this tier's pods from all others. */
void object_put_selector(struct json *object, const char *key, const struct tier *tier);

void object_put_map(struct json *object, const struct pipeline_map *map);

/* A number, or "25%". */
void object_put_amount(struct json *object, const char *key, struct pipeline_amount amount);

/* ---- the parts, each in its file; they append to `objects` */

void desired_config_map(struct json *objects, const struct tier *tier);
void desired_edge(struct json *objects, const struct tier *tier);
void desired_gateway(struct json *objects, const struct tier *tier,
                     const struct desired_bounds *bounds);

/* The hash of what the tier's pods must be restarted for. */
void desired_config_hash(const struct tier *tier, char *into, size_t size);

/* The pod template under `spec`: metadata, security, container, probes, volumes. Returns the pod's
 * spec, whose containers[0] is the sidecar. */
struct json *desired_pod(struct json *spec, const struct tier *tier);

/* {"name": name, KEY: {...}}: returns the inner object. */
struct json *desired_volume(struct json *pod_spec, const char *name, const char *kind);
void desired_mount(struct json *pod_spec, const char *name, const char *path, bool read_only);

#endif
