/* Answers are small and rare, so JSON goes through a tree here, and nothing is fast. */
#include "sidecar/otlp/status.h"

#include "common/assert.h"
#include "common/json.h"
#include "common/utf8.h"
#include "sidecar/otlp/wire.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

/* Field numbers; see the header. */
enum { STATUS_CODE = 1, STATUS_MESSAGE = 2, STATUS_DETAILS = 3 };
enum { ANY_TYPE_URL = 1, ANY_VALUE = 2 };
enum { RETRY_DELAY = 1, DURATION_SECONDS = 1, DURATION_NANOS = 2 };
enum { PARTIAL_SUCCESS = 1, PARTIAL_REJECTED = 1, PARTIAL_MESSAGE = 2 };

enum { SMALL = 128, BODY_MAX = 4 << 20 };

static const char retry_info_type[] = "type.googleapis.com/google.rpc.RetryInfo";

const char *otlp_content_type(enum otlp_encoding encoding)
{
    return encoding == OTLP_PROTO ? "application/x-protobuf" : "application/json";
}

bool otlp_encoding_of(struct bytes content_type, enum otlp_encoding *ret_encoding)
{
    size_t len = 0;

    while (len < content_type.len && content_type.data[len] != ';')
        len++;
    while (len > 0 && isspace(content_type.data[len - 1]))
        len--;
    for (int encoding = OTLP_PROTO; encoding <= OTLP_JSON; encoding++) {
        const char *name = otlp_content_type((enum otlp_encoding)encoding);
        if (len == strlen(name) && strncasecmp((const char *)content_type.data, name, len) == 0) {
            *ret_encoding = (enum otlp_encoding)encoding;
            return true;
        }
    }
    return false;
}

/* Copies text that may be anything: what is not UTF-8, or a NUL, becomes U+FFFD. */
static void copy_text(struct bytes text, char to[OTLP_MESSAGE_MAX])
{
    const uint8_t *at = text.data, *end = at + text.len;
    uint8_t bytes[OTLP_MESSAGE_MAX], *put = bytes;

    while (at < end && put + 4 < bytes + sizeof bytes) {
        unsigned len = *at == 0 ? 0 : utf8_sequence(at, end);
        if (len == 0) {
            put = utf8_put(put, 0xfffd);
            at++;
            continue;
        }
        memcpy(put, at, len);
        put += len;
        at += len;
    }
    *put++ = '\0';
    memcpy(to, bytes, (size_t)(put - bytes));
}

/* ---- encoding */

static uint8_t *put_text(uint8_t *to, uint32_t number, const char *text)
{
    struct bytes bytes = bytes_from(text);

    if (bytes.len == 0)
        return to;
    to = wire_put_len(to, number, bytes.len);
    memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

static uint8_t *put_int(uint8_t *to, uint32_t number, uint64_t value)
{
    if (value == 0)
        return to;
    to = wire_put_varint(to, WIRE_TAG(number, WIRE_VARINT));
    return wire_put_varint(to, value);
}

static uint8_t *put_bytes(uint8_t *to, uint32_t number, const uint8_t *data, const uint8_t *end)
{
    to = wire_put_len(to, number, (size_t)(end - data));
    memcpy(to, data, (size_t)(end - data));
    return to + (end - data);
}

static uint8_t *put_retry_info(uint8_t *to, uint64_t delay_ms)
{
    uint8_t duration[SMALL], info[SMALL], any[SMALL], *end;

    end = put_int(duration, DURATION_SECONDS, delay_ms / 1000);
    end = put_int(end, DURATION_NANOS, delay_ms % 1000 * 1000000);
    end = put_bytes(info, RETRY_DELAY, duration, end);
    uint8_t *any_end = put_text(any, ANY_TYPE_URL, retry_info_type);
    any_end = put_bytes(any_end, ANY_VALUE, info, end);
    return put_bytes(to, STATUS_DETAILS, any, any_end);
}

static enum err print_json(struct json *root, struct buf *out)
{
    enum err err = json_print(root, out);
    json_free(&root);
    return err;
}

static enum err status_to_json(const struct otlp_status *status, const char *message,
                               struct buf *out)
{
    struct json *root = json_new_object();

    json_set_number(root, "code", status->code);
    json_set_string(root, "message", message);
    if (status->has_retry_delay) {
        char delay[32];
        uint64_t seconds = status->retry_delay_ms / 1000, ms = status->retry_delay_ms % 1000;
        snprintf(delay, sizeof delay, ms == 0 ? "%" PRIu64 "s" : "%" PRIu64 ".%03us", seconds,
                 (unsigned)ms);
        struct json *info = json_add_object(json_set_array(root, "details"));
        json_set_string(info, "@type", retry_info_type);
        json_set_string(info, "retryDelay", delay);
    }
    return print_json(root, out);
}

enum err otlp_status_encode(const struct otlp_status *status, enum otlp_encoding encoding,
                            struct buf *out)
{
    uint8_t bytes[OTLP_MESSAGE_MAX + 2 * SMALL], *end = bytes;
    char message[OTLP_MESSAGE_MAX];

    copy_text(bytes_from(status->message), message);
    if (encoding == OTLP_JSON)
        return status_to_json(status, message, out);
    end = put_int(end, STATUS_CODE, (uint64_t)(int64_t)status->code);
    end = put_text(end, STATUS_MESSAGE, message);
    if (status->has_retry_delay)
        end = put_retry_info(end, status->retry_delay_ms);
    ASSERT(end <= bytes + sizeof bytes);
    return buf_append(out, (struct bytes){bytes, (size_t)(end - bytes)});
}

static const char *rejected_name(enum signal signal)
{
    return signal == SIGNAL_TRACES    ? "rejectedSpans"
           : signal == SIGNAL_METRICS ? "rejectedDataPoints"
                                      : "rejectedLogRecords";
}

enum err otlp_response_encode(enum signal signal, const struct otlp_response *response,
                              enum otlp_encoding encoding, struct buf *out)
{
    uint8_t partial[OTLP_MESSAGE_MAX + SMALL], bytes[OTLP_MESSAGE_MAX + 2 * SMALL];
    char message[OTLP_MESSAGE_MAX];

    copy_text(bytes_from(response->message), message);
    if (encoding == OTLP_JSON) {
        struct json *root = json_new_object();
        if (response->partial) {
            char rejected[32];
            struct json *partial_success = json_set_object(root, "partialSuccess");
            snprintf(rejected, sizeof rejected, "%" PRId64, response->rejected);
            json_set_string(partial_success, rejected_name(signal), rejected);
            json_set_string(partial_success, "errorMessage", message);
        }
        return print_json(root, out);
    }
    if (!response->partial)
        return OK;
    uint8_t *end = put_int(partial, PARTIAL_REJECTED, (uint64_t)response->rejected);
    end = put_text(end, PARTIAL_MESSAGE, message);
    end = put_bytes(bytes, PARTIAL_SUCCESS, partial, end);
    return buf_append(out, (struct bytes){bytes, (size_t)(end - bytes)});
}

/* ---- decoding protobuf */

static uint64_t duration_ms(int64_t seconds, int64_t nanos)
{
    if (seconds < 0 || nanos < 0)
        return 0;
    if (seconds > INT64_MAX / 1000 - 1)
        return INT64_MAX;
    return (uint64_t)seconds * 1000 + (uint64_t)nanos / 1000000;
}

static bool read_duration(struct bytes duration, struct otlp_status *status)
{
    struct wire_field field;
    int64_t seconds = 0, nanos = 0;

    while (duration.len > 0) {
        if (!wire_next(&duration, &field))
            return false;
        if (field.type != WIRE_VARINT)
            continue;
        if (field.number == DURATION_SECONDS)
            seconds = (int64_t)field.value;
        if (field.number == DURATION_NANOS)
            nanos = (int32_t)field.value;
    }
    status->retry_delay_ms = duration_ms(seconds, nanos);
    return true;
}

/* Whatever is in front of the slash: it says where to look a type up, and not which it is. */
static bool is_retry_info(struct bytes type)
{
    static const char name[] = "/google.rpc.RetryInfo";
    size_t len = sizeof name - 1;

    return type.len >= len && memcmp(type.data + type.len - len, name, len) == 0;
}

static bool read_detail(struct bytes any, struct otlp_status *status)
{
    struct bytes type = {0}, value = {0};
    struct wire_field field;

    while (any.len > 0) {
        if (!wire_next(&any, &field))
            return false;
        if (field.type == WIRE_LEN && field.number == ANY_TYPE_URL)
            type = field.payload;
        if (field.type == WIRE_LEN && field.number == ANY_VALUE)
            value = field.payload;
    }
    if (!is_retry_info(type))
        return true;
    status->has_retry_delay = true;
    while (value.len > 0) {
        if (!wire_next(&value, &field))
            return false;
        if (field.type == WIRE_LEN && field.number == RETRY_DELAY &&
            !read_duration(field.payload, status))
            return false;
    }
    return true;
}

static bool read_status(struct bytes body, struct otlp_status *status)
{
    struct wire_field field;

    while (body.len > 0) {
        if (!wire_next(&body, &field))
            return false;
        if (field.number == STATUS_CODE && field.type == WIRE_VARINT)
            status->code = (int32_t)field.value;
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == STATUS_MESSAGE)
            copy_text(field.payload, status->message);
        if (field.number == STATUS_DETAILS && !read_detail(field.payload, status))
            return false;
    }
    return true;
}

static bool read_partial(struct bytes partial, struct otlp_response *response)
{
    struct wire_field field;

    while (partial.len > 0) {
        if (!wire_next(&partial, &field))
            return false;
        if (field.number == PARTIAL_REJECTED && field.type == WIRE_VARINT)
            response->rejected = (int64_t)field.value;
        if (field.number == PARTIAL_MESSAGE && field.type == WIRE_LEN)
            copy_text(field.payload, response->message);
    }
    return true;
}

static bool read_response(struct bytes body, struct otlp_response *response)
{
    struct wire_field field;

    while (body.len > 0) {
        if (!wire_next(&body, &field))
            return false;
        if (field.number == PARTIAL_SUCCESS && field.type == WIRE_LEN &&
            !read_partial(field.payload, response))
            return false;
    }
    return true;
}

/* ---- decoding JSON */

static enum err parse_object(struct bytes body, struct json **ret_root, struct error *error)
{
    enum err err = json_parse(body, BODY_MAX, ret_root, error);
    if (err)
        return error_set(error, ERR_INVALID, "the answer's body is not JSON");
    if (json_kind(*ret_root) != JSON_OBJECT) {
        json_free(ret_root);
        return error_set(error, ERR_INVALID, "the answer's body is not a JSON object");
    }
    return OK;
}

/* "1.5s", "3s", "0.000000001s"; what is not that is no delay. */
static uint64_t delay_ms(const char *text)
{
    int64_t seconds = 0, nanos = 0, scale = 100000000;

    for (; isdigit((unsigned char)*text); text++) {
        if (seconds > INT64_MAX / 10000)
            return INT64_MAX;
        seconds = seconds * 10 + (*text - '0');
    }
    if (*text == '.') {
        for (text++; isdigit((unsigned char)*text); text++, scale /= 10)
            nanos += scale * (*text - '0');
    }
    return strcmp(text, "s") == 0 ? duration_ms(seconds, nanos) : 0;
}

static enum err status_from_json(struct bytes body, struct otlp_status *status, struct error *error)
{
    AUTO(json_free) struct json *root = NULL;

    enum err err = parse_object(body, &root, error);
    if (err)
        return err;
    status->code = (int32_t)json_int(json_get(root, "code"), 0);
    copy_text(bytes_from(json_string(json_get(root, "message"), "")), status->message);
    JSON_EACH(detail, json_get(root, "details")) {
        if (!is_retry_info(bytes_from(json_string(json_get(detail, "@type"), ""))))
            continue;
        status->has_retry_delay = true;
        status->retry_delay_ms = delay_ms(json_string(json_get(detail, "retryDelay"), ""));
    }
    return OK;
}

static int64_t int_of(const struct json *json)
{
    const char *text = json_string(json, NULL);
    int64_t value = 0;

    if (text == NULL)
        return json_int(json, 0);
    return sscanf(text, "%" SCNd64, &value) == 1 ? value : 0;
}

static enum err response_from_json(enum signal signal, struct bytes body,
                                   struct otlp_response *response, struct error *error)
{
    AUTO(json_free) struct json *root = NULL;

    enum err err = parse_object(body, &root, error);
    if (err)
        return err;
    const struct json *partial = json_get(root, "partialSuccess");
    response->rejected = int_of(json_get(partial, rejected_name(signal)));
    copy_text(bytes_from(json_string(json_get(partial, "errorMessage"), "")), response->message);
    return OK;
}

/* ---- both */

enum err otlp_status_decode(struct bytes body, enum otlp_encoding encoding,
                            struct otlp_status *ret_status, struct error *error)
{
    struct otlp_status status = {0};

    if (body.len > 0 && encoding == OTLP_JSON) {
        enum err err = status_from_json(body, &status, error);
        if (err)
            return err;
    } else if (!read_status(body, &status)) {
        return error_set(error, ERR_INVALID, "the answer's body is not a google.rpc.Status");
    }
    *ret_status = status;
    return OK;
}

enum err otlp_response_decode(enum signal signal, struct bytes body, enum otlp_encoding encoding,
                              struct otlp_response *ret_response, struct error *error)
{
    struct otlp_response response = {0};

    if (body.len > 0 && encoding == OTLP_JSON) {
        enum err err = response_from_json(signal, body, &response, error);
        if (err)
            return err;
    } else if (!read_response(body, &response)) {
        return error_set(error, ERR_INVALID, "the answer's body is not an OTLP response");
    }
    response.partial = response.rejected != 0 || response.message[0] != '\0';
    *ret_response = response;
    return OK;
}
