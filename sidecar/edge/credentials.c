#include "sidecar/edge/credentials.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/tls.h"
#include "sidecar/edge/receive_tokens.h"

static const struct metric_desc reloads_desc = {
    .name = "surgetank_edge_credential_reloads_total",
    .kind = METRIC_COUNTER,
    .help = "Changed credential files, by whether they could be taken over.",
    .labels = {"what", "result"}};
static const struct metric_desc expiry_desc = {
    .name = "surgetank_edge_certificate_expiry_seconds",
    .kind = METRIC_GAUGE,
    .help = "When the certificate that clients are shown ends, as Unix time."};

static void tell(const char *what, enum err err, bool changed, const struct error *error)
{
    if (err)
        LOG_ERROR("Kept old credentials", LOG_STR("what", what), LOG_STR("error", error->text));
    else if (changed)
        LOG_INFO("Took over new credentials", LOG_STR("what", what));
    if (err || changed)
        metric_add(metrics_series(&reloads_desc, what, err ? "failed" : "ok"), 1);
}

void credentials_refresh(struct tls_context *tls, struct receive_tokens *tokens)
{
    struct error error = {0};
    bool changed = false;

    if (tls != NULL) {
        enum err err = tls_refresh(tls, &changed, &error);
        tell("certificate", err, changed, &error);
    }
    changed = false;
    if (tokens != NULL) {
        enum err err = receive_tokens_refresh(tokens, &changed, &error);
        tell("tokens", err, changed, &error);
    }
}

void credentials_show(struct tls_context *tls)
{
    struct tls_state state;

    if (tls == NULL)
        return;
    tls_context_state(tls, &state);
    metric_set(metrics_series(&expiry_desc), (double)state.not_after_unix_s);
}
