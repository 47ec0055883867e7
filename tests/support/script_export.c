#include "tests/support/script_export.h"

#include "tests/support/test.h"

#include <string.h>

struct export
{
    struct export_batch pending[SCRIPT_EXPORT_MAX];
    unsigned count;
    enum err refuse;
};

static struct export the_one;

struct export *script_export_new(void)
{
    the_one = (struct export){.count = 0};
    return &the_one;
}

unsigned script_export_pending(void)
{
    return the_one.count;
}

const struct export_batch *script_export_at(unsigned index)
{
    assert_true(index < the_one.count);
    return &the_one.pending[index];
}

void script_export_answer(unsigned index, const struct judgement *judgement)
{
    assert_true(index < the_one.count);
    struct export_batch batch = the_one.pending[index];

    the_one.count--;
    memmove(&the_one.pending[index], &the_one.pending[index + 1],
            (the_one.count - index) * sizeof batch);
    batch.done(batch.context, judgement);
}

void script_export_refuse(enum err err)
{
    the_one.refuse = err;
}

enum err export_send(struct export *export, const struct export_batch *batch, struct error *error)
{
    assert_true(export->count < SCRIPT_EXPORT_MAX);
    if (export->refuse)
        return error_set(error, export->refuse, "not now");
    export->pending[export->count++] = *batch;
    return OK;
}
