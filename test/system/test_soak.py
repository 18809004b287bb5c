"""The verdict of test/soak/run: what grows is not good, however slowly, and what was not looked at neither."""
import importlib.machinery
import importlib.util

import pytest

from harness import ROOT


@pytest.fixture(scope='module')
def soak():
    loader = importlib.machinery.SourceFileLoader('soak', str(ROOT / 'test/soak/run'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('soak', loader))
    loader.exec_module(module)
    return module


class Latency:
    """A probe."""

    def __init__(self, at=lambda second: 1.0):
        self.at = at

    def percentiles(self, since, _):
        p50 = self.at(since)
        return p50, None if p50 is None else 3 * p50


def judge(soak, memory=lambda second: 20000, descriptors=lambda second: 50, minutes=60, probe=Latency()):
    sampler = soak.Sampler.__new__(soak.Sampler)
    sampler.begun = 0
    sampler.samples = [(second, memory(second), descriptors(second)) for second in range(60 * minutes)]
    return soak.judge_growth(sampler, probe, minutes)


def test_what_is_at_rest_or_settles_is_good(soak):
    assert judge(soak)
    assert judge(soak, lambda second: 20000 + 800 * (1 - 2 ** (-second / 600)))
    assert judge(soak, lambda second: 20000 + (600 if second > 1500 else 0)), 'a burst, and what malloc kept of it'
    assert judge(soak, minutes=3)


@pytest.mark.parametrize('kb_a_minute', (4, 10, 20, 30))
def test_what_grows_is_not(soak, kb_a_minute):
    assert not judge(soak, lambda second: 20000 + kb_a_minute * second / 60)


def test_neither_are_descriptors_nor_latency_that_grow(soak):
    assert not judge(soak, descriptors=lambda second: 50 + second // 600)
    assert not judge(soak, probe=Latency(lambda second: 1 + second / 600))
    assert not judge(soak, probe=Latency(lambda second: None if second > 3000 else 1.0)), 'a probe that has died'


def test_too_short_a_run_is_not_judged_good(soak):
    assert not judge(soak, minutes=1)


class Options:
    rate, minutes = 300, 60


class Trouble:
    def __init__(self, flips, faults):
        self.flips, self.faults = [0] * flips, [0] * faults


def test_a_run_in_which_little_happened_is_not_good(soak):
    rows = [(1, 20000, 50, 1.0, 3.0)]
    assert soak.judge_load(Options, [{'sent': 1000000}], Trouble(700, 500), rows)
    assert not soak.judge_load(Options, [{'sent': 100000}], Trouble(700, 500), rows)
    assert not soak.judge_load(Options, [{'sent': 1000000}], Trouble(100, 500), rows)
    assert not soak.judge_load(Options, [{'sent': 1000000}], Trouble(700, 100), rows)
    assert not soak.judge_load(Options, [{'sent': 1000000}], Trouble(700, 500), [(1, 20000, 50, None, None)])
