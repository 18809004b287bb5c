"""The judgement of test/bench, by figures made up for it: which function grew, by which compiler. Nothing is measured here."""
import importlib.machinery
import importlib.util
import json
import sys

import pytest

from harness import ROOT

BENCH = ROOT / 'test/bench'
sys.path.append(str(BENCH))  # behind ours: both have a hostile.py

import counting  # noqa: E402


# --- the budget -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def budget():
    loader = importlib.machinery.SourceFileLoader('budget', str(BENCH / 'budget'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('budget', loader))
    loader.exec_module(module)
    return module


# conn.c:consume is a function that others were put into: two of ours, and the library's memcpy.
CALLGRIND = '''fl=/x/proxy/conn.c
fn=consume
0x10 5 100
fi=/x/smpp/frame.h
0x14 9 30
fi=/usr/include/string_fortified.h
0x18 29 8
fe=/x/proxy/conn.c
cfi=/usr/src/string/memmove.S
cfn=__memcpy_avx_unaligned
calls=10 0x99
0x1c 6 500
fl=/usr/src/string/memmove.S
fn=__memcpy_avx_unaligned
0x99 1 500
'''
ADDR2LINE = '''0x0000000000000010
consume
/x/proxy/conn.c:5 (discriminator 2)
0x0000000000000014
smpp_frame
/x/smpp/frame.h:9
consume
/x/proxy/conn.c:5
0x0000000000000018
memcpy
/usr/include/string_fortified.h:29
conn_forward.isra.0
/x/proxy/conn.c:77
consume
/x/proxy/conn.c:5
0x0000000000000020
??
??:0
'''


def test_an_instruction_is_of_the_function_that_it_was_written_in():
    profile = counting.Profile(CALLGRIND)
    assert profile.by_function(counting.innermost(ADDR2LINE)) == {
        'conn.c:consume': 100, 'frame.h:smpp_frame': 30, 'conn.c:conn_forward': 8}
    assert profile.by_function({}) == {'consume': 138}
    assert profile.calls == {'memcpy': 10} and profile.library == 500


def cell(instructions, calls=1.0, **functions):
    return {'instructions': instructions, 'functions': functions, 'calls': {'memcpy': calls}}


def test_growth_names_what_grew(budget):
    before = cell(100, judge=20, look=80)
    assert budget.judge('submit', before, cell(103, judge=23, look=80)) == []
    said = budget.judge('submit', before, cell(104, judge=24, look=80))
    assert len(said) == 2 and 'the budget is 100.0 and 3 %' in said[0] and said[1].split() == ['judge', '20.0', '->', '24.0']
    assert 'memcpy is called 1.25 times' in budget.judge('submit', before, cell(100, 1.25))[0]


def test_a_revision_of_the_package_is_the_same_compiler(budget):
    debian = 'cc (Debian 12.2.0-14+deb12u1) 12.2.0 x86_64-linux-gnu'
    assert budget.same_code(debian) == budget.same_code('gcc (Debian 12.2.0-14+deb12u2) 12.2.0 x86_64-linux-gnu')
    for other in (debian.replace('12.2.0', '12.3.0'), debian.replace('x86_64', 'aarch64'),
                  'Debian clang version 12.2.0 x86_64-linux-gnu'):
        assert budget.same_code(debian) != budget.same_code(other)


def build_by(directory, compiler, kind='RelWithDebInfo'):
    """A build directory as far as it is looked at."""
    directory.mkdir()
    program = directory / 'cc'
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "cc %s" || echo x86_64-linux-gnu\n' % compiler)
    program.chmod(0o755)
    (directory / 'CMakeCache.txt').write_text('CMAKE_C_COMPILER:FILEPATH=%s\nCMAKE_BUILD_TYPE:STRING=%s\n' % (program, kind))
    (directory / 'budget').touch()
    return directory


def judged(budget, monkeypatch, capsys, *arguments):
    """(exit status, all that was said)"""
    monkeypatch.setattr(sys, 'argv', ['budget', *map(str, arguments)])
    code = budget.main()
    return code, ''.join(capsys.readouterr())


def test_another_compiler_is_no_success(budget, tmp_path, monkeypatch, capsys):
    saved = json.loads(budget.BUDGET.read_text())
    monkeypatch.setattr(budget.counting, 'measure_all', lambda build: saved['cells'])
    same = build_by(tmp_path / 'same', saved['compiler'].removeprefix('cc ').removesuffix(' x86_64-linux-gnu'))
    new = build_by(tmp_path / 'new', '(Debian 14.2.0-19) 14.2.0')
    assert judged(budget, monkeypatch, capsys, same)[0] == 0
    code, said = judged(budget, monkeypatch, capsys, new)
    assert code == 2 and 'nothing is judged' in said and '--baseline' in said and '--update' in said
    assert judged(budget, monkeypatch, capsys, new, '--baseline', build_by(tmp_path / 'old', '(Debian 14.2.0-18) 14.2.0'))[0] == 0
    code, said = judged(budget, monkeypatch, capsys, new, '--baseline', same)
    assert code == 2 and 'was built by' in said


def test_what_cannot_be_counted_is_no_success(budget, tmp_path, monkeypatch, capsys):
    code, said = judged(budget, monkeypatch, capsys, tmp_path)
    assert code == 2 and 'has no CMakeCache.txt' in said
    code, said = judged(budget, monkeypatch, capsys, build_by(tmp_path / 'debug', '(Debian) 12.2.0', 'Debug'))
    assert code == 2 and 'a build of type "Debug"' in said
