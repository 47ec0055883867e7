#include "sidecar/gateway/dead_letters.h"

#include "common/assert.h"
#include "common/backoff.h"
#include "common/base64.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/json.h"
#include "common/log.h"
#include "common/os.h"
#include "sidecar/kafka/kafka_access.h"
#include "sidecar/kafka/producer.h"
#include "sidecar/otlp/otlp_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TEXT_MAX = 24,
    COPIED_MAX = PRODUCER_HEADERS_MAX - 6,
    QUEUE_BYTES = 16 << 20,
    FILES_MS = 5000, /* between two looks at the files of credentials */
    FLUSH_MS = 1000,
};

static const struct backoff retry_backoff = {
    .initial_ms = 500, .max_ms = 30000, .multiplier_percent = 200, .jitter_percent = 30};

/* A letter until it is acknowledged. */
struct letter {
    struct letter *next; /* in the list of those that wait for a try */
    struct dead_letters *letters;
    struct dead_letter letter;
    char *topic, *from_topic, *reason;
    char partition[TEXT_MAX], offset[TEXT_MAX];
    struct {
        char *name;
        struct buf value;
    } copied[COPIED_MAX];
    size_t copied_len;
    uint32_t attempts;
    uint64_t due_ms;
    bool pointer; /* the value was too large: only where it came from */
};

struct dead_letters {
    struct dead_letters_options options;
    struct producer *producer; /* NULL until the first letter */
    uint32_t files_stamp;      /* when it was made */
    uint64_t files_at_ms;
    struct letter *waiting;
    size_t count;
    uint64_t acknowledged;
    char trouble[256]; /* of the last letter that was not taken */
    int fd;            /* of the local file */
    uint64_t end;
};

static void free_letter(struct letter *letter)
{
    for (size_t i = 0; i < letter->copied_len; i++) {
        free(letter->copied[i].name);
        buf_fini(&letter->copied[i].value);
    }
    free(letter->topic);
    free(letter->from_topic);
    free(letter->reason);
    free(letter);
}

static void finish(struct letter *letter)
{
    struct dead_letters *letters = letter->letters;

    letters->acknowledged++;
    letters->count--;
    letters->trouble[0] = '\0';
    letter->letter.done(letter->letter.context);
    free_letter(letter);
}

static void wait_again(struct letter *letter, const char *why)
{
    snprintf(letter->letters->trouble, sizeof letter->letters->trouble, "%.255s", why);
    letter->due_ms =
        clock_mono_ms() + backoff_delay_ms(&retry_backoff, letter->attempts, 0x80000000u);
    letter->next = letter->letters->waiting;
    letter->letters->waiting = letter;
}

/* ---- to the topic */

static void on_report(void *context, void *message, bool stored, int32_t partition, int64_t offset,
                      enum kafka_verdict verdict, const char *why)
{
    struct letter *letter = message;

    (void)context;
    (void)partition;
    (void)offset;
    if (stored) {
        finish(letter);
        return;
    }
    LOG_WARN("Kafka did not take a dead letter", LOG_STR("topic", letter->topic),
             LOG_STR("reason", why));
    if (verdict == KAFKA_TOO_LARGE || verdict == KAFKA_REFUSED)
        letter->pointer = true;
    wait_again(letter, why);
}

static enum err need_producer(struct dead_letters *letters, struct error *error)
{
    const struct producer_options options = {.access = letters->options.access,
                                             .compression = "zstd",
                                             .compression_level = 1,
                                             .queue_bytes = QUEUE_BYTES,
                                             .alone = true,
                                             .report = on_report,
                                             .context = letters};
    if (letters->producer != NULL)
        return OK;
    uint32_t stamp = kafka_access_stamp(letters->options.access); /* before they are read */
    enum err err = producer_open(&options, &letters->producer, error);
    if (!err)
        letters->files_stamp = stamp;
    return err;
}

/* Certificates and passwords are read when a client is made: when they change, another one is. What
 * the old one has not got through joins the list. */
static void follow_files(struct dead_letters *letters, uint64_t now_ms)
{
    struct producer *old = letters->producer;
    struct error error = {0};

    if (old == NULL || now_ms < letters->files_at_ms)
        return;
    letters->files_at_ms = now_ms + FILES_MS;
    if (kafka_access_stamp(letters->options.access) == letters->files_stamp)
        return;
    letters->producer = NULL;
    if (need_producer(letters, &error)) {
        letters->producer = old;
        LOG_ERROR("Kept the Kafka client of the dead letters: its new credentials can't be used",
                  LOG_STR("error", error.text));
        return;
    }
    LOG_INFO("Opened a Kafka client with new credentials for the dead letters");
    producer_close(&old, FLUSH_MS);
}

static size_t make_headers(const struct letter *letter,
                           struct producer_header headers[PRODUCER_HEADERS_MAX])
{
    size_t n = 0;

    headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_REASON, bytes_from(letter->reason)};
    headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_GATEWAY,
                                            bytes_from(letter->letters->options.source)};
    headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_TOPIC, bytes_from(letter->from_topic)};
    headers[n++] =
        (struct producer_header){NAMES_HEADER_DLQ_PARTITION, bytes_from(letter->partition)};
    headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_OFFSET, bytes_from(letter->offset)};
    if (letter->pointer)
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_POINTER, bytes_from("1")};
    for (size_t i = 0; i < letter->copied_len && n < PRODUCER_HEADERS_MAX; i++)
        headers[n++] =
            (struct producer_header){letter->copied[i].name, buf_bytes(&letter->copied[i].value)};
    return n;
}

static void send_to_topic(struct letter *letter)
{
    struct producer_header headers[PRODUCER_HEADERS_MAX];
    struct error error = {0};
    const struct producer_message message = {.topic = letter->topic,
                                             .partition = -1,
                                             .value = letter->pointer ? (struct bytes){0}
                                                                      : letter->letter.value,
                                             .headers = headers,
                                             .headers_len = make_headers(letter, headers),
                                             .timestamp_ms = (int64_t)clock_wall_ms(),
                                             .message = letter};

    letter->attempts++;
    enum err err = need_producer(letter->letters, &error);
    if (!err)
        err = producer_send(letter->letters->producer, &message, &error);
    if (!err)
        return;
    letter->pointer |= err == ERR_INVALID;
    LOG_WARN("Could not send a dead letter", LOG_STR("topic", letter->topic),
             LOG_STR("error", error.text));
    wait_again(letter, error.text);
}

/* ---- to the local file */

/* {"time":N,"signal":"traces","reason":"...","otlp":{...}} or, if it is no OTLP, "base64":"..." */
static enum err make_line(const struct letter *letter, struct buf *line)
{
    AUTO(json_free) struct json *root = json_new_object(), *otlp = NULL;
    AUTO(buf_fini) struct buf text = {0};

    json_set_number(root, "time", (double)clock_wall_ms());
    json_set_string(root, "signal", signal_name(letter->letter.signal));
    json_set_string(root, "reason", letter->reason);
    if (otlp_json_write(letter->letter.signal, letter->letter.value, &text, NULL) == OK &&
        json_parse(buf_bytes(&text), text.len, &otlp, NULL) == OK) {
        json_set(root, "otlp", &otlp);
    } else {
        buf_clear(&text);
        if (base64_encode(letter->letter.value, &text) || buf_text(&text) == NULL)
            return ERR_NOMEM;
        json_set_string(root, "base64", (const char *)text.data);
    }
    enum err err = json_print(root, line);
    return err ? err : buf_append_byte(line, '\n');
}

static void write_to_file(struct letter *letter)
{
    struct dead_letters *letters = letter->letters;
    AUTO(buf_fini) struct buf line = {0};
    struct error error = {0};

    letter->attempts++;
    enum err err = OK;
    if (letters->fd < 0) {
        err = os_open(letters->options.file, &letters->fd, &error);
        if (!err)
            err = os_size(letters->fd, &letters->end, &error);
    }
    if (!err)
        err = make_line(letter, &line);
    if (!err)
        err = os_write_at(letters->fd, buf_bytes(&line), letters->end, &error);
    if (!err)
        err = os_sync(letters->fd, &error);
    if (err) {
        LOG_ERROR("Could not write a dead letter", LOG_STR("file", letters->options.file),
                  LOG_STR("error", error.text));
        os_close(&letters->fd); /* what it holds now is unknown: look again */
        wait_again(letter, error.text);
        return;
    }
    letters->end += line.len;
    finish(letter);
}

/* ---- the interface */

enum err dead_letters_open(const struct dead_letters_options *options,
                           struct dead_letters **ret_letters, struct error *error)
{
    struct dead_letters *letters = calloc(1, sizeof *letters);
    if (letters == NULL)
        return error_set(error, ERR_NOMEM, "open dead letters");
    letters->options = *options;
    letters->fd = -1;
    *ret_letters = letters;
    return OK;
}

void dead_letters_close(struct dead_letters **letters)
{
    struct dead_letters *gone = *letters;
    if (gone == NULL)
        return;

    producer_close(&gone->producer, FLUSH_MS); /* what is reported now joins the list */
    while (gone->waiting != NULL) {
        struct letter *letter = gone->waiting;
        gone->waiting = letter->next;
        free_letter(letter);
    }
    os_close(&gone->fd);
    free(gone);
    *letters = NULL;
}

static void copy_headers(struct letter *letter, const struct consumer_message *original)
{
    const char *name = NULL;
    struct bytes value;

    for (size_t i = 0; original != NULL && letter->copied_len < COPIED_MAX &&
                       consumer_header_at(original, i, &name, &value);
         i++) {
        struct buf *copy = &letter->copied[letter->copied_len].value;
        letter->copied[letter->copied_len].name = strdup(name);
        if (letter->copied[letter->copied_len].name == NULL || buf_append(copy, value))
            abort(); /* a few bytes: a restart reads the message anew */
        letter->copied_len++;
    }
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text == NULL ? "" : text);
    if (copy == NULL)
        abort(); /* see copy_headers() */
    return copy;
}

void dead_letters_put(struct dead_letters *letters, const struct dead_letter *letter)
{
    struct letter *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        abort(); /* see copy_headers() */

    kept->letters = letters;
    kept->letter = *letter;
    kept->topic = copy_text(letter->topic);
    kept->from_topic = copy_text(letter->from_topic);
    kept->reason = copy_text(letter->reason);
    snprintf(kept->partition, sizeof kept->partition, "%" PRId32, letter->partition);
    snprintf(kept->offset, sizeof kept->offset, "%" PRId64, letter->offset);
    copy_headers(kept, letter->original);
    letters->count++;
    kept->next = letters->waiting; /* due at once */
    letters->waiting = kept;
}

void dead_letters_poll(struct dead_letters *letters, uint64_t now_ms)
{
    follow_files(letters, now_ms);
    if (letters->producer != NULL) {
        producer_poll(letters->producer, 0);
        if (producer_is_dead(letters->producer))
            producer_close(&letters->producer, 0); /* its letters join the list */
    }
    struct letter *list = letters->waiting;
    letters->waiting = NULL;
    while (list != NULL) {
        struct letter *letter = list;
        list = letter->next;
        if (letter->due_ms > now_ms) {
            letter->next = letters->waiting;
            letters->waiting = letter;
        } else if (letters->options.access != NULL) {
            send_to_topic(letter);
        } else {
            write_to_file(letter);
        }
    }
}

void dead_letters_trouble(const struct dead_letters *letters, char *text, size_t size)
{
    uint64_t since_ms = 0;

    text[0] = '\0';
    if (letters->count == 0)
        return;
    snprintf(text, size, "%s", letters->trouble);
    if (text[0] == '\0' && letters->producer != NULL) /* in the client's queue, and Kafka away */
        kafka_health_read(producer_health(letters->producer), text, size, &since_ms);
}

size_t dead_letters_waiting(const struct dead_letters *letters)
{
    return letters->count;
}

uint64_t dead_letters_count(const struct dead_letters *letters)
{
    return letters->acknowledged;
}
