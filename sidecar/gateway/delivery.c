#include "sidecar/gateway/delivery.h"

#include "common/assert.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/gateway/delivery_request.h"
#include "sidecar/gateway/share.h"

#include <stdio.h>
#include <stdlib.h>

enum { IN_FLIGHT_FIRST = 4, IDLE_MS = 1000 };

struct delivery {
    struct delivery_options options;
    struct delivery_request *filling[SIGNAL_COUNT];
    struct delivery_request *ready, **ready_end;
    uint32_t in_flight_max;
    struct backoff backoff;
    uint64_t gate_ms; /* nothing is sent before */
    uint32_t random;
    bool paused;
    bool was_up;          /* answered with success since the last loss */
    uint64_t outages;     /* failures counted; those of requests sent before the last one are not */
    uint64_t held;        /* requests */
    uint64_t stored;      /* likewise, in all or in part */
    struct piece *buried; /* in the dead letters, not acknowledged there */
    struct share share;
    struct delivery_state state;
    struct metric *items, *rejected, *dead, *suspects;
};

static const struct metric_desc items_desc = {.name = "surgetank_gateway_delivered_items_total",
                                              .kind = METRIC_COUNTER,
                                              .help = "Items that the backend has taken.",
                                              .labels = {"gateway"}};
static const struct metric_desc requests_desc = {
    .name = "surgetank_gateway_export_requests_total",
    .kind = METRIC_COUNTER,
    .help = "Requests to the backend, by what its answer meant.",
    .labels = {"gateway", "verdict"}};
static const struct metric_desc rejected_desc = {
    .name = "surgetank_gateway_rejected_items_total",
    .kind = METRIC_COUNTER,
    .help = "Items that the backend rejected in partial successes; copies are dead letters.",
    .labels = {"gateway"}};
static const struct metric_desc suspects_desc = {
    .name = "surgetank_gateway_suspect_requests_total",
    .kind = METRIC_COUNTER,
    .help = "Requests cut in two, as the backend failed on them again and again and took others.",
    .labels = {"gateway"}};
static const struct metric_desc dead_desc = {.name = "surgetank_gateway_dead_letters_total",
                                             .kind = METRIC_COUNTER,
                                             .help = "Pieces put into the dead letters.",
                                             .labels = {"gateway"}};

/* ---- filling requests */

static void end_piece(struct delivery *delivery, struct piece *piece)
{
    struct parcel *parcel = piece->parcel;

    if (piece_done(&piece))
        delivery->options.done(delivery->options.context, parcel);
}

static void make_ready(struct delivery *delivery, struct delivery_request *request)
{
    request->next = NULL;
    *delivery->ready_end = request;
    delivery->ready_end = &request->next;
    delivery->state.waiting++;
}

static struct delivery_request *new_request(struct delivery *delivery, enum signal signal,
                                            uint64_t now_ms)
{
    struct delivery_request *request = delivery_request_create(delivery, signal, now_ms);

    request->suspect.stored = delivery->stored;
    return request;
}

static void fill(struct delivery *delivery, struct piece *piece, uint64_t now_ms)
{
    const struct pipeline_gateway *gateway = delivery->options.gateway;
    enum signal signal = piece->parcel->signal;
    struct delivery_request **filling = &delivery->filling[signal];

    if (*filling != NULL &&
        ((*filling)->bytes + piece->value.len > (size_t)gateway->batch_max_bytes ||
         (*filling)->items + piece->items > (uint64_t)gateway->batch_max_items)) {
        make_ready(delivery, *filling);
        *filling = NULL;
    }
    if (*filling == NULL)
        *filling = new_request(delivery, signal, now_ms);
    delivery_request_add(*filling, &piece);
    if ((*filling)->bytes >= (size_t)gateway->batch_max_bytes ||
        (*filling)->items >= (uint64_t)gateway->batch_max_items ||
        (*filling)->count >= EXPORT_PARTS_MAX) {
        make_ready(delivery, *filling);
        *filling = NULL;
    }
}

void delivery_add(struct delivery *delivery, struct parcel *parcel, uint64_t now_ms)
{
    fill(delivery, piece_create(parcel, parcel->value, parcel->items), now_ms);
}

void delivery_add_made(struct delivery *delivery, struct parcel *parcel, uint8_t **owned,
                       size_t size, uint32_t items, uint64_t now_ms)
{
    struct piece *piece = piece_create(parcel, (struct bytes){*owned, size}, items);

    MOVE(piece->owned, *owned);
    fill(delivery, piece, now_ms);
}

void delivery_flush(struct delivery *delivery)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        if (delivery->filling[i] == NULL)
            continue;
        make_ready(delivery, delivery->filling[i]);
        delivery->filling[i] = NULL;
    }
}

/* ---- acting on answers */

static void bury(struct delivery *delivery, struct piece *piece, const char *reason)
{
    delivery->state.buried++;
    metric_add(delivery->dead, 1);
    piece->next = delivery->buried;
    piece->place = &delivery->buried;
    if (piece->next != NULL)
        piece->next->place = &piece->next;
    delivery->buried = piece;
    delivery->options.bury(delivery->options.context, piece, reason);
}

void delivery_give_up(struct delivery *delivery, struct parcel *parcel, const char *reason)
{
    bury(delivery, piece_create(parcel, parcel->value, parcel->items), reason);
}

void delivery_buried(struct delivery *delivery, struct piece *piece)
{
    *piece->place = piece->next;
    if (piece->next != NULL)
        piece->next->place = piece->place;
    end_piece(delivery, piece);
}

static void on_success(struct delivery *delivery, struct delivery_request *request)
{
    delivery->state.delivered_items += request->items;
    delivery->state.delivered_bytes += request->bytes;
    metric_add(delivery->items, (double)request->items);
    share_add(&delivery->share, clock_mono_ms(), request->items, 0);
    for (struct piece *piece; (piece = delivery_request_take(request)) != NULL;)
        end_piece(delivery, piece);
    delivery_request_destroy(&request);
}

/* Nobody says which items: each message is stored and also copied. */
static void on_partial(struct delivery *delivery, struct delivery_request *request,
                       const struct judgement *judgement)
{
    char reason[400];
    uint64_t told = (uint64_t)judgement->rejected;
    uint64_t rejected = told < request->items ? told : request->items;

    snprintf(reason, sizeof reason, "%llu of %llu rejected: %s", (unsigned long long)told,
             (unsigned long long)request->items, judgement->text);
    delivery->state.rejected += rejected;
    delivery->state.delivered_items += request->items - rejected;
    delivery->state.delivered_bytes += request->bytes;
    metric_add(delivery->rejected, (double)rejected);
    metric_add(delivery->items, (double)(request->items - rejected));
    share_add(&delivery->share, clock_mono_ms(), request->items - rejected, rejected);
    LOG_WARN("Backend rejected a part", LOG_STR("gateway", delivery->options.gateway->name),
             LOG_STR("reason", reason));
    for (struct piece *piece; (piece = delivery_request_take(request)) != NULL;)
        bury(delivery, piece, reason);
    delivery_request_destroy(&request);
}

/* Holding ends when no request is held any more, or with the first culprit that may go. */
static void set_held(struct delivery *delivery, struct delivery_request *request, bool held)
{
    delivery->held += (uint64_t)held - (uint64_t)request->held;
    request->held = held;
    delivery->state.holding = delivery->state.holding && delivery->held > 0;
}

/* The culprit is alone. It becomes a dead letter, unless far too many do: then, and for as long as
 * nothing else is taken that would tell the item from the backend, it is held back. */
static void on_culprit(struct delivery *delivery, struct delivery_request *request,
                       const char *reason, uint64_t now_ms)
{
    uint64_t percent = (uint64_t)delivery->options.gateway->hold_above_percent;

    if (share_exceeds(&delivery->share, now_ms, DELIVERY_HOLD_MIN, percent) ||
        (delivery->state.holding && !share_has_good(&delivery->share, now_ms))) {
        set_held(delivery, request, true);
        delivery->state.holding = true;
        request->due_ms = now_ms + DELIVERY_HOLD_MS;
        make_ready(delivery, request);
        LOG_ERROR("Holding back what the backend refuses, for it is too much",
                  LOG_STR("gateway", delivery->options.gateway->name), LOG_STR("reason", reason));
        return;
    }
    LOG_WARN("Backend refused an item for good",
             LOG_STR("gateway", delivery->options.gateway->name), LOG_STR("reason", reason));
    struct piece *piece = delivery_request_take(request);
    set_held(delivery, request, false);
    delivery_request_destroy(&request);
    share_add(&delivery->share, now_ms, 0, piece->items);
    bury(delivery, piece, reason);
}

/* False: one item is alone. */
static bool halve(struct delivery *delivery, struct delivery_request *request)
{
    struct delivery_request *halves[2];

    if (!delivery_request_halve(&request, halves))
        return false;
    for (size_t i = 0; i < 2; i++) {
        halves[i]->suspect.stored = delivery->stored;
        make_ready(delivery, halves[i]);
    }
    return true;
}

/* Tried again, in turn with the others; longer than retry.maxElapsed it becomes a dead letter. */
static void on_again(struct delivery *delivery, struct delivery_request *request,
                     const struct judgement *judgement, uint64_t now_ms)
{
    uint64_t elapsed_max = (uint64_t)delivery->options.gateway->retry_max_elapsed_ms;
    char reason[400];

    bool suspect = suspect_failed(&request->suspect, judgement->may_be_data, delivery->stored);
    if (elapsed_max == 0 || now_ms - request->first_try_ms < elapsed_max) {
        if (suspect && halve(delivery, request))
            metric_add(delivery->suspects, 1);
        else
            make_ready(delivery, request);
        return;
    }
    snprintf(reason, sizeof reason, "not delivered within retry.maxElapsed: %s", judgement->text);
    set_held(delivery, request, false);
    for (struct piece *piece; (piece = delivery_request_take(request)) != NULL;)
        bury(delivery, piece, reason);
    delivery_request_destroy(&request);
}

/* Shuts the gate for longer with each failure. Requests that were under way together fail together:
 * that is one failure. */
static uint64_t shut_gate(struct delivery *delivery, const struct delivery_request *request,
                          uint64_t retry_after_ms, uint64_t now_ms)
{
    uint64_t wait = 0;

    if (request->outages == delivery->outages) {
        delivery->outages++;
        delivery->state.failing++;
        delivery->in_flight_max = delivery->in_flight_max > 2 ? delivery->in_flight_max / 2 : 1;
        delivery->random = delivery->random * 1664525u + 1013904223u;
        wait = backoff_delay_ms(&delivery->backoff, delivery->state.failing, delivery->random);
    }
    if (wait < retry_after_ms)
        wait = retry_after_ms;
    if (delivery->gate_ms < now_ms + wait)
        delivery->gate_ms = now_ms + wait;
    return delivery->gate_ms - now_ms;
}

/* Opens or shuts the gate, and says how many may go at once. */
static void note_health(struct delivery *delivery, const struct delivery_request *request,
                        const struct judgement *judgement, uint64_t now_ms)
{
    bool failed = judgement->verdict == VERDICT_AGAIN || judgement->verdict == VERDICT_MEND;

    if (!failed) {
        delivery->was_up = true;
        delivery->state.failing = 0;
        delivery->state.mend = false;
        delivery->state.trouble[0] = '\0';
        delivery->gate_ms = 0;
        if (delivery->in_flight_max < DELIVERY_IN_FLIGHT_MAX)
            delivery->in_flight_max++;
        return;
    }
    delivery->state.failures++;
    delivery->state.mend = judgement->verdict == VERDICT_MEND;
    snprintf(delivery->state.trouble, sizeof delivery->state.trouble, "%s", judgement->text);
    uint64_t wait = shut_gate(delivery, request, judgement->retry_after_ms, now_ms);
    LOG_WARN("Backend did not take a request", LOG_STR("gateway", delivery->options.gateway->name),
             LOG_STR("reason", judgement->text), LOG_U64("again_in_ms", wait));
    if (judgement->lost_connection && delivery->was_up) {
        delivery->was_up = false;
        delivery->options.backend_lost(delivery->options.context);
    }
}

static void on_answer(void *context, const struct judgement *judgement)
{
    struct delivery_request *request = context;
    struct delivery *delivery = request->delivery;
    uint64_t now_ms = clock_mono_ms();

    free(request->parts);
    request->parts = NULL;
    delivery->state.in_flight--;
    metric_add(metrics_series(&requests_desc, delivery->options.gateway->name,
                              verdict_name(judgement->verdict)),
               1);
    note_health(delivery, request, judgement, now_ms);
    switch (judgement->verdict) {
    case VERDICT_DONE:
        set_held(delivery, request, false);
        delivery->stored++;
        on_success(delivery, request);
        break;
    case VERDICT_PARTIAL:
        set_held(delivery, request, false);
        delivery->stored++;
        on_partial(delivery, request, judgement);
        break;
    case VERDICT_AGAIN:
    case VERDICT_MEND:
        on_again(delivery, request, judgement, now_ms);
        break;
    case VERDICT_TOO_LARGE:
    case VERDICT_REFUSED:
        if (!halve(delivery, request))
            on_culprit(delivery, request, judgement->text, now_ms);
        break;
    }
    delivery->options.wake(delivery->options.context);
}

/* ---- sending */

static void send_request(struct delivery *delivery, struct delivery_request *request,
                         uint64_t now_ms)
{
    struct error error = {0};
    size_t n = 0;

    if (request->first_try_ms == 0)
        request->first_try_ms = now_ms;
    request->parts = calloc(request->count, sizeof *request->parts);
    if (request->parts == NULL)
        abort(); /* see parcel.h */
    for (struct piece *piece = request->pieces; piece != NULL; piece = piece->next)
        request->parts[n++] = piece->value;

    const struct export_batch batch = {.signal = request->signal,
                                       .parts = request->parts,
                                       .part_count = n,
                                       .size_bytes = request->bytes,
                                       .done = on_answer,
                                       .context = request};
    request->outages = delivery->outages;
    delivery->state.in_flight++;
    delivery->state.requests++;
    enum err err = export_send(delivery->options.export, &batch, &error);
    if (err) {
        struct judgement judgement;
        judge_no_answer(err, error.text, &judgement);
        judgement.lost_connection = false; /* it never left */
        on_answer(request, &judgement);
    }
}

/* Takes the first request that is due out of the list. *ret_next_ms: when the next one will be. */
static struct delivery_request *take_due(struct delivery *delivery, uint64_t now_ms,
                                         uint64_t *ret_next_ms)
{
    for (struct delivery_request **at = &delivery->ready; *at != NULL; at = &(*at)->next) {
        struct delivery_request *request = *at;
        if (request->due_ms > now_ms) {
            if (request->due_ms < *ret_next_ms)
                *ret_next_ms = request->due_ms;
            continue;
        }
        *at = request->next;
        if (delivery->ready_end == &request->next)
            delivery->ready_end = at;
        delivery->state.waiting--;
        return request;
    }
    return NULL;
}

uint64_t delivery_run(struct delivery *delivery, uint64_t now_ms)
{
    uint64_t next_ms = now_ms + IDLE_MS;
    uint64_t timeout = (uint64_t)delivery->options.gateway->batch_timeout_ms;

    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct delivery_request *filling = delivery->filling[i];
        if (filling == NULL)
            continue;
        if (filling->since_ms + timeout <= now_ms) {
            make_ready(delivery, filling);
            delivery->filling[i] = NULL;
        } else if (filling->since_ms + timeout < next_ms) {
            next_ms = filling->since_ms + timeout;
        }
    }
    while (!delivery->paused) {
        uint32_t at_once = delivery->state.failing > 0 ? 1 : delivery->in_flight_max;
        if (delivery->gate_ms > now_ms) {
            next_ms = delivery->gate_ms < next_ms ? delivery->gate_ms : next_ms;
            break;
        }
        if (delivery->state.in_flight >= at_once)
            break;
        struct delivery_request *request = take_due(delivery, now_ms, &next_ms);
        if (request == NULL)
            break;
        send_request(delivery, request, now_ms);
    }
    delivery->state.next_try_ms = delivery->gate_ms;
    return next_ms;
}

/* ---- opening and closing */

static struct backoff backoff_of(const struct pipeline_gateway *gateway)
{
    return (struct backoff){.initial_ms = (uint64_t)gateway->retry_initial_ms,
                            .max_ms = (uint64_t)gateway->retry_max_ms,
                            .multiplier_percent = 200,
                            .jitter_percent = 30};
}

enum err delivery_open(const struct delivery_options *options, struct delivery **ret_delivery,
                       struct error *error)
{
    const char *name = options->gateway->name;
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL)
        return error_set(error, ERR_NOMEM, "open delivery");

    delivery->options = *options;
    delivery->ready_end = &delivery->ready;
    delivery->in_flight_max = IN_FLIGHT_FIRST;
    delivery->random = (uint32_t)clock_wall_ns();
    delivery->backoff = backoff_of(options->gateway);
    delivery->items = metrics_series(&items_desc, name);
    delivery->rejected = metrics_series(&rejected_desc, name);
    delivery->dead = metrics_series(&dead_desc, name);
    delivery->suspects = metrics_series(&suspects_desc, name);
    *ret_delivery = delivery;
    return OK;
}

void delivery_pause(struct delivery *delivery, bool paused)
{
    delivery->paused = paused;
}

void delivery_change(struct delivery *delivery, const struct pipeline_gateway *gateway,
                     struct export *export)
{
    delivery->options.gateway = gateway;
    delivery->backoff = backoff_of(gateway);
    delivery->gate_ms = 0;
    if (export == NULL)
        return;
    ASSERT(delivery->state.in_flight == 0);
    delivery->options.export = export;
    delivery->was_up = false;
    delivery->in_flight_max = IN_FLIGHT_FIRST;
}

static void forget(struct delivery_request *request)
{
    while (request != NULL) {
        struct delivery_request *next = request->next;
        delivery_request_destroy(&request);
        request = next;
    }
}

void delivery_close(struct delivery **delivery)
{
    struct delivery *gone = *delivery;
    if (gone == NULL)
        return;

    ASSERT(gone->state.in_flight == 0);
    while (gone->buried != NULL) {
        struct piece *piece = gone->buried;
        gone->buried = piece->next;
        piece_destroy(&piece);
    }
    forget(gone->ready);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        forget(gone->filling[i]);
    free(gone);
    *delivery = NULL;
}

void delivery_state(const struct delivery *delivery, struct delivery_state *ret_state)
{
    *ret_state = delivery->state;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        ret_state->waiting += delivery->filling[i] != NULL;
}
