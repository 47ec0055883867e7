#include "tests/support/broker_process.h"

#include "tests/support/mock_kafka.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum order_kind { TOPIC, CLOSE_PORT, OPEN_PORT, DELAY };

struct order {
    enum order_kind kind;
    unsigned number;
    char name[64];
};

/* ---- the child */

static void obey(struct mock_kafka *kafka, const struct order *order)
{
    enum { BROKER = 1 };

    if (order->kind == TOPIC)
        rd_kafka_mock_topic_create(kafka->cluster, order->name, (int)order->number, 1);
    else if (order->kind == DELAY)
        rd_kafka_mock_broker_set_rtt(kafka->cluster, BROKER, (int)order->number);
    else if (order->kind == CLOSE_PORT)
        rd_kafka_mock_broker_set_down(kafka->cluster, BROKER);
    else
        rd_kafka_mock_broker_set_up(kafka->cluster, BROKER);
}

static void be_the_broker(int from, int to)
{
    struct mock_kafka kafka;
    struct order order;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mock_kafka_start(&kafka);
    if (write(to, kafka.bootstrap, sizeof kafka.bootstrap) != sizeof kafka.bootstrap)
        _exit(1);
    while (read(from, &order, sizeof order) == sizeof order) {
        obey(&kafka, &order);
        if (write(to, "", 1) != 1)
            break;
    }
    _exit(0);
}

/* ---- the test */

void broker_process_start(struct broker_process *broker)
{
    int orders[2], answers[2];

    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    broker->pid = fork();
    assert_true(broker->pid >= 0);
    if (broker->pid == 0) {
        close(orders[1]);
        be_the_broker(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    broker->to = orders[1];
    broker->from = answers[0];
    assert_int_equal(read(broker->from, broker->bootstrap, sizeof broker->bootstrap),
                     sizeof broker->bootstrap);
}

void broker_process_stop(struct broker_process *broker)
{
    kill(broker->pid, SIGKILL);
    assert_int_equal(waitpid(broker->pid, NULL, 0), broker->pid);
    close(broker->to);
    close(broker->from);
}

void broker_process_freeze(struct broker_process *broker)
{
    int status = 0;

    assert_int_equal(kill(broker->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(broker->pid, &status, WUNTRACED), broker->pid);
    assert_true(WIFSTOPPED(status));
}

void broker_process_thaw(struct broker_process *broker)
{
    assert_int_equal(kill(broker->pid, SIGCONT), 0);
}

static void tell(struct broker_process *broker, const struct order *order)
{
    char done = 1;

    assert_int_equal(write(broker->to, order, sizeof *order), sizeof *order);
    assert_int_equal(read(broker->from, &done, 1), 1);
}

void broker_process_topic(struct broker_process *broker, const char *name, unsigned partitions)
{
    struct order order = {.kind = TOPIC, .number = partitions};

    snprintf(order.name, sizeof order.name, "%s", name);
    tell(broker, &order);
}

void broker_process_close_port(struct broker_process *broker)
{
    tell(broker, &(struct order){.kind = CLOSE_PORT});
}

void broker_process_open_port(struct broker_process *broker)
{
    tell(broker, &(struct order){.kind = OPEN_PORT});
}

void broker_process_delay(struct broker_process *broker, unsigned ms)
{
    tell(broker, &(struct order){.kind = DELAY, .number = ms});
}
