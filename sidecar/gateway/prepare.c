#include "sidecar/gateway/prepare.h"

#include "common/arena.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "sidecar/gateway/delivery.h"
#include "sidecar/process/process.h"

#include <stdlib.h>

struct prepare {
    struct process *process; /* NULL: there are no processors */
    struct parcel *empty;
    uint64_t filtered;
};

void prepare_close(struct prepare **prepare)
{
    if (*prepare == NULL)
        return;
    process_destroy(&(*prepare)->process);
    free(*prepare);
    *prepare = NULL;
}

enum err prepare_open(const struct pipeline_gateway *gateway, struct prepare **ret_prepare,
                      struct error *error)
{
    AUTO(arena_fini) struct arena scratch = {0};
    const char *owner = arena_printf(&scratch, NAMES_GATEWAY "/%s", gateway->name);
    enum err err = OK;

    AUTO(prepare_close) struct prepare *prepare = calloc(1, sizeof *prepare);
    if (prepare == NULL || owner == NULL)
        return error_set(error, ERR_NOMEM, "processors");
    if (gateway->processor_count > 0)
        err = process_create(gateway->processors, gateway->processor_count, owner,
                             &prepare->process, error);
    if (err)
        return err;
    MOVE(*ret_prepare, prepare);
    return OK;
}

void prepare_change(struct prepare *prepare, struct prepare **next)
{
    process_destroy(&prepare->process);
    MOVE(prepare->process, (*next)->process);
    prepare_close(next);
}

/* Gives the delivery a copy of its own: the next parcel is made in the same memory. */
static void deliver(struct delivery *delivery, struct parcel *parcel, struct bytes value,
                    uint32_t items, uint64_t now_ms)
{
    uint8_t *owned = malloc(value.len);
    if (owned == NULL)
        abort(); /* as in parcel.h: the next start reads it anew */
    memcpy(owned, value.data, value.len);
    delivery_add_made(delivery, parcel, &owned, value.len, items, now_ms);
}

bool prepare_parcel(struct prepare *prepare, struct delivery *delivery, struct parcel *parcel,
                    uint64_t now_ms)
{
    struct process *process = prepare->process;
    struct process_counts counts = {0};
    struct error error = {0};
    struct bytes value;
    uint32_t items = 0;

    if (process == NULL || !process_concerns(process, parcel->signal)) {
        delivery_add(delivery, parcel, now_ms);
        return false;
    }
    enum err err =
        process_run(process, parcel->signal, parcel->value, 2 * parcel->value.len + PREPARE_ROOM,
                    &value, &items, &counts, &error);
    if (err == ERR_NOMEM)
        abort(); /* see deliver() */
    if (err) {
        LOG_WARN("Could not process a message", LOG_STR("error", error.text));
        delivery_give_up(delivery, parcel, error.text);
        return false;
    }
    process_count(&counts);
    prepare->filtered += parcel->items - items;
    if (items > 0)
        deliver(delivery, parcel, value, items, now_ms);
    process_release(process);
    if (items > 0)
        return false;
    parcel->next_empty = prepare->empty;
    prepare->empty = parcel;
    return true;
}

struct parcel *prepare_next_empty(struct prepare *prepare)
{
    struct parcel *parcel = prepare->empty;

    if (parcel != NULL)
        prepare->empty = parcel->next_empty;
    return parcel;
}

bool prepare_has_empty(const struct prepare *prepare)
{
    return prepare->empty != NULL;
}

uint64_t prepare_filtered(const struct prepare *prepare)
{
    return prepare->filtered;
}
