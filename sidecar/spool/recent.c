#include "sidecar/spool/recent.h"

#include "common/assert.h"
#include "sidecar/spool/store.h"

static bool is_near(const struct stretch *stretch, uint64_t seq)
{
    return stretch->position.seq <= seq && seq - stretch->position.seq < RECENT_RING;
}

static bool is_wanted(const struct lane *lane, uint64_t seq)
{
    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        const struct spool_reader *reader = &lane->readers[i];
        if (reader->open &&
            (is_near(&reader->stretches[reader->main], seq) ||
             (reader_is_split(reader) && is_near(&reader->stretches[1 - reader->main], seq))))
            return true;
    }
    return false;
}

static void let_go(struct store *store, struct frame_buf *frame)
{
    ASSERT(frame->refs > 0);
    if (--frame->refs > 0)
        return;
    store->lent_count--;
    store->give_back(store->give_back_context, frame);
}

static void drop(struct store *store, struct frame_buf **at)
{
    struct frame_buf *frame = *at;

    *at = NULL;
    if (frame != NULL)
        let_go(store, frame);
}

void recent_keep(struct store *store, struct lane *lane, struct frame_buf *frame)
{
    struct recent *recent = &lane->recent;

    if (store->give_back == NULL || store->lent_count == RECENT_LENT || frame->single ||
        frame->header.entries == 0 || !is_wanted(lane, frame->header.seq))
        return;
    drop(store, &recent->ring[recent->next]);
    recent->ring[recent->next] = frame;
    recent->next = (recent->next + 1) % RECENT_RING;
    frame->lent = true;
    frame->refs = 2; /* the committer's, and this one */
    store->lent_count++;
}

struct frame_buf *recent_take(struct lane *lane, uint64_t seq)
{
    for (int i = 0; i < RECENT_RING; i++) {
        struct frame_buf *frame = lane->recent.ring[i];
        if (frame == NULL || frame->header.seq != seq)
            continue;
        frame->refs++;
        return frame;
    }
    return NULL;
}

void recent_tidy(struct store *store, struct lane *lane)
{
    for (int i = 0; i < RECENT_RING; i++) {
        struct frame_buf **at = &lane->recent.ring[i];
        if (*at != NULL && !is_wanted(lane, (*at)->header.seq))
            drop(store, at);
    }
}

void recent_release(struct store *store, struct frame_buf *frame)
{
    pthread_mutex_lock(&store->lock);
    let_go(store, frame);
    pthread_mutex_unlock(&store->lock);
}
