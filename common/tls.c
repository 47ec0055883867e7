/* A context is an SSL_CTX that is replaced whole when its files change; streams keep the one they
 * were made from. The struct around it is counted, because OpenSSL calls back into it (ALPN) as
 * long as any stream lives.
 */
#include "common/tls.h"

#include "common/assert.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { FILES = 3, ALPN_MAX = 64, READ_AHEAD = 64 * 1024 };

/* What tells one state of a file from another. */
struct look {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct tls_context {
    bool is_server, insecure_skip_verify;
    char *certificate_file, *key_file, *ca_file; /* NULL: none */
    uint8_t alpn[ALPN_MAX];                      /* each name behind its length */
    unsigned alpn_len;
    atomic_uint users; /* the owner and the streams */

    pthread_mutex_t mutex; /* guards the rest */
    SSL_CTX *ssl_ctx;
    struct look looks[FILES]; /* of the files as loaded */
    struct tls_state state;
};

struct tls_stream {
    struct tls_context *context;
    SSL *ssl;
    bool wants_write, up, broken;
};

/* ---- errors */

/* The first error in the queue is the cause; the later ones say who was troubled by it. */
static const char *reason(char *scratch, size_t size)
{
    unsigned long code = ERR_peek_error();
    if (code == 0)
        return errno != 0 ? strerror_r(errno, scratch, size) : "unknown reason";
    if (ERR_GET_LIB(code) == ERR_LIB_SYS)
        return strerror_r((int)ERR_GET_REASON(code), scratch, size);
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "unknown reason";
}

static enum err bad_file(struct error *error, const char *what, const char *path,
                         const char *advice)
{
    char scratch[96] = "";
    return error_set(error, ERR_INVALID, "%s '%s' can't be used (%s); %s", what, path,
                     reason(scratch, sizeof scratch), advice);
}

/* ---- contexts */

static int no_password(char *into, int size, int writing, void *user)
{
    (void)into;
    (void)size;
    (void)writing;
    (void)user;
    return 0; /* OpenSSL's own would ask on the terminal */
}

static int select_alpn(SSL *ssl, const uint8_t **ret_name, uint8_t *ret_len, const uint8_t *offered,
                       unsigned offered_len, void *user)
{
    const struct tls_context *context = user;
    uint8_t *name = NULL;

    (void)ssl;
    if (SSL_select_next_proto(&name, ret_len, context->alpn, context->alpn_len, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

static enum err load_certificate(const struct tls_context *context, SSL_CTX *ssl_ctx,
                                 struct error *error)
{
    if (context->certificate_file == NULL)
        return OK;
    if (SSL_CTX_use_certificate_chain_file(ssl_ctx, context->certificate_file) != 1)
        return bad_file(error, "certificate", context->certificate_file,
                        "give a PEM file with the certificate first and its chain behind it");
    if (SSL_CTX_use_PrivateKey_file(ssl_ctx, context->key_file, SSL_FILETYPE_PEM) != 1)
        return bad_file(error, "key", context->key_file,
                        "give the certificate's private key as PEM without a password");
    if (SSL_CTX_check_private_key(ssl_ctx) != 1)
        return bad_file(error, "key", context->key_file, "give the certificate's own key");
    return OK;
}

static enum err load_authority(const struct tls_context *context, SSL_CTX *ssl_ctx,
                               struct error *error)
{
    static const char advice[] = "give a PEM file with the authority's certificates";

    if (context->ca_file == NULL) {
        if (!context->is_server && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1)
            return error_set(error, ERR_INVALID, "the system's certificates can't be read");
        return OK;
    }
    if (SSL_CTX_load_verify_locations(ssl_ctx, context->ca_file, NULL) != 1)
        return bad_file(error, "certificate authority", context->ca_file, advice);
    if (context->is_server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(context->ca_file);
        if (names == NULL)
            return bad_file(error, "certificate authority", context->ca_file, advice);
        SSL_CTX_set_client_CA_list(ssl_ctx, names);
    }
    return OK;
}

static void set_up(struct tls_context *context, SSL_CTX *ssl_ctx)
{
    int verify = SSL_VERIFY_NONE;

    SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(ssl_ctx, 0);
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ssl_ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ssl_ctx, READ_AHEAD);
    SSL_CTX_set_default_passwd_cb(ssl_ctx, no_password);
    if (context->is_server && context->ca_file != NULL)
        verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (!context->is_server && !context->insecure_skip_verify)
        verify = SSL_VERIFY_PEER;
    SSL_CTX_set_verify(ssl_ctx, verify, NULL);
    if (context->alpn_len > 0 && context->is_server)
        SSL_CTX_set_alpn_select_cb(ssl_ctx, select_alpn, context);
}

static int64_t end_of(SSL_CTX *ssl_ctx)
{
    struct tm tm = {0};
    X509 *certificate = SSL_CTX_get0_certificate(ssl_ctx);

    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    return timegm(&tm);
}

static void look_at(const struct tls_context *context, struct look looks[FILES])
{
    const char *const paths[FILES] = {context->certificate_file, context->key_file,
                                      context->ca_file};

    memset(looks, 0, FILES * sizeof looks[0]); /* with its padding: looks are compared as bytes */
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        if (paths[i] == NULL || stat(paths[i], &st) != 0)
            continue; /* reading it will say what is wrong */
        looks[i].dev = st.st_dev;
        looks[i].ino = st.st_ino;
        looks[i].size = st.st_size;
        looks[i].mtime = st.st_mtim;
    }
}

static enum err load(struct tls_context *context, const struct look looks[FILES],
                     struct error *error)
{
    ERR_clear_error();
    errno = 0;
    SSL_CTX *made = SSL_CTX_new(context->is_server ? TLS_server_method() : TLS_client_method());
    if (made == NULL)
        return error_set(error, ERR_NOMEM, "make a TLS context");
    set_up(context, made);
    enum err err = load_certificate(context, made, error);
    if (!err)
        err = load_authority(context, made, error);
    ERR_clear_error();
    if (err) {
        SSL_CTX_free(made);
        return err;
    }

    pthread_mutex_lock(&context->mutex);
    SSL_CTX *old = context->ssl_ctx;
    context->ssl_ctx = made;
    memcpy(context->looks, looks, sizeof context->looks);
    context->state.loads++;
    context->state.not_after_unix_s = end_of(made);
    pthread_mutex_unlock(&context->mutex);
    SSL_CTX_free(old);
    return OK;
}

static void release(struct tls_context *context)
{
    if (atomic_fetch_sub_explicit(&context->users, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(context->ssl_ctx);
    pthread_mutex_destroy(&context->mutex);
    free(context->certificate_file);
    free(context->key_file);
    free(context->ca_file);
    free(context);
}

void tls_context_close(struct tls_context **context)
{
    if (*context != NULL)
        release(*context);
    *context = NULL;
}

/* "h2,http/1.1" to the wire's form, each name behind its length. */
static void set_alpn(struct tls_context *context, const char *names)
{
    while (names != NULL && *names != '\0') {
        size_t len = strcspn(names, ",");
        ASSERT(len > 0);
        ASSERT(context->alpn_len + 1 + len <= ALPN_MAX);
        context->alpn[context->alpn_len++] = (uint8_t)len;
        memcpy(context->alpn + context->alpn_len, names, len);
        context->alpn_len += (unsigned)len;
        names += len + (names[len] == ',');
    }
}

static bool copy_path(const char *path, char **ret_copy)
{
    *ret_copy = path != NULL ? strdup(path) : NULL;
    return path == NULL || *ret_copy != NULL;
}

static enum err open_context(bool is_server, const struct tls_client_options *options,
                             struct tls_context **ret_context, struct error *error)
{
    AUTO(tls_context_close) struct tls_context *context = calloc(1, sizeof *context);
    struct look looks[FILES];

    if (context == NULL)
        return error_set(error, ERR_NOMEM, "make a TLS context");
    context->users = 1;
    pthread_mutex_init(&context->mutex, NULL);
    context->is_server = is_server;
    context->insecure_skip_verify = options->insecure_skip_verify;
    set_alpn(context, options->alpn);
    if (!copy_path(options->certificate_file, &context->certificate_file) ||
        !copy_path(options->key_file, &context->key_file) ||
        !copy_path(options->ca_file, &context->ca_file))
        return error_set(error, ERR_NOMEM, "make a TLS context");
    if ((context->certificate_file == NULL) != (context->key_file == NULL))
        return error_set(error, ERR_INVALID,
                         "TLS needs both a certificate and its key, or neither; %s is missing",
                         context->key_file == NULL ? "the key" : "the certificate");

    look_at(context, looks);
    enum err err = load(context, looks, error);
    if (err)
        return err;
    MOVE(*ret_context, context);
    return OK;
}

enum err tls_server_open(const struct tls_server_options *options, struct tls_context **ret_context,
                         struct error *error)
{
    const struct tls_client_options same = {
        .ca_file = options->client_ca_file,
        .certificate_file = options->certificate_file,
        .key_file = options->key_file,
        .alpn = options->alpn,
    };
    if (options->certificate_file == NULL)
        return error_set(error, ERR_INVALID, "a TLS server needs a certificate and its key");
    return open_context(true, &same, ret_context, error);
}

enum err tls_client_open(const struct tls_client_options *options, struct tls_context **ret_context,
                         struct error *error)
{
    return open_context(false, options, ret_context, error);
}

enum err tls_refresh(struct tls_context *context, bool *ret_changed, struct error *error)
{
    struct look looks[FILES];

    look_at(context, looks);
    pthread_mutex_lock(&context->mutex);
    bool same = memcmp(looks, context->looks, sizeof looks) == 0;
    pthread_mutex_unlock(&context->mutex);
    if (same) {
        *ret_changed = false;
        return OK;
    }

    enum err err = load(context, looks, error);
    if (err) {
        pthread_mutex_lock(&context->mutex);
        context->state.failures++;
        pthread_mutex_unlock(&context->mutex);
        return error_prefix(error, err, "keeping the TLS files read before");
    }
    *ret_changed = true;
    return OK;
}

void tls_context_state(struct tls_context *context, struct tls_state *ret_state)
{
    pthread_mutex_lock(&context->mutex);
    *ret_state = context->state;
    pthread_mutex_unlock(&context->mutex);
}

/* ---- streams */

void tls_stream_close(struct tls_stream **stream)
{
    struct tls_stream *old = *stream;
    if (old == NULL)
        return;
    *stream = NULL;

    if (old->ssl != NULL && old->up && !old->broken) {
        ERR_clear_error();
        SSL_shutdown(old->ssl); /* whether the peer hears it does not matter */
        ERR_clear_error();
    }
    SSL_free(old->ssl);
    release(old->context);
    free(old);
}

static enum err open_stream(struct tls_context *context, int fd, struct tls_stream **ret_stream,
                            struct error *error)
{
    struct tls_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return error_set(error, ERR_NOMEM, "start TLS");

    pthread_mutex_lock(&context->mutex);
    stream->ssl = SSL_new(context->ssl_ctx);
    pthread_mutex_unlock(&context->mutex);
    if (stream->ssl == NULL || SSL_set_fd(stream->ssl, fd) != 1) {
        SSL_free(stream->ssl);
        free(stream);
        return error_set(error, ERR_NOMEM, "start TLS");
    }
    if (context->is_server)
        SSL_set_accept_state(stream->ssl);
    else
        SSL_set_connect_state(stream->ssl);
    stream->context = context;
    atomic_fetch_add_explicit(&context->users, 1, memory_order_relaxed);
    *ret_stream = stream;
    return OK;
}

enum err tls_accept(struct tls_context *context, int fd, struct tls_stream **ret_stream,
                    struct error *error)
{
    ASSERT(context->is_server);
    return open_stream(context, fd, ret_stream, error);
}

static bool set_name(const struct tls_context *context, SSL *ssl, const char *name)
{
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    bool is_address = address != NULL;

    ASN1_OCTET_STRING_free(address);
    if (!is_address) {
        char host[TLSEXT_MAXLEN_host_name + 1]; /* OpenSSL's macro takes no const text */
        int len = snprintf(host, sizeof host, "%s", name);
        if (len < 0 || (size_t)len >= sizeof host || SSL_set_tlsext_host_name(ssl, host) != 1)
            return false;
    }
    if (context->insecure_skip_verify)
        return true;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

enum err tls_connect(struct tls_context *context, int fd, const char *server_name,
                     struct tls_stream **ret_stream, struct error *error)
{
    AUTO(tls_stream_close) struct tls_stream *stream = NULL;

    ASSERT(!context->is_server);
    enum err err = open_stream(context, fd, &stream, error);
    if (err)
        return err;
    ASSERT(stream != NULL); /* for the analyzers */
    if (!set_name(context, stream->ssl, server_name))
        return error_set(error, ERR_INVALID, "'%s' is no name that a certificate can have",
                         server_name);
    if (context->alpn_len > 0 &&
        SSL_set_alpn_protos(stream->ssl, context->alpn, context->alpn_len) != 0)
        return error_set(error, ERR_NOMEM, "start TLS");
    MOVE(*ret_stream, stream);
    return OK;
}

/* What a call of OpenSSL that did not succeed means. */
static enum err meaning(struct tls_stream *stream, int result, const char *what,
                        struct error *error)
{
    char scratch[96] = "";
    int code = SSL_get_error(stream->ssl, result);
    long verified = SSL_get_verify_result(stream->ssl);

    stream->wants_write = code == SSL_ERROR_WANT_WRITE;
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    if (code == SSL_ERROR_ZERO_RETURN)
        return error_set(error, ERR_CLOSED, "%s: the peer closed the connection", what);

    stream->broken = true;
    enum err err;
    if (code == SSL_ERROR_SYSCALL)
        err = error_set_errno(error, ERR_IO, "%s", what);
    else if (!stream->up && verified != X509_V_OK)
        err = error_set(error, ERR_INVALID, "%s: the peer's certificate is not accepted: %s", what,
                        X509_verify_cert_error_string(verified));
    else
        err = error_set(error, stream->up ? ERR_IO : ERR_INVALID, "%s: %s", what,
                        reason(scratch, sizeof scratch));
    ERR_clear_error();
    return err;
}

enum err tls_handshake(struct tls_stream *stream, struct error *error)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    if (result != 1)
        return meaning(stream, result, "TLS handshake", error);
    stream->up = true;
    stream->wants_write = false;
    return OK;
}

bool tls_wants_write(const struct tls_stream *stream)
{
    return stream->wants_write;
}

struct bytes tls_alpn(const struct tls_stream *stream)
{
    const uint8_t *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(stream->ssl, &name, &len);
    return (struct bytes){name, len};
}

enum err tls_read(struct tls_stream *stream, void *into, size_t cap, size_t *ret_len,
                  struct error *error)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(stream->ssl, into, cap, ret_len);
    if (result != 1)
        return meaning(stream, result, "TLS read", error);
    stream->wants_write = false;
    return OK;
}

enum err tls_write(struct tls_stream *stream, struct bytes data, size_t *ret_written,
                   struct error *error)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(stream->ssl, data.data, data.len, ret_written);
    if (result != 1)
        return meaning(stream, result, "TLS write", error);
    return OK;
}
