/* look_back: reads a stretch of a partition again, beside the group: whoever takes a partition over
 * in the middle of a repeat finds the first try there.
 *
 *   look_back_ask() --> dating --the offset of `since_ms`----------------> reading
 *                          '----none in DATING_MS: LOOK_BACK_MESSAGES_MAX back--^ |
 *                                              ended() <--`until`, or a bound-----'
 *
 * The stretch begins where the time `since_ms` does, but at most LOOK_BACK_MESSAGES_MAX before
 * `until`. After LOOK_BACK_BYTES_MAX or LOOK_BACK_MS it ends where it is. Nothing here waits, and
 * the group hears nothing of it: the client is one of its own, made with the first question.
 *
 * Thread: one; callbacks come from within look_back_poll().
 */
#ifndef SIDECAR_KAFKA_LOOK_BACK_H
#define SIDECAR_KAFKA_LOOK_BACK_H

#include "sidecar/kafka/consumer.h"

#define LOOK_BACK_MESSAGES_MAX 1024
#define LOOK_BACK_BYTES_MAX    (64u << 20)
#define LOOK_BACK_MS           10000

struct look_back;

struct look_back_options {
    const struct kafka_access *access; /* a loan for its life */
    void *context;
    /* A message of the stretch, valid during the call; `at.topic` is not set. */
    void (*found)(void *context, void *whose, const struct consumer_message *message);
    /* There is no more; `whole`: up to `until`. */
    void (*ended)(void *context, void *whose, bool whole);
};

NODISCARD enum err look_back_create(const struct look_back_options *options,
                                    struct look_back **ret_look_back, struct error *error);
void look_back_destroy(struct look_back **look_back);

/* Messages of the partition below `until` that are not older than `since_ms` (Unix milliseconds).
 * `whose` names the question and must have no other. `topic`: a loan until it ended. ERR_NOMEM,
 * ERR_INVALID: no client can be made. */
NODISCARD enum err look_back_ask(struct look_back *look_back, void *whose, const char *topic,
                                 int32_t partition, int64_t since_ms, int64_t until,
                                 struct error *error);

/* Drops the question, if there is one: ended() is not called. */
void look_back_forget(struct look_back *look_back, void *whose);

/* Takes in what has come. True while a question is open: call again soon. */
bool look_back_poll(struct look_back *look_back, uint64_t now_ms);

#endif
