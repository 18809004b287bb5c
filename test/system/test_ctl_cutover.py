"""The cutover commands of turnoutctl: rollback, confirm, strict flips, short forms. A real Redis; instances are played.

Run: /usr/bin/python3 -m pytest test/system/test_ctl_cutover.py, with TURNOUT_BUILD naming the build directory."""

import json
import shlex
import signal
import subprocess
import threading
import time

import pytest

import test_ctl
from harness import OUTSIDE
from resp import Table
from test_ctl import CONFLICT, DONE, INCOMPLETE, INVALID, NO_INSTANCES, NOT_FOUND, UNCHANGED, USAGE, FUNCTIONS, Ctl
from test_ctl import ctl, server, table  # noqa: F401 (fixtures)

PATIENCE = 10


def stopped_code(ctl):
    return next(row["code"] for row in ctl.json("help")["exits"] if row["result"] == "stopped")


class Player:
    """Plays an instance: applies every change at once, and reports as settled what the test lets it."""

    def __init__(self, server, name, settles=True, late="spark:redx", **fields):
        self.name, self.settles, self.fields = name, settles, fields
        self.late = late  # the link on which something of before is unanswered, where it does not settle
        self.table, self.stream = Table(server.connect()), server.connect()
        self.applied = int(self.stream.call("GET", "{turnout}:version") or 0)
        self.settled = self.applied
        self.ending, self.lock = False, threading.Lock()
        self.beat()
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def beat(self):
        fields = dict(self.fields, applied=self.applied, desired=self.applied, state="following")
        if self.settles is not None:
            fields["settled"] = self.applied if self.settles else self.settled
            late = "" if self.settles else " %s=%d" % (self.late, self.settled)
            fields["unsettled"] = "%d%s" % (self.applied, late)
        with self.lock:
            self.table.beat(self.name, **fields)

    def follow(self):
        while not self.ending:
            answer = self.stream.call("XREAD", "BLOCK", 50, "STREAMS", "{turnout}:changes", self.applied)
            if answer:
                self.applied = int(answer[0][1][-1][0].split(b"-")[0])
                self.beat()

    def end(self):
        self.ending = True
        self.thread.join()
        self.table.resp.close()
        self.stream.close()


@pytest.fixture
def play(server, table):
    players = []

    def start(*names, **options):
        players.extend(Player(server, name, **options) for name in names)
        return players[-1]
    yield start
    for player in players:
        player.end()


def change(table, moves, **more):
    moves = [dict(zip(("shortcode", "carrier", "to", "state"), move)) for move in moves]
    request = {"kind": "flip", "outside_window": True, "who": "bob", "moves": moves, **more}
    answer = table.function("turnout_change", json.dumps(request))
    assert answer[0] == b"ok", answer
    return answer


def cell(ctl, shortcode, carrier="spark"):
    rows = {row["carrier"]: row for row in ctl.json("route", "list", shortcode)["routes"]}
    return rows[carrier]["platform"], rows[carrier]["state"]


def shell(ctl, line):
    """A command as it was printed, given to a shell."""
    line = line.replace("turnoutctl", shlex.quote(test_ctl.CTL), 1)
    return subprocess.run(["sh", "-c", line], env=ctl.env, capture_output=True, text=True, timeout=60)


def wait_until(look, what):
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


# --- rollback --------------------------------------------------------------------------------------------------

def test_rollback_of_the_last_change(ctl, table, play):
    play("proxy-a", "proxy-b")
    ctl.json(*OUTSIDE, "61000", "61001", "--carrier", "spark", "--to", "omni", "--as", "alice")
    answer = ctl.json("rollback", "--why", "Spark was wrong", "--ticket", "CHG-8", "--as", "bob")
    assert (answer["version"], answer["undoes"], answer["changed"]) == (3, 2, True)
    assert answer["barrier"]["complete"] and answer["barrier"]["applied"] == 2
    assert answer["moves"] == [
        {"shortcode": code, "carrier": "spark", "from": "omni", "from_state": "open", "to": "redx", "state": "open"}
        for code in ("61000", "61001")]
    assert cell(ctl, "61000") == cell(ctl, "61001") == ("redx", "open")
    row, = ctl.json("route", "list", "61001")["routes"]
    assert row["previous"] == "omni", "its legs linger"
    entry = ctl.json("log", "--last", "1")["changes"][0]
    assert (entry["kind"], entry["who"], entry["why"], entry["ticket"], entry["undoes"]) == (
        "rollback", "bob", "Spark was wrong", "CHG-8", 2)
    assert "undoes version 2" in ctl.text("log", "--last", "1")


def test_rollback_twice_does_not_go_forward_again(ctl, table, play):
    play("proxy-a")
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni")
    ctl.text("rollback")
    answer = ctl.json("rollback", "--as", "carol", code=CONFLICT)
    assert "rollback" in answer["error"] and "rollback --version 3 --as carol" in answer["error"]
    assert ctl.json("rollback", "--version", "2", code=UNCHANGED)["barrier"]["complete"]
    assert cell(ctl, "61000") == ("redx", "open")
    ctl.json("rollback", "--version", "3")
    assert cell(ctl, "61000") == ("omni", "open")


def test_rollback_passes_over_what_moved_nothing(ctl, table, play, tmp_path):
    play("proxy-a")
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--as", "alice")
    plan = tmp_path / "plan.csv"
    plan.write_text("61001,spark,omni\n")
    ctl.json("window", "create", "other", str(plan), "--start", "2026-01-01T00:00Z", "--end", "2126-01-01T00:00Z")
    ctl.json("window", "start", "other", "--as", "carol")
    ctl.json("window", "cancel", "other", "--as", "carol")
    text = " ".join(ctl.text("rollback").split())
    assert "The last change, version 4 (window by carol, " in text
    assert "moved nothing; the last that did is version 2." in text
    assert "Version 5 undoes version 2 (flip by alice" in text
    assert cell(ctl, "61000") == ("redx", "open")


def test_rollback_names_who_changed_it_since(ctl, table, play):
    play("proxy-a")
    change(table, [("61000", "spark", "omni"), ("61001", "spark", "omni")])
    change(table, [("61001", "spark", "third")], who="eve of\u00e9")
    answer = ctl.json("rollback", "--version", "2", code=CONFLICT)
    conflict, = answer["conflicts"]
    at = conflict.pop("at_ms")
    assert conflict == {"shortcode": "61001", "carrier": "spark", "is": "third", "is_state": "open",
                        "expected": "omni", "expected_state": "open", "version": 3, "who": "eve of\u00e9"}
    assert abs(at - time.time() * 1000) < 60000
    assert cell(ctl, "61000") == ("omni", "open"), "all or nothing"
    assert "as set by eve" in ctl.text("rollback", "--version", "2", code=CONFLICT)
    ctl.json("rollback", "--version", "2", "61000")
    assert (cell(ctl, "61000"), cell(ctl, "61001")) == (("redx", "open"), ("third", "open"))
    ctl.json("rollback", "--version", "2", "--force")
    assert cell(ctl, "61001") == ("redx", "open")


def test_a_cell_changed_there_and_back_is_a_conflict(ctl, table):
    change(table, [("61000", "spark", "omni")])
    change(table, [("61000", "spark", "omni", "hold")])
    change(table, [("61000", "spark", "omni", "open")])
    assert ctl.json("rollback", "--version", "2", code=CONFLICT)["conflicts"][0]["version"] == 4


def test_rollbacks_unwind_in_turn(ctl, table, play):
    play("proxy-a")
    change(table, [("61000", "spark", "omni")])
    change(table, [("61000", "spark", "third")])
    ctl.json("rollback")
    assert cell(ctl, "61000") == ("omni", "open")
    ctl.json("rollback", "--version", "2")
    assert cell(ctl, "61000") == ("redx", "open")


def test_rollback_of_added_and_removed_rows(ctl, table, play):
    play("proxy-a")
    ctl.json("route", "set", "777", "--carrier", "onenz", "--to", "omni", "--state", "closed")
    assert ctl.json("rollback")["moves"][0]["to"] is None
    ctl.json("route", "list", "777", code=NOT_FOUND)
    ctl.json("route", "remove", "61000", "--carrier", "onenz")
    assert "not open" in ctl.text("rollback")
    assert cell(ctl, "61000", "onenz") == ("redx", "hold")
    ctl.json("route", "remove", "61001", "--carrier", "spark")
    change(table, [("61001", "spark", "omni")])
    assert ctl.json("rollback", "--version", "6", code=CONFLICT)["conflicts"][0]["version"] == 7


def test_rollback_of_a_shortcode_finds_its_last_change(ctl, table, play):
    play("proxy-a")
    change(table, [("61000", "spark", "omni")])
    for i in range(150):  # more than a page of the log
        change(table, [("61001", "spark", "p%d" % i)])
    answer = ctl.json("rollback", "61000")
    assert (answer["undoes"], cell(ctl, "61000")) == (2, ("redx", "open"))
    assert "not in version" in ctl.json("rollback", "61001", "61000", "--version", "3", code=NOT_FOUND)["error"]


def test_rollback_of_nothing(ctl, table):
    ctl.json("rollback", "--version", "99", code=NOT_FOUND)
    ctl.json("rollback", "5", code=NOT_FOUND)
    ctl.json("rollback", "--version", "0", code=USAGE)
    ctl.json("rollback", "x y", code=USAGE)
    table.resp.call("FLUSHALL")
    ctl.json("rollback", code=NOT_FOUND)
    restore = {"who": "t", "version": 5, "rows": {"1": {"spark": "omni open - 1 1"}}}
    table.function("turnout_restore", json.dumps(restore))
    assert "restore" in ctl.json("rollback", code=INVALID)["errors"][0]


def test_rollback_without_and_with_late_instances(ctl, table):
    change(table, [("61000", "spark", "omni")])
    ctl.json("rollback", code=NO_INSTANCES)
    table.beat("proxy-a", applied=1)
    ctl.json("rollback", "--version", "3", "--timeout", "20ms", code=INCOMPLETE)
    assert "barrier" not in ctl.json("rollback", "--version", "4", "--no-wait")


def test_an_older_library_is_replaced(ctl, table, server):
    """Where an earlier release loaded its functions, a flip with a deadline must not be taken without it."""
    text = "".join(open(part).read() for part in FUNCTIONS)
    number = int(text.split("LIBRARY_VERSION = ")[1].split("\n")[0])
    older = text.replace("LIBRARY_VERSION = %d" % number, "LIBRARY_VERSION = %d" % (number - 1))
    older = older.replace("redis.register_function('turnout_rollback', rollback)\n", "")
    older = older.replace("confirm_within_ms)", "no_such_member)")
    table.resp.call("FUNCTION", "LOAD", "REPLACE", older)
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--confirm-within", "1m",
                      code=NO_INSTANCES)
    assert answer["confirm_by_ms"] > 0
    table.resp.call("FUNCTION", "LOAD", "REPLACE", older)
    ctl.json("rollback", code=NO_INSTANCES)
    assert cell(ctl, "61000") == ("redx", "open")


# --- commit-confirmed ------------------------------------------------------------------------------------------

def rollbacks(ctl):
    return [entry for entry in ctl.json("log", "--last", "1000")["changes"] if entry["kind"] == "rollback"]


def test_confirmed_in_time(ctl, table, play):
    play("proxy-a")
    answer = ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--confirm-within", "1m", "--as", "al")
    assert abs(answer["confirm_by_ms"] - time.time() * 1000 - 60000) < 5000
    for command in ("status", "instances"):
        pending, = ctl.json(command)["pending"]
        assert (pending["version"], pending["deadline_ms"], pending["who"]) == (2, answer["confirm_by_ms"], "al")
        assert 50000 < pending["left_ms"] <= 60000
        text = ctl.text(command)
        assert "Awaiting confirmation" in text and ("+1300" in text or "+1200" in text) and " s\n" in text
    answer = ctl.json("confirm", "--why", "traffic is fine")
    assert (answer["outcome"], answer["version"]) == ("confirmed", 2)
    assert ctl.json("status")["pending"] == []
    assert ctl.json("confirm", "2", code=NOT_FOUND)["outcome"] == "nothing to confirm"
    assert ctl.json("confirm", code=NOT_FOUND)["outcome"] == "nothing to confirm"
    assert cell(ctl, "61000") == ("omni", "open")


def test_confirm_says_exactly_what_happened(ctl, table):
    change(table, [("61000", "spark", "omni")], confirm_within_ms=60000)
    assert ctl.text("confirm", "2").startswith("confirmed: version 2")
    assert "nothing to confirm: version 2" in ctl.text("confirm", "2", code=NOT_FOUND)
    change(table, [("61000", "spark", "third")], confirm_within_ms=1)
    time.sleep(0.005)
    for args in ((), ("3",)):  # no instance is alive: the first confirm that is too late carries it out
        text = ctl.text("confirm", *args, code=CONFLICT)
        assert "already gone back: version 3 was undone by version 4" in text
    assert cell(ctl, "61000") == ("omni", "open")
    change(table, [("61000", "spark", "a")], confirm_within_ms=60000)
    change(table, [("61001", "spark", "a")], confirm_within_ms=60000)
    assert ctl.json("confirm", code=CONFLICT)["versions"] == [5, 6]
    ctl.json("confirm", "5")
    assert [one["version"] for one in ctl.json("status")["pending"]] == [6]
    ctl.json("confirm", "nonsense", code=USAGE)


def test_confirmation_is_also_for_set_and_import(ctl, table, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("61000,spark,omni\n")
    for args in (["route", "set", "61001", "--carrier", "spark", "--to", "omni", "--outside-window"],
                 ["route", "import", str(path), "--outside-window"],
                 ["route", "hold", "61001", "--carrier", "spark"]):
        ctl.json(*args, "--confirm-within", "90s", code=NO_INSTANCES)
    assert len(ctl.json("status")["pending"]) == 3
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "b", "--confirm-within", "0", code=USAGE)


def test_not_confirmed_goes_back_once_with_many_instances(ctl, table, server):
    """Eight instances beat as fast as they can over many deadlines: each is carried out exactly once."""
    stop = threading.Event()

    def beat(name):
        mine = Table(server.connect())
        while not stop.is_set():
            mine.beat(name, applied=1)
            mine.function("turnout_due")
        mine.resp.close()

    threads = [threading.Thread(target=beat, args=("proxy-%d" % i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    try:
        versions = []
        for i in range(40):
            answer = change(table, [("9%03d" % i, "spark", "omni")], confirm_within_ms=20 + i % 7)
            versions.append(answer[1])
        wait_until(lambda: table.resp.call("ZCARD", "{turnout}:confirm") == 0, "deadlines are carried out")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    undone = rollbacks(ctl)
    assert sorted(entry["undoes"] for entry in undone) == versions
    assert all(entry["who"] == "confirm-timer" and "version %d " % entry["undoes"] in entry["why"] for entry in undone)
    assert [row["shortcode"] for row in ctl.json("route", "list")["routes"]] == ["*", "61000", "61000", "61001"]


def test_goes_back_when_whoever_started_it_is_gone(ctl, table, play, server):
    """The terminal is killed, and the instance that was there ends; another one comes later."""
    first = Player(server, "proxy-a")
    run = ctl.start(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni", "--confirm-within", "100ms")
    run.wait(PATIENCE)
    first.end()
    table.function("turnout_leave", "proxy-a")
    time.sleep(0.12)
    assert cell(ctl, "61000") == ("omni", "open"), "nobody is there to do it"
    play("proxy-b")
    assert cell(ctl, "61000") == ("redx", "open")
    assert ctl.json("confirm", code=CONFLICT)["rollback_version"] == 3


def test_what_somebody_changed_since_stays(ctl, table):
    change(table, [("61000", "spark", "omni"), ("61001", "spark", "omni")], confirm_within_ms=30)
    change(table, [("61001", "spark", "third")], who="eve")
    time.sleep(0.04)
    table.beat("proxy-a", applied=1)
    assert (cell(ctl, "61000"), cell(ctl, "61001")) == (("redx", "open"), ("third", "open"))
    entry = ctl.json("log", "--last", "1")["changes"][0]
    assert entry["why"] == ("version 2 was not confirmed in time; left, because changed since: "
                            "61001 spark (version 3 by eve)")
    assert [move["shortcode"] for move in entry["moves"]] == ["61000"]


def test_all_changed_since_makes_no_change(ctl, table):
    change(table, [("61000", "spark", "omni")], confirm_within_ms=1)
    change(table, [("61000", "spark", "third")])
    time.sleep(0.005)
    assert table.beat("proxy-a", applied=1) == 3
    assert ctl.json("status")["pending"] == [] and cell(ctl, "61000") == ("third", "open")
    assert ctl.json("confirm", "2", code=NOT_FOUND)["outcome"] == "nothing to confirm"


def test_two_deadlines_on_one_cell_both_go_back(ctl, table):
    change(table, [("61000", "spark", "omni")], confirm_within_ms=1)
    change(table, [("61000", "spark", "third")], confirm_within_ms=1)
    time.sleep(0.005)
    table.beat("proxy-a", applied=1)
    assert cell(ctl, "61000") == ("redx", "open")


def test_rollback_by_hand_ends_the_waiting(ctl, table, play):
    play("proxy-a")
    ctl.json(*OUTSIDE, "61000", "61001", "--carrier", "spark", "--to", "omni", "--confirm-within", "1m")
    ctl.json("rollback", "61001")
    assert len(ctl.json("status")["pending"]) == 1, "the other one still waits"
    ctl.json("rollback", "--version", "2")
    assert ctl.json("status")["pending"] == []


def test_a_deadline_that_cannot_be_carried_out_harms_nobody(ctl, table):
    change(table, [("61000", "spark", "omni")], confirm_within_ms=1)
    change(table, [("61001", "spark", "omni")], confirm_within_ms=1)
    table.resp.call("HSET", "{turnout}:route:61000", "spark", "nonsense")
    time.sleep(0.005)
    assert table.beat("proxy-a", applied=1) == 4, "the other one went back"
    assert table.function("turnout_due") > 0, "not at once again"
    table.resp.call("HSET", "{turnout}:route:61000", "spark", "omni open redx 1 2")
    assert table.beat("proxy-a", applied=1) == 5
    table.resp.call("XTRIM", "{turnout}:changes", "MAXLEN", "0")
    table.resp.call("ZADD", "{turnout}:confirm", "1", "2")
    assert table.function("turnout_due") == -1, "the log does not reach back to it"


def test_a_restore_ends_the_waiting(ctl, table):
    change(table, [("61000", "spark", "omni")], confirm_within_ms=60000)
    restore = {"who": "t", "version": 5, "rows": {"61000": {"spark": "omni open - 1 2"}}}
    table.function("turnout_restore", json.dumps(restore))
    assert table.function("turnout_due") == -1


# --- strict ----------------------------------------------------------------------------------------------------

FLIP = (*OUTSIDE, "61000", "61001", "--carrier", "spark", "--to", "omni")


def test_strict_flip(ctl, table, play):
    play("proxy-a", "proxy-b")
    answer = ctl.json(*FLIP, "--strict", "--as", "alice")
    assert (answer["held_version"], answer["version"], answer["barrier"]["complete"]) == (2, 3, True)
    assert [one["step"] for one in answer["steps"]] == ["hold", "held", "settled", "open", "opened"]
    times = [one["ms"] for one in answer["steps"]]
    assert times == sorted(times) and times[-1] < 5000
    assert cell(ctl, "61000") == cell(ctl, "61001") == ("omni", "open")
    held, opened = ctl.json("log", "--last", "2")["changes"]
    assert {move["state"] for move in held["moves"]} == {"hold"} and {m["to"] for m in held["moves"]} == {"redx"}
    assert {move["from_state"] for move in opened["moves"]} == {"hold"}
    ctl.json("rollback")
    assert cell(ctl, "61000") == ("redx", "open"), "back to what was before the hold"


def test_strict_flip_waits_for_what_is_unanswered(ctl, table, play):
    play("proxy-a")
    slow = play("proxy-b", settles=False)
    run = ctl.start(*FLIP, "--strict")
    assert "Preflight of spark to omni: proxy-a unknown, proxy-b unknown" in run.stdout.readline()
    assert all("cannot be asked" in run.stdout.readline() for _ in range(2))
    lines = [run.stdout.readline() for _ in range(2)]
    assert "2 routes on hold by version 2" in lines[0] and "applied by 2 live instances" in lines[1]
    assert all(" ms  " in line for line in lines)
    assert cell(ctl, "61000") == ("redx", "hold") and run.poll() is None
    slow.settles = True
    slow.beat()
    out, error = run.communicate(timeout=PATIENCE)
    assert run.returncode == DONE, error
    assert "all that was sent before is answered on" in out and "open on omni by version 3" in out


def test_strict_flip_that_does_not_drain(ctl, table, play):
    """An instance that does not report it has not settled. What was printed goes on, and back."""
    play("proxy-a")
    slow = play("proxy-b", settles=None, in_flight=7)
    stopped = stopped_code(ctl)
    answer = ctl.json(*FLIP, "--strict", "--drain", "30ms", "--why", "it's the day", code=stopped)
    assert [one["id"] for one in answer["barrier"]["missing"]] == ["proxy-b"]
    assert [(row["shortcode"], row["state"]) for row in answer["now"]] == [("61000", "hold"), ("61001", "hold")]
    assert answer["commands"]["go_back"] == "turnoutctl rollback --version 2"
    assert shell(ctl, answer["commands"]["go_back"]).returncode == DONE
    assert cell(ctl, "61000") == ("redx", "open")

    text = ctl.text(*FLIP, "--strict", "--drain", "30ms", "--why", "it's the day", code=stopped)
    assert "proxy-b" in text and "61000 spark: redx (hold), version 4" in text
    commands = [line.strip() for line in text.splitlines() if line.startswith("  turnoutctl ")]
    assert len(commands) == 3
    assert shell(ctl, commands[1]).returncode == DONE  # open at once
    assert cell(ctl, "61000") == ("omni", "open")
    assert ctl.json("log", "--last", "1")["changes"][0]["why"] == "it's the day"

    ctl.json(*OUTSIDE, "61000", "61001", "--carrier", "spark", "--to", "redx")
    ctl.json(*FLIP, "--strict", "--drain", "0", code=stopped)
    slow.settles = True
    slow.beat()
    assert shell(ctl, commands[0]).returncode == DONE  # waits on, from the hold that is there
    assert cell(ctl, "61000") == ("omni", "open")
    ctl.json("rollback")
    assert cell(ctl, "61000") == ("redx", "open"), "also where another command made the hold"


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_strict_flip_is_stopped(ctl, table, play, number):
    play("proxy-a", settles=False)
    run = ctl.start("--json", *FLIP, "--strict")
    wait_until(lambda: cell(ctl, "61000") == ("redx", "hold"), "the hold")
    run.send_signal(number)
    out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == stopped_code(ctl)
    answer = json.loads(out)
    assert answer["now"][0]["state"] == "hold"
    assert shell(ctl, answer["commands"]["go_back"]).returncode == DONE
    assert cell(ctl, "61000") == ("redx", "open")


def test_strict_flip_where_the_hold_is_not_applied(ctl, table, play):
    table.beat("proxy-a", applied=1)
    answer = ctl.json(*FLIP, "--strict", "--timeout", "20ms", code=stopped_code(ctl))
    assert answer["commands"]["go_back"] and cell(ctl, "61000") == ("redx", "hold")
    table.function("turnout_leave", "proxy-a")
    answer = ctl.json(*FLIP, "--strict", code=stopped_code(ctl))
    assert "no instance is alive" in answer["error"]
    assert answer["commands"]["go_back"] == "turnoutctl route open 61000 61001 --carrier spark", "the hold was there"


def held_flip(ctl, play, *more, as_json=True):
    """A strict flip that waits for an instance which does not settle, and has the hold."""
    slow = play("proxy-a", settles=False)
    run = ctl.start(*(["--json"] if as_json else []), *FLIP, "--strict", *more)
    wait_until(lambda: cell(ctl, "61001") == ("redx", "hold"), "the hold")
    return slow, run


def test_strict_flip_meets_somebody_elses_change(ctl, table, play):
    """What was sent since may be unanswered, so it is a conflict. The rest stays on hold."""
    _, run = held_flip(ctl, play)
    change(table, [("61000", "spark", "redx", "open")], who="eve")
    out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == stopped_code(ctl)
    answer = json.loads(out)
    ended, = answer["ended"]
    assert abs(ended.pop("at_ms") - time.time() * 1000) < 60000
    assert ended == {"shortcode": "61000", "carrier": "spark", "is": "redx", "is_state": "open", "version": 3,
                     "who": "eve"}
    assert answer["commands"]["go_back"] == "turnoutctl rollback --version 2 61001"
    assert " 61001 " in answer["commands"]["open"] and "61000" not in answer["commands"]["open"]
    assert cell(ctl, "61001") == ("redx", "hold")
    assert shell(ctl, answer["commands"]["go_back"]).returncode == DONE
    assert cell(ctl, "61001") == ("redx", "open")


def test_strict_flip_whose_hold_was_ended_and_made_anew(ctl, table, play):
    """Opened and held again within one look: that it is on hold is not enough."""
    slow, run = held_flip(ctl, play)
    run.send_signal(signal.SIGSTOP)
    change(table, [("61000", "spark", "redx", "open")])
    change(table, [("61000", "spark", "redx", "hold")], who="eve")
    slow.settles = True
    slow.beat()
    run.send_signal(signal.SIGCONT)
    out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == stopped_code(ctl)
    ended, = json.loads(out)["ended"]
    assert (ended["shortcode"], ended["is_state"], ended["version"], ended["who"]) == ("61000", "hold", 4, "eve")


@pytest.mark.parametrize("command", (("route", "open", "61000", "61001", "--carrier", "spark"),
                                     ("rollback", "--version", "2")), ids=("open", "rollback"))
def test_strict_flip_ends_at_once_where_its_hold_is_ended(ctl, table, play, command):
    _, run = held_flip(ctl, play, "--drain", "60s", as_json=False)
    ctl.json(*command, "--as", "bob")
    _, error = run.communicate(timeout=PATIENCE)
    assert run.returncode == CONFLICT
    words = " ".join(error.split())
    assert "the hold of 2 routes by version 2 was ended by another change: nothing was moved" in words
    assert "61000 spark: redx (open), as set by bob in version 3, 2" in words
    assert "61001 spark: redx (open), version 3" in words
    assert "turnoutctl rollback" not in words and "turnoutctl route open" not in words
    assert cell(ctl, "61000") == cell(ctl, "61001") == ("redx", "open")


def test_strict_flip_is_not_troubled_by_changes_of_other_routes(ctl, table, play):
    slow, run = held_flip(ctl, play)
    change(table, [("777", "spark", "redx")])
    time.sleep(0.05)
    assert run.poll() is None
    slow.settles = True
    slow.beat()
    run.communicate(timeout=PATIENCE)
    assert run.returncode == DONE and cell(ctl, "61000") == ("omni", "open")


def test_a_stopped_strict_flip_repeats_all_that_was_asked_for(ctl, table, play):
    play("proxy-a", settles=False)
    options = ("--from", "redx", "--drain", "35ms", "--confirm-within", "10m", "--guard-errors", "5", "--guard-min",
               "50", "--guard-mo-within", "2m", "--guard-receipt-within", "3m", "--guard-leg-lost", "--guard-action",
               "rollback", "--guard-for", "30m", "--replicas", "0", "--timeout", "4s", "--ticket", "CHG-1")
    commands = ctl.json(*FLIP, "--strict", *options, code=stopped_code(ctl))["commands"]
    wanted = {"--from redx", "--confirm-within 600000ms", "--guard-errors 5", "--guard-min 50",
              "--guard-mo-within 120000ms", "--guard-receipt-within 180000ms", "--guard-leg-lost",
              "--guard-action rollback", "--guard-for 1800000ms", "--replicas 0", "--timeout 4000ms",
              "--ticket CHG-1", "--outside-window"}
    for name in ("wait_on", "open"):
        assert all(" %s " % option in commands[name] + " " for option in wanted), commands[name]
    assert " --strict " in commands["wait_on"] and " --drain 35ms " in commands["wait_on"]
    assert "--strict" not in commands["open"] and "--drain" not in commands["open"]
    assert shell(ctl, commands["open"]).returncode == DONE
    guard, = ctl.json("guards")["guards"]
    assert (guard["action"], guard["state"]) == ("rollback", "watching")


def test_conflict_of_a_flip_says_what_to_do(ctl, table, play):
    play("proxy-a")
    change(table, [("61000", "spark", "third")])
    answer = ctl.json(*FLIP, "--from", "redx", code=CONFLICT)
    assert "turnoutctl status" in answer["advice"] and "--from" in answer["advice"]
    assert "--force" not in answer["advice"]
    assert "--force" in ctl.json("rollback", "--version", "1", code=CONFLICT)["advice"]


def test_strict_flip_with_a_deadline(ctl, table, play):
    play("proxy-a")
    answer = ctl.json(*FLIP, "--strict", "--confirm-within", "150ms")
    assert answer["confirm_by_ms"] > 0
    assert [one["version"] for one in ctl.json("status")["pending"]] == [3], "the hold's deadline is over"
    time.sleep(0.16)
    table.beat("other", applied=99)
    assert cell(ctl, "61000") == ("redx", "open"), "open, not on hold"
    assert [entry["undoes"] for entry in rollbacks(ctl)] == [3]


SOON = ("--timeout", "1s", "--drain", "300ms", "--confirm-within", "200ms")


def goes_back(ctl, table):
    """Once, by the timer, to what was before the hold."""
    wait_until(lambda: table.function("turnout_due") == -1, "the deadline")
    assert cell(ctl, "61000") == cell(ctl, "61001") == ("redx", "open")
    entry, = rollbacks(ctl)
    assert entry["who"] == "confirm-timer" and table.function("turnout_due") == -1
    return entry["undoes"]


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGHUP))
def test_the_hold_goes_back_where_the_terminal_dies(ctl, table, play, number):
    _, run = held_flip(ctl, play, *SOON)
    pending, = ctl.json("status")["pending"]
    assert (pending["version"], pending["left_ms"] > 1000, pending["hold"]) == (2, True, True)
    assert "hold of a strict flip: not to be confirmed" in ctl.text("status")
    assert "is the hold of a strict flip" in str(ctl.json("confirm", "2", code=INVALID))
    ctl.json("confirm", code=NOT_FOUND)
    run.send_signal(number)
    run.wait(PATIENCE)
    assert cell(ctl, "61000") == ("redx", "hold")
    assert goes_back(ctl, table) == 2


def test_a_stopped_strict_flip_that_waits_on_puts_its_deadline_off(ctl, table, play):
    play("proxy-a", settles=False)
    answer = ctl.json(*FLIP, "--strict", *SOON, code=stopped_code(ctl))
    first, = ctl.json("status")["pending"]
    assert answer["hold_goes_back_ms"] == first["deadline_ms"]
    text = shell(ctl, answer["commands"]["wait_on"])
    assert text.returncode == stopped_code(ctl) and "The hold goes back by itself at" in text.stderr
    second, = ctl.json("status")["pending"]
    assert second["version"] == 2 and second["deadline_ms"] >= first["deadline_ms"] + 300
    assert goes_back(ctl, table) == 2


def test_a_stopped_strict_flip_opened_at_once_goes_back_behind_its_hold(ctl, table, play):
    play("proxy-a", settles=False)
    answer = ctl.json(*FLIP, "--strict", *SOON, code=stopped_code(ctl))
    assert shell(ctl, answer["commands"]["open"]).returncode == DONE
    assert cell(ctl, "61000") == ("omni", "open")
    assert [(one["version"], one["hold"]) for one in ctl.json("status")["pending"]] == [(3, False)]
    assert goes_back(ctl, table) == 3


def test_a_hold_that_was_opened_in_part_goes_back_with_the_rest(ctl, table, play):
    play("proxy-a", settles=False)
    ctl.json(*FLIP, "--strict", *SOON, code=stopped_code(ctl))
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni")
    assert [one["version"] for one in ctl.json("status")["pending"]] == [2]
    wait_until(lambda: table.function("turnout_due") == -1, "the deadline")
    assert (cell(ctl, "61000"), cell(ctl, "61001")) == (("omni", "open"), ("redx", "open"))


def test_strict_flip_of_what_is_there_already(ctl, table, play):
    play("proxy-a")
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "redx", "--strict", code=UNCHANGED)
    ctl.json(*OUTSIDE, "999", "--carrier", "spark", "--to", "redx", "--strict", code=NOT_FOUND)
    ctl.json(*FLIP, "--strict", "--create", code=USAGE)
    ctl.json(*FLIP, "--strict", "--no-wait", code=USAGE)
    ctl.json(*FLIP, "--strict", "--from", "third", code=CONFLICT)
    assert ctl.json("status")["version"] == 1


def test_strict_flip_when_redis_goes_away(ctl, table):
    from resp import RedisServer
    own = RedisServer()
    try:
        here = Ctl(own.path)
        here.json("ping")
        mine = Table(own.connect())
        change(mine, [("1", "spark", "redx")])
        mine.beat("proxy-a", applied=99, settled=0)
        run = here.start("--json", *OUTSIDE, "1", "--carrier", "spark", "--to", "omni", "--strict")
        wait_until(lambda: mine.resp.call("GET", "{turnout}:version") == b"2", "the hold")
        own.stop()
        out, _ = run.communicate(timeout=20)
        assert run.returncode == stopped_code(ctl)
        assert json.loads(out)["commands"]["go_back"] == "turnoutctl rollback --version 2"
    finally:
        own.remove()


def test_commands_name_the_redis_that_was_named(ctl, table, play, server):
    play("proxy-a", settles=False)
    here = Ctl("127.0.0.1:1")
    answer = here.json("--redis", server.path, *FLIP, "--strict", "--drain", "0", code=stopped_code(ctl))
    assert answer["commands"]["go_back"] == "turnoutctl --redis %s rollback --version 2" % server.path
    assert shell(here, answer["commands"]["go_back"]).returncode == DONE


# --- short forms -----------------------------------------------------------------------------------------------

def test_hold_open_close(ctl, table, play):
    play("proxy-a")
    for verb, state in (("hold", "hold"), ("close", "closed"), ("open", "open")):
        answer = ctl.json("route", verb, "61001", "61000", "--carrier", "spark", "--why", "on the phone")
        assert answer["barrier"]["complete"] and len(answer["moves"]) == 2
        assert cell(ctl, "61000") == cell(ctl, "61001") == ("redx", state)
    ctl.json("route", "open", "61000", "--carrier", "spark", code=UNCHANGED)
    ctl.json("route", "hold", "61000", "999", "--carrier", "spark", code=NOT_FOUND)
    ctl.json("route", "hold", "61000", code=USAGE)
    assert cell(ctl, "61000") == ("redx", "open"), "all or nothing"
    ctl.json("route", "hold", "61000", "--carrier", "spark")
    ctl.json(*OUTSIDE, "61000", "--carrier", "spark", "--to", "omni")
    assert cell(ctl, "61000") == ("omni", "open"), "a flip opens what was on hold"


@pytest.mark.parametrize("words", (("ping",), ("status",), ("route", "list"), ("window", "list"), ("confirm",), ("instances",),
                                   ("rollback", "--version", "1"), (*OUTSIDE, "1", "--carrier", "spark", "--to", "omni"),
                                   (*OUTSIDE, "1", "--carrier", "spark", "--to", "omni", "--strict")),
                         ids=lambda words: " ".join(words[:2]) + " strict" * ("--strict" in words))
def test_a_redis_that_hangs_is_waited_for_as_long_as_is_said(ctl, words):
    from resp import RedisServer
    own = RedisServer()
    try:
        here = Ctl(own.path)
        here.json("ping")
        change(Table(own.connect()), [("1", "spark", "redx")])
        own.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        run = here.run("--json", *words, "--timeout", "300ms")
        assert time.monotonic() - began < 2, "300 ms, and half a second"
        assert "did not answer in time" in json.loads(run.stdout)["error"] and run.returncode not in (0, 4)
    finally:
        own.process.send_signal(signal.SIGCONT)
        own.remove()
