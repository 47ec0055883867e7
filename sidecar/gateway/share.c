#include "sidecar/gateway/share.h"

void share_add(struct share *share, uint64_t now_ms, uint64_t good, uint64_t dead)
{
    uint64_t slot = now_ms / SHARE_BUCKET_MS + 1; /* 0 is a bucket never used */
    size_t i = slot % SHARE_BUCKETS;

    if (share->buckets[i].slot != slot) {
        share->buckets[i].slot = slot;
        share->buckets[i].good_items = 0;
        share->buckets[i].dead_items = 0;
        share->buckets[i].dead_letters = 0;
    }
    share->buckets[i].good_items += good;
    share->buckets[i].dead_items += dead;
    share->buckets[i].dead_letters += dead > 0;
}

bool share_exceeds(const struct share *share, uint64_t now_ms, uint64_t letters_min,
                   uint64_t percent)
{
    uint64_t slot = now_ms / SHARE_BUCKET_MS + 1, good = 0, dead = 0, letters = 0;

    for (size_t i = 0; i < SHARE_BUCKETS; i++) {
        if (share->buckets[i].slot + SHARE_BUCKETS <= slot)
            continue;
        good += share->buckets[i].good_items;
        dead += share->buckets[i].dead_items;
        letters += share->buckets[i].dead_letters;
    }
    return letters >= letters_min && dead * 100 > (good + dead) * percent;
}

bool share_has_good(const struct share *share, uint64_t now_ms)
{
    uint64_t slot = now_ms / SHARE_BUCKET_MS + 1;

    for (size_t i = 0; i < SHARE_BUCKETS; i++)
        if (share->buckets[i].slot + SHARE_BUCKETS > slot && share->buckets[i].good_items > 0)
            return true;
    return false;
}
