/* http_script: an HTTP/1.1 peer on 127.0.0.1 that plays given answers, as badly as wanted, and
 * records what it was asked.
 *
 * Requests take the steps in order, on whatever connection they come; one after the last step is
 * answered with 599. Threads of its own; the functions below are for the test's thread.
 */
#ifndef TESTS_SUPPORT_HTTP_SCRIPT_H
#define TESTS_SUPPORT_HTTP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

enum http_step_end {
    HTTP_END_CLEAN, /* and the connection may be used again */
    HTTP_END_CUT,   /* close without the end that was promised */
    HTTP_END_HOLD,  /* say nothing more until the script is destroyed or the peer goes */
};

struct http_step {
    const char *expect;  /* must occur in the request, else 598 is answered; NULL: anything */
    int status;          /* 0: no answer at all, only `end` */
    const char *headers; /* lines ended by CRLF, or NULL */
    const char *body;    /* NULL: none */
    bool chunked;        /* as a stream, without Content-Length */
    size_t piece;        /* bytes in one write (and chunk); 0: all of it */
    unsigned delay_ms;   /* before the answer, and between pieces */
    size_t cut; /* only this many bytes of body are sent (with HTTP_END_CUT or HOLD); 0: all */
    enum http_step_end end;
};

struct http_script;

/* `steps` outlive the script. */
struct http_script *http_script_start(const struct http_step *steps, size_t count);
void http_script_stop(struct http_script **script);

/* "http://127.0.0.1:PORT" */
const char *http_script_url(const struct http_script *script);

/* Waits until `count` requests have been read whole, at most a minute; returns whether they came.
 */
bool http_script_wait(struct http_script *script, size_t count);
size_t http_script_requests(struct http_script *script);
size_t http_script_connections(struct http_script *script);

/* Head and body of the nth request as they came; valid until the script is stopped. */
const char *http_script_request(struct http_script *script, size_t nth);

#endif
