"""Edge and gateways on real Kafka and real backends, broken on purpose: nothing acknowledged is lost."""

import time

from dataplane import Load, part, until


def check_stored(load, stored, repeats=None):
    """Every acknowledged identity is stored; repeats, where they can be told, stay below the bound."""
    for signal in load.signals:
        found = stored[signal]
        assert found["missing"] == 0, f"{signal}: lost {found['missing_ranges']}"
        assert found["expected"] > 0, f"{signal}: nothing was acknowledged"
        if repeats is not None:
            assert found["repeats"] <= repeats, f"{signal}: {found['repeats']} repeats"
        print(f"{signal}: {found['expected']} acknowledged, {found['stored']} stored, {found['repeats']} repeats")


def start(pipeline):
    edge = pipeline.edge()
    gateways = {signal: pipeline.gateway(signal) for signal in pipeline.signals}
    return edge, gateways


def test_delivers_every_signal_by_grpc_once(pipeline):
    p = pipeline("grpc")
    start(p)
    load = Load(p, p.name, 3000, 3000, "grpc")
    load.finish()
    check_stored(load, load.stored(), repeats=0)


def test_delivers_every_signal_by_http_once(pipeline):
    p = pipeline("http")
    start(p)
    load = Load(p, p.name, 3000, 3000, "http")
    load.finish()
    check_stored(load, load.stored(), repeats=0)


def test_edge_killed_at_random_instants_loses_nothing(pipeline, seed):
    p = pipeline("kill-edge")
    edge, _ = start(p)
    load = Load(p, p.name, 12000, 800)
    while load.running():
        time.sleep(seed.uniform(0.3, 2.5))
        edge.kill()
        edge = p.edge()
    load.finish()
    check_stored(load, load.stored())


def test_gateways_killed_at_random_instants_lose_nothing(pipeline, seed):
    p = pipeline("kill-gateway")
    _, gateways = start(p)
    load = Load(p, p.name, 12000, 800)
    while load.running():
        time.sleep(seed.uniform(0.5, 3))
        signal = seed.choice(p.signals)
        gateways[signal].kill()
        gateways[signal] = p.gateway(signal)
    load.finish()
    check_stored(load, load.stored(wait=90))


def test_sigterm_drains_and_the_next_run_repeats_nothing(pipeline):
    p = pipeline("drain")
    edge, gateways = start(p)
    load = Load(p, p.name, 9000, 900)
    time.sleep(3)
    for signal in p.signals:
        assert gateways[signal].stop() == 0
        gateways[signal] = p.gateway(signal)
    assert edge.stop() == 0
    p.edge()
    load.finish()
    check_stored(load, load.stored(), repeats=0)


def test_partitions_given_away_and_taken_back_flow_again(pipeline):
    p = pipeline("back", signals=("logs",))
    start(p)
    load = Load(p, p.name, 20000, 1000, signals=p.signals)

    def shared(process):
        return lambda: (s := process.state()) and 0 < s["intake"]["partitions"] < 6

    second = p.gateway("logs", 1)
    until("the second has some", 30, shared(second))
    assert second.stop() == 0
    load.finish()
    check_stored(load, load.stored(wait=30), repeats=0)


def test_a_frozen_and_a_dead_broker_lose_nothing(pipeline):
    p = pipeline("broker")
    edge, _ = start(p)
    load = Load(p, p.name, 12000, 600)
    time.sleep(2)
    part("freeze", "kafka-0")
    time.sleep(6)
    part("thaw", "kafka-0")
    time.sleep(3)
    part("kill", "kafka-0")
    time.sleep(3)
    edge.kill()  # with the broker away: what it acknowledged is on its disk
    p.edge()
    part("start", "kafka-0")
    load.finish()
    check_stored(load, load.stored(wait=90))


def test_backends_stopped_and_back_lose_nothing_and_lag_is_kept_in_kafka(pipeline):
    p = pipeline("backend")
    _, gateways = start(p)
    load = Load(p, p.name, 12000, 600)
    time.sleep(2)
    part("kill", "jaeger", "prometheus")
    part("stop", "victoria-logs")  # killed, it would lose what it has answered but not stored yet
    try:
        for signal, gateway in gateways.items():
            state = until(
                f"{signal} says that its backend fails",
                20,
                lambda g=gateway: (s := g.state()) and s["backend"]["state"] == "failing" and s,
            )
            assert state["backend"]["trouble"]
        load.finish()
    finally:
        part("start", "jaeger", "victoria-logs", "prometheus")
    check_stored(load, load.stored(wait=90))


def test_undecodable_messages_go_to_the_dead_letters_and_the_rest_goes_on(pipeline):
    from confluent_kafka import Consumer, Producer

    p = pipeline("poison", signals=("traces",))
    start(p)
    topic = p.topics[0]
    producer = Producer({"bootstrap.servers": p.bootstrap})
    for i in range(5):
        producer.produce(topic, b"\xff not otlp %d" % i, headers={"who": b"test"})
    producer.flush(20)
    load = Load(p, p.name, 2000, 2000, signals=("traces",))
    load.finish()
    check_stored(load, load.stored(), repeats=0)

    consumer = Consumer(
        {"bootstrap.servers": p.bootstrap, "group.id": p.name + "-dlq", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic + ".dlq"])
    letters = []

    def five():
        letters.extend(message for message in [consumer.poll(0.5)] if message and not message.error())
        return len(letters) == 5

    until("five dead letters", 30, five)
    consumer.close()
    for letter in letters:
        headers = dict(letter.headers())
        assert letter.value().startswith(b"\xff not otlp")
        assert b"byte" in headers["st.dlq.reason"], headers
        assert headers["st.dlq.topic"] == topic.encode()
        assert headers["who"] == b"test"
