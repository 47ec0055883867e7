#include "sidecar/gateway/delivery_request.h"

#include "sidecar/otlp/split.h"

#include <stdlib.h>

struct delivery_request *delivery_request_create(struct delivery *delivery, enum signal signal,
                                                 uint64_t since_ms)
{
    struct delivery_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        abort(); /* see parcel.h */
    request->delivery = delivery;
    request->signal = signal;
    request->end = &request->pieces;
    request->since_ms = since_ms;
    return request;
}

void delivery_request_destroy(struct delivery_request **request)
{
    if (*request == NULL)
        return;
    for (struct piece *piece; (piece = delivery_request_take(*request)) != NULL;)
        piece_destroy(&piece);
    free((*request)->parts);
    free(*request);
    *request = NULL;
}

void delivery_request_add(struct delivery_request *request, struct piece **piece)
{
    struct piece *added = *piece;

    added->next = NULL;
    *request->end = added;
    request->end = &added->next;
    request->count++;
    request->bytes += added->value.len;
    request->items += added->items;
    *piece = NULL;
}

struct piece *delivery_request_take(struct delivery_request *request)
{
    struct piece *piece = request->pieces;

    if (piece != NULL)
        request->pieces = piece->next;
    return piece;
}

/* ---- in two */

static struct delivery_request *half_of(const struct delivery_request *whole)
{
    struct delivery_request *half =
        delivery_request_create(whole->delivery, whole->signal, whole->since_ms);
    half->first_try_ms = whole->first_try_ms;
    return half;
}

static void halve_pieces(struct delivery_request *request, struct delivery_request *ret_halves[2])
{
    size_t n = 0, first = request->count / 2;

    ret_halves[0] = half_of(request);
    ret_halves[1] = half_of(request);
    for (struct piece *piece; (piece = delivery_request_take(request)) != NULL;)
        delivery_request_add(ret_halves[n++ >= first], &piece);
}

/* A request with some of the piece's items. */
static struct delivery_request *half_of_items(const struct delivery_request *whole,
                                              const struct piece *piece,
                                              const struct otlp_slices *slices, uint32_t items)
{
    struct delivery_request *half = half_of(whole);
    uint8_t *owned = malloc(slices->size_bytes == 0 ? 1 : slices->size_bytes);
    if (owned == NULL)
        abort(); /* see parcel.h */
    otlp_slices_copy(slices, owned);
    struct piece *part =
        piece_create(piece->parcel, (struct bytes){owned, slices->size_bytes}, items);
    part->owned = owned;
    delivery_request_add(half, &part);
    return half;
}

static bool halve_items(struct delivery_request *request, struct delivery_request *ret_halves[2])
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    struct piece *piece = request->pieces;

    enum err err = otlp_halve(request->signal, piece->value, &first, &second, NULL);
    if (err == ERR_NOMEM)
        abort(); /* see parcel.h */
    if (err)
        return false;
    ret_halves[0] = half_of_items(request, piece, &first, (piece->items + 1) / 2);
    ret_halves[1] = half_of_items(request, piece, &second, piece->items / 2);
    piece = delivery_request_take(request);
    IGNORE_RESULT(piece_done(&piece)); /* not the last: its items live on in the halves */
    return true;
}

bool delivery_request_halve(struct delivery_request **request,
                            struct delivery_request *ret_halves[2])
{
    if ((*request)->count > 1)
        halve_pieces(*request, ret_halves);
    else if (!halve_items(*request, ret_halves))
        return false;
    delivery_request_destroy(request);
    return true;
}
