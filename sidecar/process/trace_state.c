#include "sidecar/process/trace_state.h"

#include "common/assert.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Takes what is in front of the next separator, or all. False: nothing is left. */
static bool next_part(struct bytes *rest, char separator, struct bytes *ret_part)
{
    if (rest->data == NULL)
        return false;
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;

    *ret_part = (struct bytes){rest->data, len};
    *rest = end != NULL ? (struct bytes){end + 1, rest->len - len - 1} : (struct bytes){0};
    return true;
}

/* The next member that is not empty, without the blanks around it. */
static bool next_member(struct bytes *rest, struct bytes *ret_member)
{
    struct bytes member;

    while (next_part(rest, ',', &member)) {
        for (; member.len > 0 && is_blank(member.data[0]); member.len--)
            member.data++;
        while (member.len > 0 && is_blank(member.data[member.len - 1]))
            member.len--;
        if (member.len == 0)
            continue;
        *ret_member = member;
        return true;
    }
    return false;
}

/* Whether `text` begins with it; what is behind. */
static bool goes_on(struct bytes text, struct bytes start, struct bytes *ret_rest)
{
    if (text.len < start.len || memcmp(text.data, start.data, start.len) != 0)
        return false;
    *ret_rest = (struct bytes){text.data + start.len, text.len - start.len};
    return true;
}

static bool is_ot(struct bytes member, struct bytes *ret_value)
{
    return goes_on(member, BYTES_LITERAL("ot="), ret_value);
}

static bool is_threshold(struct bytes sub, struct bytes *ret_value)
{
    return goes_on(sub, BYTES_LITERAL("th:"), ret_value);
}

/* ---- numbers */

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Digits that are not there are zeros. */
static uint64_t number_of(struct bytes digits, size_t least)
{
    uint64_t number = 0;

    if (digits.len < least || digits.len > TRACE_STATE_DIGITS)
        return TRACE_STATE_ABSENT;
    for (size_t i = 0; i < TRACE_STATE_DIGITS; i++) {
        int digit = i < digits.len ? digit_of(digits.data[i]) : 0;
        if (digit < 0)
            return TRACE_STATE_ABSENT;
        number = number << 4 | (unsigned)digit;
    }
    return number;
}

static size_t put_number(uint64_t number, uint8_t digits[static TRACE_STATE_DIGITS])
{
    size_t len = 1;

    for (size_t i = 0; i < TRACE_STATE_DIGITS; i++) {
        digits[i] = (uint8_t) "0123456789abcdef"[number >> 4 * (TRACE_STATE_DIGITS - 1 - i) & 15];
        if (digits[i] != '0')
            len = i + 1;
    }
    return len;
}

/* ---- reading */

/* Whether sub-keys and their values have no other characters than they may. */
static bool is_sound(struct bytes ot)
{
    for (size_t i = 0; i < ot.len; i++) {
        uint8_t c = ot.data[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') &&
            memchr("._-:;", c, 5) == NULL)
            return false;
    }
    return true;
}

bool trace_state_read(struct bytes text, struct trace_state *ret_state)
{
    struct trace_state state = {
        .text = text, .threshold = TRACE_STATE_ABSENT, .randomness = TRACE_STATE_ABSENT};
    struct bytes member, sub, value;
    bool found = false;

    for (struct bytes rest = text; next_member(&rest, &member);) {
        if (!is_ot(member, &value))
            continue;
        if (found || !is_sound(value))
            return false;
        found = true;
        state.ot = value;
    }
    for (struct bytes rest = state.ot; next_part(&rest, ';', &sub);) {
        if (is_threshold(sub, &value)) {
            state.has_threshold = true;
            state.threshold = number_of(value, 1);
        } else if (goes_on(sub, BYTES_LITERAL("rv:"), &value)) {
            state.randomness = number_of(value, TRACE_STATE_DIGITS);
        }
    }
    *ret_state = state;
    return true;
}

/* ---- writing */

/* The sub-keys anew; their length. */
static size_t put_ot(const struct trace_state *state, uint64_t threshold,
                     uint8_t into[static TRACE_STATE_OT_MAX])
{
    struct bytes sub, value;
    size_t len = 0;

    if (threshold != TRACE_STATE_ABSENT) {
        memcpy(into, "th:", 3);
        len = 3 + put_number(threshold, into + 3);
    }
    for (struct bytes rest = state->ot; next_part(&rest, ';', &sub);) {
        if (sub.len == 0 || is_threshold(sub, &value))
            continue;
        if (sub.len + (len > 0) > TRACE_STATE_OT_MAX - len)
            return SIZE_MAX;
        if (len > 0)
            into[len++] = ';';
        memcpy(into + len, sub.data, sub.len);
        len += sub.len;
    }
    return len;
}

static enum err append_member(struct buf *out, size_t begin, struct bytes name, struct bytes member)
{
    enum err err = out->len > begin ? buf_append_byte(out, ',') : OK;
    if (!err)
        err = buf_append(out, name);
    return err ? err : buf_append(out, member);
}

enum err trace_state_write(const struct trace_state *state, uint64_t threshold, struct buf *out)
{
    uint8_t ot[TRACE_STATE_OT_MAX];
    struct bytes member, value;
    size_t begin = out->len, members = 0;
    enum err err = OK;

    ASSERT(threshold == TRACE_STATE_ABSENT || threshold >> 4 * TRACE_STATE_DIGITS == 0);
    size_t len = put_ot(state, threshold, ot);
    if (len == SIZE_MAX)
        return ERR_INVALID;
    if (len > 0) {
        err = append_member(out, begin, BYTES_LITERAL("ot="), (struct bytes){ot, len});
        members++;
    }
    for (struct bytes rest = state->text; !err && next_member(&rest, &member);)
        if (!is_ot(member, &value) && members++ < TRACE_STATE_MEMBERS_MAX)
            err = append_member(out, begin, (struct bytes){0}, member);
    return err;
}
