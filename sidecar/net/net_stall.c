/* Bodies that were given memory and don't come. Their sender has died without a word, or means it
 * so; either way they would keep the memory until body_timeout_ms, and a few of them all of it,
 * while others are refused for want of it. So whoever waits for memory has a claim on what lies
 * idle.
 *
 * A server with bodies under way looks at them a few times in body_stall_ms, and notes how far each
 * has come. Waiters may be of another thread's server, so the budget is asked and not told. When a
 * look is itself late, this thread was held up, and bytes may wait in the kernel that nobody could
 * read: then nobody is judged.
 */
#include "sidecar/net/server_internal.h"

enum {
    LOOKS = 4,               /* within body_stall_ms */
    PROGRESS_MIN = 8 * 1024, /* bytes within it, of one body: less is no progress */
};

static uint64_t pause_ms(const struct net_server *server)
{
    return server->options.body_stall_ms / LOOKS + 1;
}

static void note_progress(struct net_request *request, uint64_t now_ms)
{
    request->progress_len = request->body.len;
    request->progress_ms = now_ms;
}

static void look_again(struct net_server *server, uint64_t now_ms)
{
    server->looked_ms = now_ms;
    net_timer_set(server->loop, &server->stall_timer, now_ms + pause_ms(server));
}

void stall_watch(struct net_request *request)
{
    struct net_server *server = request->server;
    uint64_t now_ms = net_loop_now_ms(server->loop);

    note_progress(request, now_ms);
    if (!server->stall_timer.armed && !server->closed)
        look_again(server, now_ms);
}

static bool is_under_way(const struct net_request *request)
{
    return request->state == REQUEST_RECEIVING && request->admission == ADMISSION_DONE &&
           request->refusal == NET_REFUSED_NOT;
}

/* Returns how many of the connection's bodies are under way. Gives back no more than is waited for.
 */
static unsigned look_at(struct net_conn *conn, uint64_t now_ms, bool late)
{
    struct net_server *server = conn->server;
    unsigned under_way = 0;

    for (struct net_request *request = conn->requests, *next; request != NULL; request = next) {
        next = request->next;
        if (!is_under_way(request))
            continue;
        under_way++;
        if (late || request->body.len - request->progress_len >= PROGRESS_MIN)
            note_progress(request, now_ms);
        if (now_ms - request->progress_ms < server->options.body_stall_ms ||
            !net_budget_is_waited_for(server->options.budget))
            continue;
        server_count_refusal(server, NET_REFUSED_BODY_STALLED);
        conn->protocol->stalled(conn, request);
        if (conn->closed)
            break;
    }
    return under_way;
}

void stall_look(struct net_timer *timer)
{
    struct net_server *server = CONTAINER_OF(timer, struct net_server, stall_timer);
    uint64_t now_ms = net_loop_now_ms(server->loop);
    bool late = now_ms - server->looked_ms > 2 * pause_ms(server);
    unsigned under_way = 0;

    for (struct net_conn *conn = server->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        under_way += look_at(conn, now_ms, late);
    }
    if (under_way > 0)
        look_again(server, now_ms);
}
