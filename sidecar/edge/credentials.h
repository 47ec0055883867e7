/* credentials: what an edge shows to clients and asks of them, followed as its files change.
 *
 * Thread: one, that of whoever calls; show() any.
 */
#ifndef SIDECAR_EDGE_CREDENTIALS_H
#define SIDECAR_EDGE_CREDENTIALS_H

struct receive_tokens;
struct tls_context;

/* Reads the files again; what has changed is taken over, logged and counted, and what can't be used
 * too. Either may be NULL: there are none. */
void credentials_refresh(struct tls_context *tls, struct receive_tokens *tokens);

/* Sets the metric of the certificate's end. */
void credentials_show(struct tls_context *tls);

#endif
