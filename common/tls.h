/* tls: the door to OpenSSL. A context is made from files and follows them; a stream is one
 * connection over a non-blocking socket.
 *
 *   files --tls_server_open/tls_client_open--> context --tls_accept/tls_connect--> stream
 *     ^                                          |
 *     +---------------- tls_refresh -------------+   changed and sound: new streams get the new
 *                                                    ones; changed and bad: the old ones stay
 *
 * TLS 1.2 and later, no renegotiation, no tickets. Private keys are read, never shown in errors.
 *
 * Thread: a context may be shared; a stream belongs to the thread of its socket. OpenSSL writes to
 * the socket with write(), so SIGPIPE must be blocked or ignored there (net_loop_run() blocks it).
 */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

struct tls_context;
struct tls_stream;

/* Paths are copied. `alpn` lists protocols in our order of preference, "h2,http/1.1"; NULL: none.
 */
struct tls_server_options {
    const char *certificate_file; /* PEM, with the chain behind it */
    const char *key_file;         /* PEM */
    const char *client_ca_file;   /* PEM; set: clients must show a certificate it signed */
    const char *alpn;             /* a peer that offers others only is refused */
};

struct tls_client_options {
    const char *ca_file;          /* PEM; NULL: the system's */
    const char *certificate_file; /* both or neither: our own, where the server asks for one */
    const char *key_file;
    const char *alpn;
    bool insecure_skip_verify; /* neither chain nor name is checked */
};

/* Where a context stands, for metrics. */
struct tls_state {
    uint64_t loads;           /* successful ones, the first included */
    uint64_t failures;        /* refreshes that kept the old files */
    int64_t not_after_unix_s; /* when our certificate ends; 0: we have none */
};

/* ERR_INVALID: a file can't be read or used; the sentence names it and says what to do. */
NODISCARD enum err tls_server_open(const struct tls_server_options *options,
                                   struct tls_context **ret_context, struct error *error);
NODISCARD enum err tls_client_open(const struct tls_client_options *options,
                                   struct tls_context **ret_context, struct error *error);
void tls_context_close(struct tls_context **context); /* streams may outlive it */

/* Reads the files again if any looks different (a few stat() calls if not). An error means that
 * they changed and can't be used; the old ones stay, and the next call looks again. */
NODISCARD enum err tls_refresh(struct tls_context *context, bool *ret_changed, struct error *error);

void tls_context_state(struct tls_context *context, struct tls_state *ret_state);

/* A stream over `fd`, which stays the caller's and must outlive the stream. `server_name` is what
 * the certificate must be for (a name or an IP address), and is sent as SNI if it is a name. */
NODISCARD enum err tls_accept(struct tls_context *context, int fd, struct tls_stream **ret_stream,
                              struct error *error);
NODISCARD enum err tls_connect(struct tls_context *context, int fd, const char *server_name,
                               struct tls_stream **ret_stream, struct error *error);

/* Says goodbye as far as that goes without waiting, and frees. */
void tls_stream_close(struct tls_stream **stream);

/* ERR_AGAIN: call again when the socket is ready, for writing if tls_wants_write(). ERR_INVALID:
 * the peer's fault (protocol, certificate, ALPN). ERR_CLOSED, ERR_IO: the connection's. */
NODISCARD enum err tls_handshake(struct tls_stream *stream, struct error *error);
bool tls_wants_write(const struct tls_stream *stream);

/* What ALPN agreed on; empty if nothing. Valid as long as the stream. */
struct bytes tls_alpn(const struct tls_stream *stream);

/* ERR_AGAIN as above, ERR_CLOSED at the peer's end (with or without its goodbye), ERR_IO. */
NODISCARD enum err tls_read(struct tls_stream *stream, void *into, size_t cap, size_t *ret_len,
                            struct error *error);
NODISCARD enum err tls_write(struct tls_stream *stream, struct bytes data, size_t *ret_written,
                             struct error *error);

#endif
