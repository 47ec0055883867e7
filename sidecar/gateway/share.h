/* share: what share of the last minute's items became dead letters. Six buckets of ten seconds.
 * Zero-initialised is empty. Pure; one thread at a time.
 */
#ifndef SIDECAR_GATEWAY_SHARE_H
#define SIDECAR_GATEWAY_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_BUCKETS   6
#define SHARE_BUCKET_MS 10000

struct share {
    struct {
        uint64_t slot, good_items, dead_items, dead_letters;
    } buckets[SHARE_BUCKETS];
};

/* `dead` > 0 is one dead letter with so many items. */
void share_add(struct share *share, uint64_t now_ms, uint64_t good, uint64_t dead);

/* There were at least `letters_min` dead letters, with more than `percent` of all items. */
bool share_exceeds(const struct share *share, uint64_t now_ms, uint64_t letters_min,
                   uint64_t percent);

/* Something was taken within the last minute. */
bool share_has_good(const struct share *share, uint64_t now_ms);

#endif
