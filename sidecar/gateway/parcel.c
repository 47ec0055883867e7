#include "sidecar/gateway/parcel.h"

#include "common/assert.h"

#include <stdlib.h>

struct piece *piece_create(struct parcel *parcel, struct bytes value, uint32_t items)
{
    struct piece *piece = calloc(1, sizeof *piece);
    if (piece == NULL)
        abort();
    piece->parcel = parcel;
    piece->value = value;
    piece->items = items;
    parcel->pieces++;
    return piece;
}

bool piece_done(struct piece **piece)
{
    struct parcel *parcel = (*piece)->parcel;

    piece_destroy(piece);
    ASSERT(parcel->pieces > 0);
    return --parcel->pieces == 0;
}

void piece_destroy(struct piece **piece)
{
    if (*piece == NULL)
        return;
    free((*piece)->owned);
    free(*piece);
    *piece = NULL;
}
