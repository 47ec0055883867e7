/* Logs in to Kafka as the operator does, with OAUTHBEARER, and says who is there.
 *
 *   operator_login HOST:PORT TOKEN_ENDPOINT CLIENT_ID CLIENT_SECRET
 *
 * Exit status 0: the cluster's id is on standard output. 1: the operator's own sentence is. */
#include "controller/kafka_admin/admin.h"

#include <stdio.h>

enum { WAIT_MS = 20000 };

static enum err ask(struct admin_pool *pool, const struct kafka_access *access,
                    struct admin_cluster *ret_cluster, struct error *error)
{
    AUTO(admin_release) struct admin *admin = NULL;

    enum err err = admin_acquire(pool, access, &admin, error);
    return err ? err : admin_describe_cluster(admin, WAIT_MS, ret_cluster, error);
}

int main(int argc, char **argv)
{
    AUTO(admin_pool_destroy) struct admin_pool *pool = NULL;
    struct admin_cluster cluster;
    struct error error = {0};

    if (argc != 5) {
        fputs("operator_login HOST:PORT TOKEN_ENDPOINT CLIENT_ID CLIENT_SECRET\n", stderr);
        return 2;
    }
    const struct kafka_access access = {.bootstrap = argv[1],
                                        .sasl = {.mechanism = "OAUTHBEARER",
                                                 .token_endpoint = argv[2],
                                                 .client_id = argv[3],
                                                 .client_secret = argv[4],
                                                 .scope = "kafka"}};
    enum err err = admin_pool_create(1, &pool, &error);
    if (!err)
        err = ask(pool, &access, &cluster, &error);
    puts(err ? error.text : cluster.id);
    return err ? 1 : 0;
}
