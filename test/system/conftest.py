"""Fixtures: `world` (see harness.py) and `redis_own` for tests that stop or empty their Redis. A failed test prints its
world: config, log, and every PDU that its peers saw."""
import pathlib
import signal
import sys
import tempfile
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402

# What a shell starts behind it ignores SIGINT, and so would all that is started here: Ctrl-C is among what is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# And who ends the tests by SIGTERM has what they started ended, too.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_configure(config):
    config.addinivalue_line('markers', 'odd: the peers make the proxy forward octets that no dissector can like')
    config.addinivalue_line('markers', 'sanitize: also run against the sanitizer builds')
    config.addinivalue_line('markers', 'tries(*cases): which cases of hostile.py the test tries')
    config.addinivalue_line('markers', 'load: takes longer than a few seconds')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, 'funcargs', {}).values():
            if isinstance(value, harness.World):
                report.sections.append(('world', value.report()))


@pytest.fixture(scope='session')
def redis_shared():
    """One Redis for all tests that leave it alone; each has a prefix of its own."""
    with tempfile.TemporaryDirectory(prefix='turnout-redis-') as directory:
        redis = harness.Redis(directory)
        redis.load_functions()
        yield redis
        redis.stop()


@pytest.fixture
def redis_own(tmp_path):
    directory = tmp_path / 'redis'
    directory.mkdir()
    redis = harness.Redis(str(directory))
    redis.load_functions()
    yield redis
    redis.stop()


def make_world(request, tmp_path, redis):
    world = harness.World(tmp_path, redis, '{t%s}' % uuid.uuid4().hex[:12])
    yield world
    faults = world.close()
    if harness.CAPTURE and not request.node.get_closest_marker('odd'):
        harness.write_capture(world.trace, request.node.name, harness.CAPTURE)
    assert not faults, '\n'.join(faults)


@pytest.fixture
def world(request, tmp_path, redis_shared):
    yield from make_world(request, tmp_path, redis_shared)


@pytest.fixture
def world_own(request, tmp_path, redis_own):
    """A world whose Redis may be stopped, emptied and started again."""
    yield from make_world(request, tmp_path, redis_own)


@pytest.fixture(scope='session')
def certificates(tmp_path_factory):
    return harness.make_certificates(tmp_path_factory.mktemp('tls'))


def two_links(world, **smsc_options):
    """One carrier on both platforms: the smallest world with something to flip."""
    world.client()
    old = world.smsc('spark', 'redx', **smsc_options)
    new = world.smsc('spark', 'omni', **smsc_options)
    world.routes()
    return old, new


@pytest.fixture
def pair(world):
    """(world, client, leg): a running proxy, a bound transceiver and its one leg on spark-redx."""
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    client = world.bound()
    return world, client, smsc.leg()
