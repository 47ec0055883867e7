/* receive_tokens: who may send: the bearer tokens in a file, one on each line, read again when it
 * changes. Several are for changing them: put the new one beside the old, give clients the new one,
 * take the old one away. Clients never see a 401 in between, which they would take as final.
 *
 * Thread: any.
 */
#ifndef SIDECAR_EDGE_RECEIVE_TOKENS_H
#define SIDECAR_EDGE_RECEIVE_TOKENS_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>

struct receive_tokens;

/* ERR_INVALID: there is no token in it, or it can't be used; the sentence never holds a token. */
NODISCARD enum err receive_tokens_open(const char *path, struct receive_tokens **ret_tokens,
                                       struct error *error);
void receive_tokens_close(struct receive_tokens **tokens);

/* Reads the file again. An error keeps the tokens there were. */
NODISCARD enum err receive_tokens_refresh(struct receive_tokens *tokens, bool *ret_changed,
                                          struct error *error);

/* Whether an Authorization header is "Bearer TOKEN" with one of them. How long that takes tells the
 * lengths of the tokens, and nothing else about them. */
bool receive_tokens_allow(struct receive_tokens *tokens, struct bytes authorization);

#endif
