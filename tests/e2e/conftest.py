"""Fixtures of the end-to-end tests. Run them by `make e2e`: they need the bed."""

import os
import random
import time

import pytest

from broker import Broker
from cluster import OPERATOR, crashed, install, told
from dataplane import Pipeline


@pytest.fixture
def seed():
    """Randomness that can be had again: SURGETANK_SEED=N make e2e."""
    number = int(os.environ.get("SURGETANK_SEED") or random.SystemRandom().randrange(1, 10**6))
    print(f"seed {number}")
    return random.Random(number)


@pytest.fixture(scope="session")
def operator():
    """The operator is installed."""
    install()


@pytest.fixture(autouse=True)
def alive(request):
    """No test may make the operator crash."""
    yield
    if "operator" in request.fixturenames:
        assert not crashed(), told("kubectl", "logs", "-n", OPERATOR, "-l", "app.kubernetes.io/name=surgetank", "-p")


@pytest.fixture(scope="session")
def broker():
    """A Kafka broker outside the bed, for tests that break it or log in to it."""
    one = Broker()
    one.start()
    yield one
    one.close()


def pytest_collection_modifyitems(config, items):
    """What needs three brokers runs where there are three; what stops the only one, where there is one."""
    three = os.environ.get("BED_KAFKA", "").count(",") == 2
    chosen = [item for item in items if (item.path.name == "test_brokers.py") == three]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


@pytest.fixture
def pipeline(request):
    """A function that makes a pipeline, which is taken down at the end."""
    made = []

    def make(name, **settings):
        made.append(Pipeline(f"{name}-{int(time.time()) % 100000}", **settings))
        return made[-1]

    yield make
    for one in made:
        one.close(failed=request.node.failed)
