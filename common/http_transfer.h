/* transfer: one request of the HTTP client, from the caller's wishes to the outcome. Half of the
 * door to libcurl: only http_client.c and http_transfer.c include this.
 *
 * Made by transfer_create() on the caller's thread, where most mistakes in a request show, then
 * handed over whole: a curl handle is used by one thread at a time.
 */
#ifndef COMMON_HTTP_TRANSFER_H
#define COMMON_HTTP_TRANSFER_H

#include "common/http_client.h"

#include <curl/curl.h>

struct http_response {
    int status;
    struct buf headers; /* lines, each ended by NUL */
    struct buf body;
};

struct transfer {
    struct transfer *prev, *next; /* in client->incoming (next only) or client->active */
    uint64_t id;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    char *shown; /* method and URL without its query, for sentences */
    struct http_response response;
    uint64_t received; /* bytes of body */
    uint64_t heard_ms; /* last sign of life */
    unsigned idle_timeout_ms;
    bool is_head;
    enum err stopped;    /* why we ended it ourselves */
    struct error reason; /* and the sentence, where `stopped` is not on_body's */
    char curl_error[CURL_ERROR_SIZE];
    http_body_fn *on_body;
    http_done_fn *on_done;
    void *context;
};
/* `user_agent` is copied, `proxy` (NULL: none) too. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err transfer_create(const struct http_request *request, const char *user_agent,
                                   const char *proxy, struct transfer **ret_transfer,
                                   struct error *error);
void transfer_free(struct transfer **slot);

/* What curl's verdict, or our own reason to stop, means; fills response.status for OK. */
enum err transfer_outcome(struct transfer *transfer, CURLcode code, struct error *error);

#endif
