"""turnoutctl against a real Redis, with instances that this test plays by turnout_beat.

Run: /usr/bin/python3 -m pytest test/system/test_ctl.py, with TURNOUT_BUILD naming the build directory."""

import glob
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time

import pytest

from harness import OUTSIDE
from resp import RedisServer, Table

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CTL = os.path.join(os.environ.get("TURNOUT_BUILD", os.path.join(ROOT, "build")), "turnoutctl")
FUNCTIONS = sorted(glob.glob(os.path.join(ROOT, "routing", "functions", "*.lua")))

DONE, FAILED, USAGE, UNREACHABLE, CONFLICT, INCOMPLETE, UNCHANGED = range(7)
NO_INSTANCES, NOT_FOUND, INVALID, NOT_CONFIRMED, UNKNOWN = range(7, 12)


@pytest.fixture(scope="module")
def server():
    server = RedisServer()
    yield server
    server.remove()


class Ctl:
    """Runs the command against one Redis, and gives what it answers."""

    def __init__(self, address):
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("TURNOUT_REDIS")}
        self.env["TURNOUT_REDIS"] = address
        self.env["TZ"] = "NZST-12NZDT,M9.5.0,M4.1.0/3"

    def run(self, *args, **options):
        return subprocess.run([CTL, *args], env=self.env, capture_output=True, text=True, timeout=60,
                              stdin=options.pop("stdin", subprocess.DEVNULL if "input" not in options else None),
                              **options)

    def text(self, *args, code=DONE, **options):
        run = self.run(*args, **options)
        assert run.returncode == code, run
        return run.stdout + run.stderr

    def json(self, *args, code=DONE, **options):
        run = self.run("--json", *args, **options)
        assert run.returncode == code, run
        assert run.stderr == ""
        answer = json.loads(run.stdout)
        assert answer["exit"] == code
        return answer

    def start(self, *args, **options):
        return subprocess.Popen([CTL, *args], env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)


@pytest.fixture
def ctl(server):
    connection = server.connect()
    connection.call("FLUSHALL")
    connection.call("FUNCTION", "FLUSH")
    connection.close()
    return Ctl(server.path)


@pytest.fixture
def table(server, ctl):
    """The functions are loaded, and a small table is there at version 1."""
    connection = server.connect()
    ctl.json("ping")
    table = Table(connection)
    request = {"kind": "import", "who": "test", "moves": [
        {"shortcode": "*", "carrier": "spark", "to": "redx"},
        {"shortcode": "61000", "carrier": "spark", "to": "redx"},
        {"shortcode": "61000", "carrier": "onenz", "to": "redx", "state": "hold"},
        {"shortcode": "61001", "carrier": "spark", "to": "redx"}]}
    assert table.function("turnout_change", json.dumps(request))[:2] == [b"ok", 1]
    yield table
    connection.close()


class Instance:
    """Plays an instance: follows the stream of changes, and reports each as applied."""

    def __init__(self, server, name, **fields):
        self.name, self.fields = name, fields
        self.table = Table(server.connect())
        self.stream = server.connect()
        self.table.beat(name, applied=1, desired=1, state="following", **fields)
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self):
        answer = self.stream.call("XREAD", "BLOCK", 8000, "STREAMS", "{turnout}:changes", "1")
        if answer:
            version = int(answer[0][1][-1][0].split(b"-")[0])
            self.table.beat(self.name, applied=version, desired=version, state="following", **self.fields)

    def end(self):
        self.thread.join()
        self.table.resp.close()
        self.stream.close()


@pytest.fixture
def instances(server, table):
    """Two instances that apply the next change; the test must make one."""
    players = [Instance(server, name) for name in ("proxy-a", "proxy-b")]
    yield players
    for player in players:
        player.end()


# --- flip ------------------------------------------------------------------------------------------------------

def test_flip_waits_for_every_instance(ctl, table, instances):
    answer = ctl.json(*OUTSIDE, "61001", "61000", "--carrier", "spark", "--to", "omni", "--why", "cut over",
                      "--ticket", "CHG-7", "--as", "alice")
    assert (answer["result"], answer["version"], answer["changed"]) == ("done", 2, True)
    barrier = answer["barrier"]
    assert (barrier["complete"], barrier["live"], barrier["applied"]) == (True, 2, 2)
    assert 0 < barrier["ms_from_change"] <= barrier["ms_from_start"] < 5000
    assert answer["moves"] == [
        {"shortcode": code, "carrier": "spark", "from": "redx", "from_state": "open", "to": "omni", "state": "open"}
        for code in ("61000", "61001")]
    routes = {(row["shortcode"], row["carrier"]): row for row in ctl.json("route", "list")["routes"]}
    assert routes["61000", "spark"]["platform"] == "omni"
    assert routes["61000", "spark"]["previous"] == "redx"
    assert routes["61000", "onenz"]["state"] == "hold"
    entry = ctl.json("log", "--last", "1")["changes"][0]
    assert (entry["who"], entry["why"], entry["ticket"]) == ("alice", "cut over", "CHG-7")
    assert (entry["version"], entry["kind"], len(entry["moves"])) == (2, "flip", 2)


def test_a_version_of_another_history_is_not_applied(ctl, table):
    """A Redis that was replaced counts from 1 again: what an instance applied of the old one says nothing here."""
    table.beat("proxy-a", applied=7, chain="0" * 40, state="refused")
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--timeout", "50ms", code=INCOMPLETE)
    assert [one["id"] for one in answer["barrier"]["missing"]] == ["proxy-a"]
    chain = table.resp.call("GET", "{turnout}:chain").decode()
    table.beat("proxy-a", applied=2, chain=chain, state="following")
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--timeout", "50ms", code=UNCHANGED)
    assert answer["barrier"]["complete"]


def test_what_was_told_to_another_server_is_not_believed(ctl, table):
    """A replica that takes over holds what instances told its master; they may have gone on by changes that were lost."""
    text = "".join(open(part).read() for part in FUNCTIONS)
    repeated = (*OUTSIDE, "61000", "--carrier", "spark", "--to", "redx", "--timeout", "50ms")
    chain = table.resp.call("GET", "{turnout}:chain").decode()
    table.beat("proxy-a", applied=1, chain=chain, followed=1, followed_chain=chain, state="following")
    assert ctl.json(*repeated, code=UNCHANGED)["barrier"]["complete"]
    table.resp.call("FUNCTION", "LOAD", "REPLACE", text)  # what a server remembers beside the keys, it forgets
    answer = ctl.json(*repeated, code=INCOMPLETE)
    assert [one["id"] for one in answer["barrier"]["missing"]] == ["proxy-a"]
    assert "not heard of since" in ctl.text(*repeated, code=INCOMPLETE)
    table.beat("proxy-a", applied=1, chain=chain, followed=2, followed_chain="0" * 40, state="connecting")
    assert not ctl.json(*repeated, code=INCOMPLETE)["barrier"]["complete"], "some worker goes by what was lost"
    table.beat("proxy-a", applied=1, chain=chain, followed=1, followed_chain=chain, state="following")
    assert ctl.json(*repeated, code=UNCHANGED)["barrier"]["complete"]


def test_a_platform_that_no_instance_has_a_link_to_is_refused(ctl, table):
    """A typo in --to would be an outage: the cell would name a platform that every message is refused for."""
    table.beat("proxy-a", applied=99, links="spark:redx spark:omni onenz:redx")
    for wrong in (("--carrier", "spark", "--to", "omin"), ("--carrier", "onenz", "--to", "omni")):
        answer = ctl.json(*OUTSIDE, "61000", *wrong, code=9)
        assert "spark:redx spark:omni onenz:redx" in answer["error"]
    assert table.function("turnout_info")[1] in (1, b"1")
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omin", "--any-link", code=DONE)
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", code=DONE)


def test_status_says_why_an_instance_does_not_follow(ctl, table):
    table.beat("proxy-a", applied=7, state="refused", reason="Redis is older than what was applied.", obstacle="")
    table.beat("proxy-b", applied=1, state="following", reason="Follows the changes, at version 1.", obstacle="")
    text = ctl.text("status")
    assert "proxy-a: Redis is older than what was applied." in text
    assert "Follows the changes" not in text


def test_status_says_that_an_instance_is_fenced(ctl, table):
    table.beat("proxy-a", applied=1, state="following", obstacle="", on_loss="fence", fenced="lease_over")
    table.beat("proxy-b", applied=1, state="following", obstacle="", on_loss="serve", fenced="stopped")
    table.beat("proxy-c", applied=1, state="following", obstacle="", on_loss="serve", fenced="")
    text = ctl.text("status")
    assert "proxy-a: fenced: its lease ran out" in text
    assert "proxy-b: fenced: it was stopped" in text
    assert "proxy-c:" not in text


def test_flip_returns_only_when_applied(ctl, table, server):
    """The command must still run while an instance has not applied, and end once it has."""
    table.beat("proxy-a", applied=1, state="following")
    follower = server.connect()
    run = ctl.start(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--timeout", "30s")
    follower.call("XREAD", "BLOCK", 8000, "STREAMS", "{turnout}:changes", "1")
    for _ in range(3):  # it looks again and again, and goes on waiting
        calls = function_calls(follower)
        while function_calls(follower) < calls + 5:
            assert run.poll() is None
    table.beat("proxy-a", applied=2, state="following")
    out, error = run.communicate(timeout=10)
    assert run.returncode == DONE, error
    assert "Version 2 is applied by the one live instance" in out
    follower.close()


def function_calls(connection):
    for line in connection.call("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_fcall:calls="):
            return int(line.split("=")[1].split(",")[0])
    return 0


def test_flip_names_who_is_missing_and_who_is_dead(ctl, table):
    table.beat("proxy-a", applied=99, state="following")
    table.beat("proxy-b", applied=1, state="refused", obstacle="no link to omni")
    table.beat("proxy-c", 1, applied=1)
    wait_for_death(table, "proxy-c")
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--timeout", "50ms", code=INCOMPLETE)
    barrier = answer["barrier"]
    assert (answer["result"], barrier["complete"], barrier["live"], barrier["applied"]) == ("incomplete", False, 2, 1)
    assert [(one["id"], one["state"], one["obstacle"], one["applied"]) for one in barrier["missing"]] == [
        ("proxy-b", "refused", "no link to omni", 1)]
    assert [one["id"] for one in barrier["dead"]] == ["proxy-c"]
    # The same command again waits again, and says so even though nothing is left to change.
    text = ctl.text(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--timeout", "0", code=INCOMPLETE)
    assert "no link to omni" in text and "1 of 2 live instances" in text and "proxy-c is dead" in text


def wait_for_death(table, name):
    """Redis says when the lease of an instance is over."""
    deadline = time.monotonic() + 5
    while table.resp.call("EXISTS", "{turnout}:instance:" + name):
        assert time.monotonic() < deadline


def test_dead_instance_does_not_block(ctl, table):
    table.beat("proxy-a", applied=99)
    table.beat("proxy-z", 1, applied=1)
    wait_for_death(table, "proxy-z")
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni")
    assert answer["barrier"]["complete"] and answer["barrier"]["dead"][0]["id"] == "proxy-z"


def test_flip_without_instances(ctl, table):
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", code=NO_INSTANCES)
    assert answer["version"] == 2 and answer["changed"]


def test_flip_unchanged(ctl, table):
    table.beat("proxy-a", applied=1)
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "redx", code=UNCHANGED)
    assert (answer["version"], answer["changed"], answer["barrier"]["complete"]) == (1, False, True)


def test_flip_conflict_changes_nothing(ctl, table):
    table.beat("proxy-a", applied=99)
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni")
    answer = ctl.json(*OUTSIDE, "61000", "61001", "--carrier", "spark", "--to", "third", "--from", "redx",
                      code=CONFLICT)
    conflict, = answer["conflicts"]
    assert conflict.pop("at_ms") > 0 and conflict.pop("who")
    assert conflict == {"shortcode": "61000", "carrier": "spark", "is": "omni", "is_state": "open",
                        "expected": "redx", "version": 2}
    assert ctl.json("status")["board"]["61001"]["spark"]["platform"] == "redx"
    text = ctl.text(*OUTSIDE, "61000", "--carrier", "spark", "--to", "third", "--from", "redx", code=CONFLICT)
    assert "61000 spark: expected redx, found omni (open)" in text


def test_flip_names_what_it_read(ctl, table, server):
    """Somebody else's change between reading and changing is a conflict. A proxy in between makes it happen."""
    import socket
    listener = socket.socket(socket.AF_UNIX)
    path = os.path.join(server.folder, "between.sock")
    listener.bind(path)
    listener.listen()

    def between():
        down, _ = listener.accept()
        up = socket.socket(socket.AF_UNIX)
        up.connect(server.path)
        while True:
            data = down.recv(65536)
            if not data:
                break
            if b"turnout_change" in data:
                request = {"kind": "set", "who": "bob", "outside_window": True, "moves": [
                    {"shortcode": "61000", "carrier": "spark", "to": "redx", "state": "closed"}]}
                table.function("turnout_change", json.dumps(request))
            up.sendall(data)
            down.sendall(up.recv(65536))
        down.close()
        up.close()

    thread = threading.Thread(target=between)
    thread.start()
    answer = ctl.json("--redis", path, *OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", code=CONFLICT)
    thread.join()
    listener.close()
    assert answer["conflicts"][0]["is_state"] == "closed" and answer["conflicts"][0]["expected_state"] == "open"


def test_flip_of_a_cell_that_only_the_default_covers(ctl, table):
    table.beat("proxy-a", applied=99)
    text = ctl.text(*OUTSIDE, "70000", "--carrier", "spark", "--to", "omni", code=NOT_FOUND)
    assert "the default row * sends it to redx" in " ".join(text.split()) and "--create" in text
    ctl.json(*OUTSIDE, "70000", "--carrier", "2degrees", "--to", "omni", code=NOT_FOUND)
    assert ctl.json("status")["version"] == 1
    ctl.json(*OUTSIDE, "70000", "--carrier", "spark", "--to", "omni", "--create", "--from", "other", code=CONFLICT)
    answer = ctl.json(*OUTSIDE, "70000", "--carrier", "spark", "--to", "omni", "--create", "--from", "redx")
    assert answer["moves"][0]["from"] is None
    assert ctl.json("route", "list", "70000")["routes"][0]["previous"] == "redx"


def test_flip_of_the_default_row(ctl, table):
    table.beat("proxy-a", applied=99)
    ctl.json(*OUTSIDE, "*", "--carrier", "spark", "--to", "omni")
    assert ctl.json("route", "list", "*")["routes"][0]["platform"] == "omni"


# --- trouble with Redis ----------------------------------------------------------------------------------------

def test_redis_unreachable(ctl):
    answer = ctl.json("--redis", "127.0.0.1:1", *OUTSIDE, "1", "--carrier", "a", "--to", "b", code=UNREACHABLE)
    assert "127.0.0.1:1 cannot be reached" in answer["error"] and answer["advice"]


def test_tcp_url_and_password(tmp_path):
    server = RedisServer("--requirepass", "s3cret")
    try:
        ctl = Ctl("redis://127.0.0.1:%d" % server.port)
        assert "--redis-password-file" in ctl.json("ping", code=FAILED)["advice"]
        secret = tmp_path / "secret"
        secret.write_text("s3cret\nnot this\n")
        ctl.json("ping", "--redis-password-file", str(secret))
        ctl.json("--redis", "redis://default:s3cret@127.0.0.1:%d/1" % server.port, "ping")
        secret.write_text("wrong\n")
        ctl.json("ping", "--redis-password-file", str(secret), code=UNREACHABLE)
        ctl.json("ping", "--redis-password-file", str(tmp_path / "none"), code=USAGE)
    finally:
        server.remove()


def test_change_without_an_answer_is_unknown(ctl, table, server, tmp_path):
    """The connection is cut when the change has been sent: nobody can say whether it was made."""
    import socket
    listener = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "cut.sock")
    listener.bind(path)
    listener.listen()

    def cut():
        down, _ = listener.accept()
        down.recv(65536)
        down.sendall(b"*1\r\n:999\r\n")  # its library is new enough
        down.recv(65536)
        down.sendall(b"*1\r\n:1\r\n")  # no instances
        down.recv(65536)
        down.close()

    thread = threading.Thread(target=cut)
    thread.start()
    answer = ctl.json("--redis", path, "route", "set", "1", "--carrier", "a", "--to", "b", code=UNKNOWN)
    thread.join()
    listener.close()
    assert "not known" in answer["error"]


def test_redis_lost_while_waiting(table, ctl):
    server = RedisServer()
    try:
        here = Ctl(server.path)
        here.json("ping")
        connection = server.connect()
        Table(connection).beat("proxy-a", applied=0)
        run = here.start("--json", "route", "set", "1", "--carrier", "a", "--to", "b", "--timeout", "30s")
        connection.call("XREAD", "BLOCK", 8000, "STREAMS", "{turnout}:changes", "0")
        calls = function_calls(connection)
        while function_calls(connection) < calls + 5:  # it has had its answer, and looks at the instances
            assert run.poll() is None
        connection.close()
        server.stop()
        out, _ = run.communicate(timeout=20)
        assert run.returncode == INCOMPLETE
        assert json.loads(out)["version"] == 1
    finally:
        server.remove()


def test_loads_the_functions_where_they_are_missing(ctl, server):
    connection = server.connect()
    assert connection.call("FUNCTION", "LIST") == []
    assert ctl.json("ping")["version"] == 0
    assert len(connection.call("FUNCTION", "LIST")) == 1
    connection.close()


def test_prefix_keeps_tables_apart(ctl, table):
    ctl.json("--prefix", "{other}", "route", "set", "1", "--carrier", "a", "--to", "b", code=NO_INSTANCES)
    assert ctl.json("--prefix", "{other}", "status")["shortcodes"] == 1
    assert ctl.json("status")["version"] == 1


# --- route -----------------------------------------------------------------------------------------------------

def test_route_set_and_remove(ctl, table):
    table.beat("proxy-a", applied=99)
    ctl.json("route", "set", "999", "--carrier", "onenz", "--to", "omni", "--state", "hold")
    row = ctl.json("route", "list", "999")["routes"][0]
    assert (row["platform"], row["state"], row["previous"], row["version"]) == ("omni", "hold", None, 2)
    ctl.json("route", "set", "999", "--carrier", "onenz", "--to", "redx", "--from", "redx", code=CONFLICT)
    ctl.json("route", "remove", "999", "--carrier", "onenz", "--from", "redx", code=CONFLICT)
    answer = ctl.json("route", "remove", "999", "--carrier", "onenz", "--from", "omni")
    assert answer["moves"][0]["to"] is None
    ctl.json("route", "list", "999", code=NOT_FOUND)
    ctl.json("route", "remove", "999", "--carrier", "onenz", code=UNCHANGED)


def test_route_set_waits_unless_told_not_to(ctl, table):
    table.beat("proxy-a", applied=1)
    ctl.json("route", "set", "9", "--carrier", "a", "--to", "p", "--timeout", "10ms", code=INCOMPLETE)
    answer = ctl.json("route", "set", "9", "--carrier", "a", "--to", "q", "--outside-window", "--no-wait")
    assert "barrier" not in answer


def test_usage_errors_before_redis(ctl):
    for args in ([*OUTSIDE, "1 2", "--carrier", "a", "--to", "b"], ["flip", "1", "--carrier", "a b", "--to", "c"],
                 ["route", "set", "1", "--carrier", "a", "--to", "-"], ["route", "list", "x" * 21],
                 [*OUTSIDE, "1", "--carrier", "a", "--to", "b", "--why", b"\xff"]):
        assert ctl.json("--redis", "127.0.0.1:1", *args, code=USAGE)["error"]


def test_import_and_export_round_trip(ctl, table, tmp_path):
    table.beat("proxy-a", applied=99)
    path, again = tmp_path / "a.csv", tmp_path / "b.csv"
    rows = ["%d,%s,%s,%s" % (60000 + i, carrier, "omni" if i % 2 else "redx", ("open", "hold", "closed")[i % 3])
            for i in range(1500) for carrier in ("onenz", "spark")]
    path.write_text("shortcode,carrier,platform,state\n*,spark,redx,open\n" + "\n".join(rows) + "\n")
    before = ctl.json("route", "import", str(path), "--dry-run")
    assert before["new"] + before["differing"] + before["same"] == 3001
    assert len(before["changes"]) == before["new"] + before["differing"]
    assert ctl.json("status")["version"] == 1
    answer = ctl.json("route", "import", str(path), "--outside-window")
    assert (answer["version"], answer["rows"]) == (2, 3001)
    ctl.json("route", "export", str(again))
    assert again.read_text() == path.read_text()
    assert ctl.text("route", "export") == path.read_text()
    assert ctl.json("route", "import", "-", code=UNCHANGED, input=path.read_text())["version"] == 2
    assert ctl.json("route", "import", str(again), "--dry-run")["same"] == 3001


def test_import_shows_every_error_and_changes_nothing(ctl, table, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("61000,spark,omni\n61001,spark\n61002,spark,om ni,ajar\n61000,spark,redx\n")
    answer = ctl.json("route", "import", str(path), code=INVALID)
    assert [error["line"] for error in answer["errors"]] == [2, 3, 3, 4]
    text = ctl.text("route", "import", str(path), code=INVALID)
    assert text.count("\n  line ") == 4
    ctl.json("route", "import", str(tmp_path / "none"), code=INVALID)
    path.write_text("# nothing\n")
    ctl.json("route", "import", str(path), code=INVALID)
    assert ctl.json("status")["version"] == 1


def test_restore(ctl, table, server, tmp_path):
    path = tmp_path / "snapshot"
    rows = {"61000": {"spark": "omni open redx 1732323906123 40"}, "*": {"onenz": "redx hold - 5 6"}}
    path.write_text(json.dumps({"version": 41, "chain": "ab", "rows": rows}))
    instance = Instance(server, "proxy-a")
    ctl.json("route", "restore", str(path), code=NOT_CONFIRMED)
    assert ctl.json("status")["version"] == 1
    answer = ctl.json("route", "restore", str(path), "--yes", "--why", "Redis lost it")
    instance.end()
    assert answer["version"] > 41 and answer["snapshot_version"] == 41
    board = {row: {carrier: {"platform": cell["platform"], "state": cell["state"]} for carrier, cell in cells.items()}
             for row, cells in ctl.json("status")["board"].items()}
    assert board == {"*": {"onenz": {"platform": "redx", "state": "hold"}},
                     "61000": {"spark": {"platform": "omni", "state": "open"}}}
    assert ctl.json("log", "61000")["changes"][-1]["kind"] == "restore"
    path.write_text("{}")
    ctl.json("route", "restore", str(path), "--yes", code=INVALID)
    path.write_text('{"version":1,"version":2,"rows":{}}')
    ctl.json("route", "restore", str(path), "--yes", code=INVALID)
    path.write_text(json.dumps({"version": 1, "rows": {"61000": {"spark": "nonsense"}}}))
    assert ctl.json("route", "restore", str(path), "--yes", code=INVALID)["errors"]


def terminal(ctl, *args, answers):
    """Runs the command on a terminal, and answers each question when it has been asked."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(CTL, [CTL, *args], ctl.env)
    seen = b""
    for question, answer in answers:
        while question not in seen:
            assert select.select([master], [], [], 20)[0]
            seen += os.read(master, 4096)
        seen = seen.split(question, 1)[1]
        os.write(master, answer)
    rest = seen + read_to_end(pid, master)
    os.close(master)
    _, status = os.waitpid(pid, 0)
    return status, rest.decode()


def read_to_end(pid, master):
    """What comes until the process has ended. Not every kernel ends a read of the terminal then."""
    ended = os.pidfd_open(pid)
    data = b""
    while master in (ready := select.select([master, ended], [], [], 20)[0]):
        try:
            data += os.read(master, 4096)
        except OSError:  # the terminal's way to say that the other side is gone
            break
    os.close(ended)
    assert ready
    return data


def test_restore_asks(ctl, table, tmp_path):
    path = tmp_path / "snapshot"
    path.write_text(json.dumps({"version": 41, "rows": {"1": {"spark": "omni open - 1 1"}}}))
    status, _ = terminal(ctl, "route", "restore", str(path), answers=[(b"(yes/no) ", b"y\n")])
    assert os.WEXITSTATUS(status) == NOT_CONFIRMED
    status, _ = terminal(ctl, "route", "restore", str(path), answers=[(b"(yes/no) ", b"yes\n")])
    assert os.WEXITSTATUS(status) == NO_INSTANCES
    assert ctl.json("status")["version"] == 42


# --- log -------------------------------------------------------------------------------------------------------

def test_log(ctl, table):
    table.beat("proxy-a", applied=99)
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--why", "a \x1b[31mred\x1b[0m reason",
             code=INVALID)  # Redis refuses control characters
    for i in range(250):
        request = {"kind": "set", "who": "t", "outside_window": True,
                   "moves": [{"shortcode": "9", "carrier": "a", "to": "p%d" % i}]}
        table.function("turnout_change", json.dumps(request))
    assert [entry["version"] for entry in ctl.json("log", "--last", "3")["changes"]] == [249, 250, 251]
    # Page by page back to the first change, which alone has to do with this shortcode.
    entry, = ctl.json("log", "61001")["changes"]
    assert entry["version"] == 1 and [move["shortcode"] for move in entry["moves"]] == ["61001"]
    assert entry["moves"][0]["from"] is None
    text = ctl.text("log", "--last", "1", "9")
    assert "version 251  set by t" in text and "9 a: p248 (open) -> p249 (open)" in text
    assert "+1300" in text or "+1200" in text
    assert ctl.json("log", "--last", "0")["changes"] == []


UNFIT = ("a\x1b[2J", "a\nb", "\x9b31m", "\u202egnp", "\u2066x\u2069", "\u200f", "\u061c", "a\u2028b", "\u0085",
         b"\xff", b"caf\xe9", b"\xc0\x9b", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"x\x80", b"\xe2\x82")


@pytest.mark.parametrize("text", UNFIT, ids=ascii)
def test_texts_of_one_line_only(ctl, table, text):
    """What a terminal obeys or shows in another order is not taken, whoever asks: the program, or Redis' functions."""
    raw = text.encode() if isinstance(text, str) else text
    for option in (("--why", raw), ("--ticket", raw), ("--as", raw)):
        run = subprocess.run([CTL, *OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", *option], env=ctl.env,
                             capture_output=True, timeout=60)
        assert run.returncode in (INVALID, USAGE), run
    run = subprocess.run([CTL, "rollback", "--version", "1", "--why", raw], env=ctl.env, capture_output=True, timeout=60)
    assert run.returncode in (INVALID, USAGE), run
    start = b'{"kind":"flip","outside_window":true,"moves":[{"shortcode":"61000","carrier":"spark","to":"omni"}],'
    raw = raw.replace(b"\x1b", b"\\u001b").replace(b"\n", b"\\n")
    answer = table.function("turnout_change", start + b'"who":"bob","why":"' + raw + b'"}')
    assert answer[0] == b"invalid" and b"why must be a text of one line" in answer[2]


@pytest.mark.parametrize("text", ("caf\u00e9", "\u05e9\u05dc\u05d5\u05dd", "M\u0101ori \u2013 \U0001f600 \ud7ff\uffee"), ids=ascii)
def test_texts_of_any_script(ctl, table, text):
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--why", text, code=NO_INSTANCES)
    assert ctl.json("log", "--last", "1")["changes"][0]["why"] == text


def test_a_carrier_that_nobody_knows_is_named(ctl, table):
    table.beat("proxy-a", applied=99, links="spark:redx spark:omni vodafone:redx")
    for more in ((), ("--strict",)):
        answer = ctl.json(*OUTSIDE, "61000", "--carrier", "sprak", "--to", "omni", *more, code=NOT_FOUND)
        assert "there is no carrier sprak: the table and the instances know " in answer["error"]
        assert all(name in answer["error"] for name in ("spark", "onenz", "vodafone")), answer
        assert "--create" not in str(answer.get("advice"))
    assert "--create" in ctl.json(*OUTSIDE, "7", "--carrier", "vodafone", "--to", "redx", code=NOT_FOUND)["advice"]


def test_log_follow(ctl, table):
    run = ctl.start("--json", "log", "--follow", "--last", "1")
    assert json.loads(run.stdout.readline())["version"] == 1
    request = {"kind": "set", "who": "t", "moves": [{"shortcode": "9", "carrier": "a", "to": "p"}]}
    table.function("turnout_change", json.dumps(request))
    entry = json.loads(run.stdout.readline())
    assert (entry["version"], entry["moves"][0]["to"]) == (2, "p")
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=10)
    assert run.returncode == -signal.SIGINT


# --- instances and sessions ------------------------------------------------------------------------------------

def test_instances(ctl, table):
    sessions = [{"side": "client", "client": "bank", "bind_type": "transceiver", "state": "bound", "count": 3},
                {"side": "link", "link": "spark-redx", "carrier": "spark", "platform": "redx",
                 "bind_type": "transceiver", "state": "bound", "count": 2}]
    table.beat("proxy-a", applied=1, desired=1, state="following", in_flight=4, sessions=json.dumps(sessions))
    table.beat("proxy-b", applied=1, sessions=json.dumps(sessions[:1]), obstacle="it is tired")
    table.beat("proxy-c", 1)
    wait_for_death(table, "proxy-c")
    listed = {one["id"]: one for one in ctl.json("instances")["instances"]}
    assert [listed[name]["alive"] for name in ("proxy-a", "proxy-b", "proxy-c")] == [True, True, False]
    assert listed["proxy-a"]["fields"]["in_flight"] == "4" and 0 < listed["proxy-a"]["lease_ms"] <= 60000
    assert listed["proxy-a"]["fields"]["sessions"] == sessions and listed["proxy-c"]["lease_ms"] is None
    text = ctl.text("instances")
    assert "proxy-b: it is tired" in text and "dead " in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "in_flight" in ctl.text("instances", "proxy-a")
    ctl.json("instances", "nobody", code=NOT_FOUND)
    ctl.json("instances", "forget", "proxy-a", code=CONFLICT)
    ctl.json("instances", "forget", "proxy-c")
    ctl.json("instances", "forget", "proxy-c", code=NOT_FOUND)

    groups = ctl.json("sessions")["sessions"]
    assert [(group["side"], group["client"], group["link"], group["count"]) for group in groups] == [
        ("client", "bank", None, 6), ("link", None, "spark-redx", 2)]
    groups = ctl.json("sessions", "--by-instance")["sessions"]
    assert [(group["instance"], group["count"]) for group in groups] == [
        ("proxy-a", 3), ("proxy-a", 2), ("proxy-b", 3)]
    table.beat("proxy-d", applied=1)
    assert ctl.json("sessions")["silent"] == ["proxy-d"]


def test_status(ctl, table):
    table.beat("proxy-a", applied=1, state="following")
    text = ctl.text("status")
    assert "Version 1, 3 shortcodes. 1 instance alive, 0 dead." in text
    assert ["61000", "redx", "(hold)", "redx"] in [line.split() for line in text.splitlines()]


def test_text_from_redis_cannot_steer_the_terminal(ctl, table):
    table.beat("proxy\x1b[2J", applied=1, state="\x1b]0;x\x07", obstacle="\x1b[31m")
    for command in (["instances"], ["status"], [*OUTSIDE, "61000", "--carrier", "spark", "--to", "b", "--timeout", "0"]):
        run = ctl.run(*command)
        assert "\x1b" not in run.stdout + run.stderr and "\x07" not in run.stdout + run.stderr


# --- without Redis ---------------------------------------------------------------------------------------------

def crypt_check(password, hashed):
    """perl has crypt(3), which Python has lost."""
    return subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hashed],
                          capture_output=True, text=True, check=True).stdout == hashed


def test_hash_password(ctl):
    hashed = ctl.text("hash-password", input="s3cret\n").strip()
    assert hashed.startswith("$y$") and crypt_check("s3cret", hashed) and not crypt_check("other", hashed)
    assert ctl.text("hash-password", input="s3cret").strip() != hashed
    ctl.json("hash-password", input="\n", code=INVALID)
    ctl.json("hash-password", input="a\0b\n", code=INVALID)
    ctl.json("hash-password", input="x" * 256, code=INVALID)
    assert ctl.json("hash-password", input="s3cret\n")["hash"]


def test_hash_password_on_a_terminal(ctl):
    status, text = terminal(ctl, "hash-password", answers=[(b"Password: ", b"s3cret\n"), (b"Once more: ", b"s3cret\n")])
    assert status == 0 and "s3cret" not in text
    assert crypt_check("s3cret", text.split()[-1])
    status, _ = terminal(ctl, "hash-password", answers=[(b"Password: ", b"one\n"), (b"Once more: ", b"two\n")])
    assert os.WEXITSTATUS(status) == INVALID
    status, _ = terminal(ctl, "hash-password", answers=[(b"Password: ", b"\x03")])
    assert os.WTERMSIG(status) == signal.SIGINT


def test_help(ctl):
    assert "flip" in ctl.text("help")
    reference = ctl.text("help", "--all")
    for command in ctl.json("help")["commands"]:
        assert "### %s\n" % command["command"] in reference
        words = command["command"].split()
        assert command["brief"] in ctl.text("help", *words)
        assert command["brief"] in ctl.text(*words, "--help")
    ctl.json("help", "nonsense", code=NOT_FOUND)
    assert ctl.run("--no-such-option").returncode == USAGE
    assert ctl.run("status", "--create").returncode == USAGE
    gone, pipe = os.pipe()
    os.close(gone)
    cut = subprocess.run([CTL, "help"], stdout=pipe, stderr=subprocess.PIPE)  # as head leaves it
    os.close(pipe)
    assert cut.returncode == FAILED and cut.stderr == b""
    full = subprocess.run([CTL, "help"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE)
    assert full.returncode == FAILED and b"cannot be written" in full.stderr
