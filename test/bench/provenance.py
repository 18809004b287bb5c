"""Where figures come from, so that those of two days can be laid side by side: commit, compiler and build, machine.

    the checkout, CMakeCache.txt of the build, /proc ──▶ made(), machine() ──▶ --json, and the first lines of the output
"""
import os
import pathlib
import platform
import re
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNKNOWN = 'unknown'


def said(*command):
    """What a command prints, None where it fails or is not there."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(root=ROOT):
    """The commit of the checkout, with "+changes" where files differ from it."""
    name = said('git', '-C', root, 'rev-parse', '--short=12', 'HEAD')
    if not name:
        return UNKNOWN
    return name + ('+changes' if said('git', '-C', root, 'status', '--porcelain', '--untracked-files=no') else '')


def cached(build, name):
    """A variable of the build, '' where it has none."""
    found = re.search(r'^%s:\w+=(.*)$' % re.escape(name), (build / 'CMakeCache.txt').read_text(), re.M)
    return found.group(1) if found else ''


def compiler(build):
    """Its name, version and machine: "cc (Debian 12.2.0-14+deb12u1) 12.2.0 x86_64-linux-gnu"."""
    path = cached(build, 'CMAKE_C_COMPILER')
    first = (said(path, '--version') or UNKNOWN).splitlines()[0]
    return '%s %s' % (re.sub(r'^\S+', pathlib.Path(path).name, first), said(path, '-dumpmachine') or UNKNOWN)


def build_type(build):
    """"RelWithDebInfo", and what was asked for beside it."""
    return ' '.join(filter(None, (cached(build, name) for name in ('CMAKE_BUILD_TYPE', 'CMAKE_C_FLAGS', 'SANITIZE'))))


def made(build):
    return {'commit': commit(), 'compiler': compiler(build), 'build': build_type(build)}


def memory_gb():
    return round(int(re.search(r'^MemTotal:\s+(\d+)', pathlib.Path('/proc/meminfo').read_text(), re.M).group(1)) / 2 ** 20)


def machine(world, middles):
    cpuinfo = pathlib.Path('/proc/cpuinfo').read_text()
    model = re.search(r'^model name\s*: (.*)$', cpuinfo, re.M)
    return {'cpu': model.group(1) if model else platform.machine(), 'processors': os.cpu_count(), 'memory_gb': memory_gb(),
            'host': platform.node(), 'kernel': platform.release(), 'middle_on': world.middle_cpu,
            'ends_on': world.ends_cpu, 'versions': {m.name: m.version() for m in middles},
            'date': time.strftime('%Y-%m-%d %H:%M:%S %Z')}
