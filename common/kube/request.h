/* request: the inner half of kube_client, for the other files of this folder: the requests that the
 * calls in client.c wait for, and what a list in pages asks for. */
#ifndef COMMON_KUBE_REQUEST_H
#define COMMON_KUBE_REQUEST_H

#include "common/kube/client.h"

/* A call that somebody waits for. */
struct kube_call {
    struct kube_call *prev, *next; /* in the client's list */
    uint64_t id;
    bool is_write;
};

/* As kube_submit(), and puts `call` in the list; ERR_CLOSED for a write while none is allowed. */
NODISCARD enum err kube_call_submit(struct kube_client *client, const struct kube_request *request,
                                    struct kube_call *call, struct error *error);
void kube_call_end(struct kube_client *client, struct kube_call *call);

unsigned kube_call_timeout_ms(const struct kube_client *client);

/* Waits; false if the call must not go on, because writes were forbidden meanwhile. */
bool kube_call_pause(struct kube_client *client, const struct kube_call *call, unsigned ms);

/* The query of one page; `token` is its continue token or NULL. Returns how many entries. */
enum { KUBE_PAGE_QUERY_MAX = 5 };
size_t kube_page_query(struct kube_query query[KUBE_PAGE_QUERY_MAX], const char *label_selector,
                       const char *field_selector, const char *token);

/* Gives an item of a list its apiVersion and kind and takes its managedFields. */
void kube_complete_item(const struct kube_resource *resource, struct json *item);

#endif
