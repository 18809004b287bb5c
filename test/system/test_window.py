"""Windows and events: the functions in a real Redis, turnoutctl window against played instances, and a whole window
through real turnoutd.

Run: /usr/bin/python3 -m pytest test/system/test_window.py, with TURNOUT_BUILD naming the build directory."""

import json
import threading
import time

import pytest

from resp import Table
from test_ctl import DONE, INCOMPLETE, INVALID, NO_INSTANCES, NOT_FOUND, UNCHANGED, USAGE
from test_ctl import ctl, instances, server, table  # noqa: F401 (fixtures)

WINDOW = 14


def request(kind="flip", who="alice", **more):
    """A change as JSON. moves: (shortcode, carrier, to[, state])."""
    moves = [dict(zip(("shortcode", "carrier", "to", "state"), move)) for move in more.pop("moves")]
    return json.dumps({"kind": kind, "who": who, "moves": moves, "outside_window": True, **more})


def events(table):
    found = []
    for _, fields in table.resp.call("XRANGE", "{turnout}:events", "-", "+"):
        text = [field.decode() for field in fields]
        found.append(dict(zip(text[::2], text[1::2])))
    return found


# --- events ----------------------------------------------------------------------------------------------------

def test_a_flip_is_an_event_for_each_carrier(table):
    ok = table.function("turnout_change", request(why="cut over", ticket="CHG-7", moves=[
        ("61000", "spark", "omni"), ("61001", "spark", "omni"), ("61000", "onenz", "omni")]))
    first, second = events(table)
    assert (first["kind"], first["version"], first["who"], first["why"], first["ticket"], first["window"]) == \
        ("carrier_moved", "2", "alice", "cut over", "CHG-7", "")
    assert abs(int(first["at"]) - ok[2]) < 1000
    assert first["text"] == "2 shortcodes of spark moved to omni"
    assert first["cells"] == "61000 spark redx omni open\n61001 spark redx omni open"
    assert (second["text"], second["cells"]) == ("61000 of onenz moved to omni", "61000 onenz redx omni open")


def test_the_hold_of_a_strict_flip_moves_nothing(table):
    table.function("turnout_change", request(moves=[("61000", "spark", "redx", "hold")]))
    assert events(table) == []
    table.function("turnout_change", request("set", moves=[("61001", "spark", "omni")]))
    assert events(table) == []


def test_rollback_confirm_and_deadline_are_events(table, server):
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    table.function("turnout_rollback", json.dumps({"who": "bob", "version": 2}))
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")], confirm_within_ms=60000))
    table.function("turnout_confirm", json.dumps({"who": "bob"}))
    table.function("turnout_change", request(moves=[("61001", "spark", "omni")], confirm_within_ms=60000))
    table.resp.call("ZADD", "{turnout}:confirm", 1, 5)
    table.function("turnout_due")
    assert [(one["kind"], one["version"], one["who"], one["cells"]) for one in events(table)] == [
        ("carrier_moved", "2", "alice", "61000 spark redx omni open"),
        ("rolled_back", "3", "bob", "61000 spark omni redx open"),
        ("carrier_moved", "4", "alice", "61000 spark redx omni open"),
        ("confirmed", "4", "bob", "61000 spark redx omni open"),
        ("carrier_moved", "5", "alice", "61001 spark redx omni open"),
        ("gone_back", "6", "confirm-timer", "61001 spark omni redx open")]


def test_what_cannot_go_back_is_an_alarm(table):
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")], confirm_within_ms=60000))
    table.function("turnout_change", request("set", moves=[("61000", "spark", "other")]))
    table.resp.call("ZADD", "{turnout}:confirm", 1, 2)
    table.function("turnout_due")
    last = events(table)[-1]
    assert (last["kind"], last["who"]) == ("alarm", "confirm-timer")
    assert last["text"] == "version 2 was not confirmed in time; left, because changed since: " \
        "61000 spark (version 3 by alice)"


def test_an_event_stream_of_a_wrong_type_makes_no_half_change(table):
    table.resp.call("SET", "{turnout}:events", "x")
    with pytest.raises(Exception, match="WRONGTYPE"):
        table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    assert table.resp.call("GET", "{turnout}:version") == b"1"


# --- flips outside of any window -------------------------------------------------------------------------------

MOVE = ("--carrier", "spark", "--to", "omni")


def test_a_flip_of_no_window_is_refused(ctl, table, instances):
    answer = ctl.json("flip", "61000", "61001", *MOVE, code=WINDOW)
    assert (answer["result"], answer["version"]) == ("window", 1)
    assert answer["outside"] == [
        {"shortcode": code, "carrier": "spark", "window": None, "state": None} for code in ("61000", "61001")]
    assert "--outside-window" in answer["advice"]
    text = ctl.text("flip", "61000", "61001", *MOVE, code=WINDOW)
    assert "nothing was changed: 2 routes belong to no open window" in text and "\n  61001 spark\n" in text
    assert ctl.json("flip", "61000", "--strict", *MOVE, code=WINDOW)["outside"][0]["shortcode"] == "61000"
    assert ctl.json("log")["changes"][-1]["version"] == 1
    answer = ctl.json("flip", "61000", "61001", "--outside-window", *MOVE)
    assert answer["version"] == 2
    entry = ctl.json("log", "--last", "1")["changes"][0]
    assert entry["outside_window"] == ["61000 spark", "61001 spark"] and "windows" not in entry
    assert "OUTSIDE ANY WINDOW (2 routes)" in ctl.text("log", "--last", "1")


def test_other_changes_need_no_window(ctl, table):
    for command in (["route", "set", "62000", "--carrier", "spark", "--to", "omni"],
                    ["route", "set", "61000", "--carrier", "spark", "--to", "redx", "--state", "closed"],
                    ["route", "hold", "61000", "--carrier", "spark"], ["route", "open", "61000", "--carrier", "spark"],
                    ["rollback"]):
        ctl.json(*command, code=NO_INSTANCES)
    ctl.json("flip", "61001", "--carrier", "spark", "--to", "redx", code=NO_INSTANCES)  # so already: no flip at all
    assert all("outside_window" not in entry for entry in ctl.json("log")["changes"])


def test_set_and_import_of_a_route_that_is_there_need_a_window(ctl, table, tmp_path):
    path = tmp_path / "routes.csv"
    path.write_text("61000,spark,omni\n61001,spark,redx\n62000,spark,omni\n")
    answer = ctl.json("route", "import", str(path), code=WINDOW)
    assert [(one["shortcode"], one["carrier"]) for one in answer["outside"]] == [("61000", "spark")]
    assert "--outside-window" in answer["advice"]
    text = ctl.text("route", "set", "61000", "--carrier", "spark", "--to", "omni", code=WINDOW)
    assert "61000 spark" in text and ctl.json("status")["version"] == 1, "nothing was changed"
    ctl.json("route", "import", str(path), "--outside-window", code=NO_INSTANCES)
    assert ctl.json("log", "--last", "1")["changes"][0]["outside_window"] == ["61000 spark"]
    assert "OUTSIDE ANY WINDOW (1 route)" in ctl.text("log", "--last", "1")
    ctl.json("route", "set", "61000", "--carrier", "spark", "--to", "redx", "--outside-window", code=NO_INSTANCES)
    assert ctl.json("log", "--last", "1")["changes"][0]["outside_window"] == ["61000 spark"]


# --- the functions in Redis ------------------------------------------------------------------------------------

HOUR = 3600000


def now_ms(table):
    seconds, micros = table.resp.call("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def window(table, command, name="night", **more):
    """Calls turnout_window; the answer with its texts decoded."""
    words = table.function("turnout_window", json.dumps({"command": command, "name": name, "who": "alice", **more}))
    return [word.decode() if isinstance(word, bytes) else word for word in words]


def create(table, *moves, name="night", start=-HOUR, end=HOUR, **more):
    """A window around now, or start and end ms from now; moves: (shortcode, carrier, to[, ms from now])."""
    now = now_ms(table)
    rows = [dict(zip(("shortcode", "carrier", "to"), move)) for move in moves]
    for row, move in zip(rows, moves):
        row.update({"at": now + move[3]} if len(move) > 3 else {})
    answer = window(table, "create", name, start=now + start, end=now + end, zone="UTC", moves=rows, **more)
    assert answer[0] == "ok", answer
    return now


def three(table, **more):
    return create(table, ("61000", "spark", "omni"), ("61001", "spark", "omni"), ("61000", "onenz", "omni"), **more)


def cell(table, shortcode="61000", carrier="spark"):
    """"platform state [next]"."""
    words = table.resp.call("HGET", "{turnout}:route:" + shortcode, carrier).decode().split()
    return " ".join(words[:2] + words[5:])


def state(table, name="night"):
    return (table.resp.call("HGET", "{turnout}:window:" + name, "state") or b"missing").decode()


def due_now(table, name="night"):
    """Lets pass the time until what is due next."""
    assert table.resp.call("ZADD", "{turnout}:window_due", "XX", "CH", 1, name) == 1
    return table.function("turnout_due")


def test_a_window_binds_moves_and_ends(table):
    three(table)
    assert cell(table) == "redx open"
    answer = window(table, "start")
    assert answer[:2] == ["ok", 2] and len(answer) == 4 + 3
    assert [cell(table, *key) for key in (("61000", "spark"), ("61001", "spark"), ("61000", "onenz"))] == \
        ["redx open omni", "redx open omni", "redx hold omni"]
    moves = [("61000", "spark", "omni"), ("61001", "spark", "omni")]
    assert table.function("turnout_change", request(outside_window=False, moves=moves))[:2] == [b"ok", 3]
    assert (cell(table), cell(table, "61001")) == ("omni open", "omni open")
    answer = window(table, "finish")
    assert answer == ["unfinished", 3, "61000 onenz is on redx, not on omni"]
    assert window(table, "finish", force=True)[:2] == ["ok", 4]
    assert cell(table, "61000", "onenz") == "redx hold"
    assert table.function("turnout_change", request(outside_window=False, moves=[("61000", "spark", "redx")]))[0] == \
        b"outside"
    kinds = [(one["kind"], one["window"], one["version"]) for one in events(table)]
    assert kinds == [("window_opened", "night", "2"), ("carrier_moved", "night", "3"), ("window_finished", "night", "4")]
    assert events(table)[-1]["text"] == "window night is finished: 2 of 3 routes moved"
    assert events(table)[0]["cells"].splitlines()[0] == "61000 onenz redx omni hold"


MACHINE = {  # state -> the commands that it takes, and where they lead
    "missing": {"create": "planned"},
    "planned": {"add": "planned", "remove": "planned", "delete": "missing", "start": "open", "cancel": "cancelled"},
    "open": {"flip": "open", "pause": "paused", "finish": "finished", "cancel": "cancelled", "rollback": "rolled_back"},
    "paused": {"resume": "open", "finish": "finished", "cancel": "cancelled", "rollback": "rolled_back"},
    "finished": {"rollback": "rolled_back"},
    "cancelled": {},
    "rolled_back": {},
}
WAY = {"missing": [], "planned": ["create"], "open": ["create", "start"], "paused": ["create", "start", "pause"],
       "finished": ["create", "start", "finish"], "cancelled": ["create", "cancel"],
       "rolled_back": ["create", "start", "rollback"]}
COMMANDS = sorted({command for commands in MACHINE.values() for command in commands})


def give(table, command):
    if command == "flip":
        answer = table.function("turnout_change", request(outside_window=False, window="night",
                                                          moves=[("61001", "spark", "omni")]))
        return answer[0].decode()
    now = now_ms(table)
    more = {"create": {"start": now - HOUR, "end": now + HOUR,
                       "moves": [{"shortcode": "61001", "carrier": "spark", "to": "omni"}]},
            "add": {"moves": [{"shortcode": "61000", "carrier": "spark", "to": "omni"}]},
            "remove": {"cells": [{"shortcode": "61001", "carrier": "spark"}]},
            "finish": {"force": True}}
    return window(table, command, **more.get(command, {}))[0]


@pytest.mark.parametrize("before", MACHINE)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_state(table, before, command):
    for step in WAY[before]:
        assert give(table, step) == "ok"
    version = table.resp.call("GET", "{turnout}:version")
    assert state(table) == before
    taken = command in MACHINE[before]
    assert give(table, command) == ("ok" if taken else "state")
    assert state(table) == MACHINE[before].get(command, before)
    assert taken or table.resp.call("GET", "{turnout}:version") == version
    # What is bound for a window is so only while it is open or paused.
    bound = cell(table, "61001").split()[2:] == ["omni"] or cell(table, "61001").startswith("omni")
    assert bound == (state(table) in ("open", "paused"))


def test_a_whole_window_goes_back_in_one_change(table):
    three(table)
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni"), ("61001", "spark", "omni")],
                                             confirm_within_ms=60000))
    table.function("turnout_change", request(moves=[("61000", "onenz", "redx", "hold")]))
    table.function("turnout_change", request(moves=[("61000", "onenz", "omni", "open")]))
    window(table, "pause")
    answer = window(table, "rollback", why="no receipts")
    assert answer[:2] == ["ok", 5] and len(answer) == 4 + 3
    assert [cell(table, *key) for key in (("61000", "spark"), ("61001", "spark"), ("61000", "onenz"))] == \
        ["redx open", "redx open", "redx hold"]
    assert table.resp.call("ZCARD", "{turnout}:confirm") == 0
    last = events(table)[-1]
    assert (last["kind"], last["window"], last["why"]) == ("rolled_back", "night", "no receipts")
    assert "61000 onenz omni redx hold" in last["cells"]


def test_a_finished_window_can_go_back(table):
    three(table)
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    window(table, "finish", force=True)
    table.function("turnout_change", request("set", moves=[("61001", "spark", "redx", "hold")]))
    answer = window(table, "rollback")
    assert answer[0] == "ok" and answer[4:] == ["61000 spark omni open redx open omni"]
    assert cell(table, "61001") == "redx hold", "it did not move with the window, and is left alone"


def test_what_went_elsewhere_is_a_conflict(table):
    three(table)
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    table.function("turnout_change", request("set", who="bob", moves=[("61000", "spark", "third")]))
    answer = window(table, "rollback")
    assert answer[:2] == ["conflict", 4] and answer[2].startswith("61000 spark third open omni * 4 ")
    assert answer[2].endswith(" bob") and state(table) == "open"
    assert window(table, "rollback", force=True)[0] == "ok"
    assert cell(table) == "redx open"


def test_a_window_is_cancelled_only_before_it_moved(table):
    three(table)
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    answer = window(table, "cancel")
    assert answer[0] == "invalid" and answer[2:] == ["61000 spark has moved to omni",
                                                    "roll the window back, or finish it"]
    table.function("turnout_rollback", json.dumps({"who": "bob", "version": 3}))
    assert window(table, "cancel")[0] == "ok"
    assert (cell(table), cell(table, "61001")) == ("redx open", "redx open")


@pytest.mark.parametrize("moves, start, end, reason", [
    ([("61000", "spark", "omni")], 2 * HOUR, HOUR, "the window ends before it starts"),
    ([("61000", "spark", "omni")], -2 * HOUR, -HOUR, "the window is over already"),
    ([], -HOUR, HOUR, "moves must be an array with at least one move"),
    ([("61000", "spark", "")], -HOUR, HOUR, "move 1: 61000 spark has no platform to go to"),
    ([("61000", "spark", "omni", HOUR)], -HOUR, HOUR, "move 1: 61000 spark is to move at a time that is not within "
                                                      "the window"),
    ([("61000", "spark", "omni"), ("61000", "spark", "omni")], -HOUR, HOUR, "move 2: 61000 spark is named twice"),
])
def test_what_cannot_be_a_window(table, moves, start, end, reason):
    with pytest.raises(AssertionError, match="invalid"):
        create(table, *moves, start=start, end=end)
    now = now_ms(table)
    rows = [dict(zip(("shortcode", "carrier", "to"), move), **({"at": now + move[3]} if len(move) > 3 else {}))
            for move in moves]
    assert window(table, "create", start=now + start, end=now + end, moves=rows)[2:] == [reason]
    assert state(table) == "missing"


def test_what_keeps_a_window_from_starting(table):
    three(table)
    three(table, name="other")
    create(table, ("70000", "spark", "omni"), name="unknown")
    create(table, ("61000", "spark", "omni"), name="tomorrow", start=HOUR, end=2 * HOUR)
    window(table, "start", "other")
    assert window(table, "start")[2:] == [
        "61000 onenz belongs to window other, which is open", "61000 spark belongs to window other, which is open",
        "61001 spark belongs to window other, which is open"]
    assert window(table, "start", "unknown")[2:] == ["70000 spark has no row of its own in the table"]
    assert "it is to start in 60 min; with force it starts now" in window(table, "start", "tomorrow")
    window(table, "finish", "other", force=True)
    assert window(table, "start", "tomorrow", force=True)[0] == "ok"


def test_a_flip_in_a_paused_or_planned_window_is_outside(table):
    three(table)
    moves = [("61000", "spark", "omni")]
    flip = request(outside_window=False, moves=moves)
    assert table.function("turnout_change", flip) == [b"outside", 1, b"61000 spark night planned"]
    window(table, "start")
    window(table, "pause")
    assert table.function("turnout_change", flip) == [b"outside", 2, b"61000 spark night paused"]
    named = request(outside_window=False, window="night", moves=moves)
    assert table.function("turnout_change", named) == [b"state", 2, b"night", b"paused", b"cancel", b"finish",
                                                      b"resume", b"rollback"]
    assert table.function("turnout_change", request(moves=moves))[0] == b"ok"
    entry = table.resp.call("XREVRANGE", "{turnout}:changes", "+", "-", "COUNT", 1)[0][1]
    assert entry[entry.index(b"outside") + 1] == b"61000 spark night paused" and b"window" not in entry
    window(table, "resume")
    named = request(outside_window=False, window="night", moves=moves + [("*", "spark", "omni")])
    assert table.function("turnout_change", named)[2] == b"* spark does not belong to window night"


# --- by itself -------------------------------------------------------------------------------------------------

def test_a_window_starts_and_moves_by_itself(table):
    create(table, ("61000", "spark", "omni", 1000), ("61001", "spark", "omni"), auto=True, ticket="CHG-9",
           start=-1000)
    assert table.function("turnout_due") > 0  # it was due at once; what comes next is the move
    assert state(table) == "open" and cell(table, "61001") == "redx open omni"
    row = table.resp.call("HGET", "{turnout}:window:night:cells", "61000 spark").decode().split()
    table.resp.call("HSET", "{turnout}:window:night:cells", "61000 spark", " ".join([row[0], "1000", *row[2:]]))
    due_now(table)
    assert (cell(table), cell(table, "61001")) == ("omni open", "redx open omni")
    opened, moved = events(table)
    assert (opened["kind"], opened["who"], opened["ticket"]) == ("window_opened", "window-timer", "CHG-9")
    assert (moved["kind"], moved["who"], moved["window"]) == ("carrier_moved", "window-timer", "night")
    assert moved["cells"] == "61000 spark redx omni open"


GUARD = {"errors": 5, "min": 50, "for_ms": 60000, "action": "alert"}


def guard_of(table, version):
    text = table.resp.call("HGET", "{turnout}:guards", version)
    return text and json.loads(text)


def test_a_windows_guard_watches_its_moves(table):
    three(table, guard=GUARD)
    window(table, "start")
    first = table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))[1]
    found = guard_of(table, first)
    assert (found["errors"], found["min"], found["window"], found["cells"]) == (5, 50, "night", ["61000 spark redx omni"])
    back = table.function("turnout_change", request(moves=[("61000", "spark", "redx")]))[1]
    assert guard_of(table, back) is None, "a way back by hand is not judged by what was left"
    held = table.function("turnout_change", request(moves=[("61001", "spark", "redx", "hold")]))[1]
    assert guard_of(table, held) is None
    own = table.function("turnout_change", request(moves=[("61001", "spark", "omni")], guard={**GUARD, "errors": 9}))[1]
    assert guard_of(table, own)["errors"] == 9


def test_a_windows_guard_watches_what_moves_by_itself(table):
    create(table, ("61000", "spark", "omni", 250), auto=True, start=-1000, guard=GUARD)
    table.function("turnout_due")
    row = table.resp.call("HGET", "{turnout}:window:night:cells", "61000 spark").decode().split()
    table.resp.call("HSET", "{turnout}:window:night:cells", "61000 spark", " ".join([row[0], "1000", *row[2:]]))
    due_now(table)
    version = int(table.resp.call("GET", "{turnout}:version"))
    assert guard_of(table, version)["cells"] == ["61000 spark redx omni"]
    assert guard_of(table, version)["who"] == "window-timer"


def test_a_guard_that_watches_for_nothing_is_no_guard(table):
    now = now_ms(table)
    answer = window(table, "create", start=now, end=now + HOUR, zone="UTC",
                    guard={"min": 5, "for_ms": 1000, "action": "alert"},
                    moves=[{"shortcode": "61000", "carrier": "spark", "to": "omni"}])
    assert answer[0] == "invalid" and "watch for" in answer[2]


def test_it_happens_once_though_three_ask(server, table):
    create(table, ("61000", "spark", "omni", 500), auto=True, start=250)
    tables = [Table(server.connect()) for _ in range(3)]

    def ask(one):
        while cell(one) != "omni open":
            one.function("turnout_due")
            one.beat("proxy-%d" % tables.index(one))
    threads = [threading.Thread(target=ask, args=(one,)) for one in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in tables:
        one.resp.close()
    assert table.resp.call("GET", "{turnout}:version") == b"3"
    assert [one["kind"] for one in events(table)] == ["window_opened", "carrier_moved"]
    entries = [dict(zip(fields[::2], fields[1::2])) for _, fields in
               table.resp.call("XRANGE", "{turnout}:changes", "2", "+")]
    now = now_ms(table)
    start = int(table.resp.call("HGET", "{turnout}:window:night", "start"))
    assert [entry[b"who"] for entry in entries] == [b"window-timer"] * 2
    assert start <= int(entries[0][b"at"]) <= int(entries[1][b"at"]) <= now
    assert int(entries[1][b"at"]) >= start + 250


def test_nothing_moves_by_itself_while_paused(table):
    create(table, ("61000", "spark", "omni", 0), ("61001", "spark", "omni", HOUR - 1))
    window(table, "start")
    window(table, "pause")
    assert table.resp.call("ZCARD", "{turnout}:window_due") == 0
    table.function("turnout_due")
    assert cell(table) == "redx open omni"
    answer = window(table, "resume")
    assert answer[3] == 1, "one move is overdue"
    table.function("turnout_due")
    assert (cell(table), cell(table, "61001")) == ("omni open", "redx open omni")


def test_what_cannot_move_by_itself_is_an_alarm_and_stops_nothing_else(table):
    table.beat("proxy-a", links="spark:redx spark:omni onenz:redx")
    create(table, ("61000", "spark", "omni", 0), ("61001", "spark", "omni", 0), ("61000", "onenz", "omni", 0))
    table.function("turnout_change", request("set", moves=[("61000", "onenz", "redx")]))
    window(table, "start")
    table.function("turnout_change", request("set", moves=[("61000", "spark", "third")]))
    due_now(table)
    assert [cell(table), cell(table, "61001"), cell(table, "61000", "onenz")] == \
        ["third open omni", "omni open", "redx open omni"]
    alarm = events(table)[-1]
    assert (alarm["kind"], alarm["window"]) == ("alarm", "night")
    assert alarm["text"] == "did not move by itself: 61000 onenz, instance proxy-a has no link onenz on omni; and 1 more"
    assert table.resp.call("HGETALL", "{turnout}:window:night:failed") == [
        b"61000 onenz", b"instance proxy-a has no link onenz on omni",
        b"61000 spark", b"it is on third (open), not on redx (open) as at the start"]
    count = len(events(table))
    table.function("turnout_due")
    assert len(events(table)) == count, "it is told once"
    table.function("turnout_change", request("set", moves=[("61000", "spark", "redx")]))
    window(table, "pause")
    window(table, "resume")
    due_now(table)
    assert cell(table) == "omni open"


@pytest.mark.parametrize("how", ["rollback", "flip"])
def test_what_was_set_back_does_not_move_by_itself_again(table, how):
    create(table, ("61000", "spark", "omni", 0), ("61001", "spark", "omni", HOUR - 1))
    window(table, "start")
    due_now(table)
    moved = int(table.resp.call("GET", "{turnout}:version"))
    assert (cell(table), cell(table, "61001")) == ("omni open", "redx open omni")
    if how == "rollback":
        table.function("turnout_rollback", json.dumps({"who": "bob", "version": moved}))
    else:
        table.function("turnout_change", request(moves=[("61000", "spark", "redx")]))
    row = table.resp.call("HGET", "{turnout}:window:night:cells", "61001 spark").decode().split()
    table.resp.call("HSET", "{turnout}:window:night:cells", "61001 spark", " ".join([row[0], "1000", *row[2:]]))
    due_now(table)
    assert (cell(table), cell(table, "61001")) == ("redx open omni", "omni open")
    assert [one for one in events(table) if one["kind"] == "alarm"] == [], "it did move by itself"
    window(table, "pause")
    assert window(table, "resume")[3] == 0, "nor is it overdue"
    due_now(table)
    assert cell(table) == "redx open omni", "nor when the window goes on: by hand alone"
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    assert cell(table) == "omni open"


def at_now(table, name):
    """The time of a timed move has come."""
    row = table.resp.call("HGET", "{turnout}:window:night:cells", name).decode().split()
    table.resp.call("HSET", "{turnout}:window:night:cells", name, " ".join([row[0], "1000", *row[2:]]))


def test_what_was_there_at_its_time_is_done_with(table):
    """Moved by hand before: whoever takes it away again has a reason, and nothing is overdue or failed."""
    create(table, ("61000", "spark", "omni", HOUR - 1), ("61001", "spark", "omni", HOUR - 1))
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    at_now(table, "61000 spark")
    due_now(table)
    table.function("turnout_change", request(moves=[("61000", "spark", "redx")]))
    due_now(table)
    assert cell(table) == "redx open omni"
    window(table, "pause")
    assert window(table, "resume")[3] == 0
    assert [one for one in events(table) if one["kind"] == "alarm"] == []


def test_what_was_there_and_left_before_its_time_says_so_at_its_time(table):
    create(table, ("61000", "spark", "omni", HOUR - 1))
    window(table, "start")
    for to in ("omni", "redx"):
        table.function("turnout_change", request(moves=[("61000", "spark", to)]))
        table.function("turnout_due")
    due = int(table.resp.call("ZSCORE", "{turnout}:window_due", "night"))
    assert due == int(table.resp.call("ZSCORE", "{turnout}:window:night:timed", "61000 spark")), "it is looked at then"
    at_now(table, "61000 spark")
    due_now(table)
    alarm = "did not move by itself: 61000 spark, it was set back from omni since the start"
    assert [one["text"] for one in events(table) if one["kind"] == "alarm"] == [alarm]


def test_a_move_by_hand_is_noticed_while_the_instances_refuse(table):
    """Tried again in ten seconds, it was moved by hand meanwhile: done with at once, not only then."""
    create(table, ("61000", "spark", "omni", 0))
    window(table, "start")
    table.resp.call("ZADD", "{turnout}:window_due", 2 ** 42, "night")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    table.function("turnout_due")
    assert table.resp.call("ZSCORE", "{turnout}:window:night:timed", "61000 spark") is None


def test_what_is_there_does_not_wait_for_those_that_are_refused(table):
    """Its neighbour to the same link is tried again later; that it is there is seen at its own time."""
    create(table, ("61000", "spark", "omni", HOUR - 2), ("61001", "spark", "omni", 0))
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni")]))
    at = int(table.resp.call("ZSCORE", "{turnout}:window:night:timed", "61000 spark"))
    table.resp.call("HSET", "{turnout}:window:night:looks", "spark omni", json.dumps(
        {"id": "1-0", "asked": ["proxy-a"], "shortcodes": {"61001": True}, "at_ms": at, "next_ms": at + 10000, "ended": True}))
    due_now(table)
    assert int(table.resp.call("ZSCORE", "{turnout}:window_due", "night")) <= at


def test_an_automatic_start_that_fails_is_told_once(table):
    create(table, ("70000", "spark", "omni"), auto=True)
    table.function("turnout_due")
    assert state(table) == "planned"
    assert [one["text"] for one in events(table)] == [
        "did not start by itself: 70000 spark has no row of its own in the table"]
    assert table.function("turnout_due") == -1
    alarm, = alarms(table)
    assert (alarm["window"], alarm["what"], "cells" in alarm) == ("night", events(table)[0]["text"], False)
    assert len(table.function("turnout_alarms", alarm["at_ms"])) == 1, "none was raised after it"
    assert len(table.function("turnout_alarms", alarm["at_ms"] - 1)) == 2
    assert table.function("turnout_alarm_ack", json.dumps({"id": alarm["id"], "who": "bob"})) == [b"ok"]
    assert alarms(table)[0]["acknowledged"]["who"] == "bob"
    assert window(table, "delete")[0] == "ok"


def test_an_error_in_one_window_keeps_nobody_from_going_on(table):
    create(table, ("61000", "spark", "omni"), auto=True)
    create(table, ("61001", "spark", "omni"), name="other", auto=True)
    table.resp.call("HSET", "{turnout}:route:61000", "spark", "damaged")
    assert table.beat("proxy-a", applied="1") == 2
    assert (state(table), state(table, "other")) == ("planned", "open")
    alarm = next(one for one in events(table) if one["kind"] == "alarm")
    assert alarm["window"] == "night" and "61000 spark is damaged" in alarm["text"]
    assert len([one for one in events(table) if one["kind"] == "alarm"]) == 1
    table.beat("proxy-a", applied="1")
    assert len([one for one in events(table) if one["kind"] == "alarm"]) == 1


def test_the_end_of_a_window_is_told_and_ends_its_timer(table):
    create(table, ("61000", "spark", "omni"), ("61001", "spark", "omni", 1000))
    window(table, "start")
    table.resp.call("HSET", "{turnout}:window:night", "end", "1")
    due_now(table)
    assert events(table)[-1]["text"] == "the window is over and still open: 0 of 2 routes have moved"
    assert cell(table) == "redx open omni"
    row = table.resp.call("HGET", "{turnout}:window:night:cells", "61001 spark").decode().split()
    table.resp.call("HSET", "{turnout}:window:night:cells", "61001 spark", " ".join([row[0], "1000", *row[2:]]))
    due_now(table)
    assert events(table)[-1]["text"] == "did not move by itself: 61001 spark, the window is over"
    assert table.function("turnout_due") == -1
    flip = request(outside_window=False, moves=[("61000", "spark", "omni")])
    assert table.function("turnout_change", flip)[0] == b"ok", "by hand it goes on"


# --- preflight before a move by itself -------------------------------------------------------------------------

FINE = {"link": "spark-omni", "target": {"verdict": "bindable"}, "clients": []}
FAILED = {"link": "spark-omni", "target": {"verdict": "failed", "why": "bind was refused"}, "clients": []}


def alarms(table):
    return [json.loads(text) for text in table.function("turnout_alarms")[1:]]


def question(table):
    """The newest: its id and what it asks."""
    words = table.resp.call("XREVRANGE", "{turnout}:questions", "+", "-", "COUNT", 1)
    if not words:
        return None, None
    (name, fields), = words
    found = dict(zip(fields[::2], fields[1::2]))
    return name.decode(), json.loads(found[b"request"])


def answer(table, instance, text, asked=None):
    return table.function("turnout_answer", asked or question(table)[0], instance, json.dumps(text))


def look_again(table, target="spark omni"):
    """Lets pass the time until it is tried again."""
    key = "{turnout}:window:night:looks"
    look = json.loads(table.resp.call("HGET", key, target))
    table.resp.call("HSET", key, target, json.dumps({**look, "at_ms": look["at_ms"] - HOUR, "next_ms": 1}))
    return due_now(table)


def timed(table, *instances):
    """An open window with two moves of spark that are due, and instances that can be asked."""
    for name in instances:
        table.beat(name, answers="about preflight message")
    create(table, ("61000", "spark", "omni", 0), ("61001", "spark", "omni", 0))
    window(table, "start")
    due_now(table)
    return question(table)


def test_what_moves_by_itself_is_looked_at_first(table):
    asked, what = timed(table, "proxy-a", "proxy-b")
    assert (what["kind"], what["carrier"], what["to"], sorted(what["shortcodes"])) == (
        "preflight", "spark", "omni", ["61000", "61001"])
    assert (cell(table), cell(table, "61001")) == ("redx open omni", "redx open omni")
    answer(table, "proxy-a", {"working": True})
    answer(table, "proxy-a", FINE)
    assert table.function("turnout_due") > 0 and question(table)[0] == asked, "it is asked once"
    assert cell(table) == "redx open omni", "one has not answered yet"
    answer(table, "proxy-b", FINE)
    assert (cell(table), cell(table, "61001")) == ("omni open", "omni open"), "with the last answer it moves"
    assert table.resp.call("GET", "{turnout}:version") == b"3", "once, in one change"
    assert answer(table, "proxy-b", FINE, asked) == 1 and table.resp.call("GET", "{turnout}:version") == b"3"
    assert alarms(table) == []


def test_a_link_that_cannot_be_bound_is_an_alarm_and_tried_again(table):
    asked, _ = timed(table, "proxy-a", "proxy-b")
    answer(table, "proxy-a", FINE), answer(table, "proxy-b", FAILED)
    assert cell(table) == "redx open omni"
    alarm, = alarms(table)
    text = ("does not move by itself: spark omni, proxy-b cannot bind spark-omni: bind was refused; it is tried again "
            "until the window ends")
    assert (alarm["what"], alarm["window"], alarm["id"]) == (text, "night", "w1")
    assert alarm["cells"] == ["61000 spark redx omni", "61001 spark redx omni"]
    assert [one["text"] for one in events(table) if one["kind"] == "alarm"] == [text]
    for _ in range(2):
        assert table.function("turnout_due") > 1000 and question(table)[0] == asked, "not at once"
    look_again(table)
    second, _ = question(table)
    assert second != asked
    answer(table, "proxy-a", FAILED), answer(table, "proxy-b", FAILED)
    assert len(alarms(table)) == 1 and cell(table) == "redx open omni", "it is told once"
    shown = table.function("turnout_window_show", "night")[3]
    assert shown[3] == b"proxy-a cannot bind spark-omni: bind was refused; and 1 more"
    look_again(table)
    answer(table, "proxy-a", FINE), answer(table, "proxy-b", FINE)
    assert (cell(table), cell(table, "61001")) == ("omni open", "omni open")
    assert len(alarms(table)) == 1


def test_a_move_that_no_instance_answers_for_waits(table):
    asked, _ = timed(table, "proxy-a")
    table.resp.call("HSET", "{turnout}:window:night:looks", "spark omni", json.dumps(
        {**json.loads(table.resp.call("HGET", "{turnout}:window:night:looks", "spark omni")), "at_ms": now_ms(table) - 7000}))
    due_now(table)
    assert cell(table) == "redx open omni" and "no instance says whether it can bind it" in alarms(table)[0]["what"]
    look_again(table)
    answer(table, "proxy-a", {"error": "no memory"})
    assert cell(table) == "redx open omni", "an instance that cannot say is no instance that can bind"
    look_again(table)
    answer(table, "proxy-a", FINE)
    assert cell(table) == "omni open"


def test_a_refused_move_ends_with_its_window(table):
    timed(table, "proxy-a")
    answer(table, "proxy-a", FAILED)
    table.resp.call("HSET", "{turnout}:window:night", "end", "1")
    due_now(table)
    assert cell(table) == "redx open omni"
    assert "the window is over, and proxy-a cannot bind spark-omni: bind was refused; and 1 more" in [
        alarm["what"] for alarm in alarms(table) if "did not move" in alarm["what"]][0]
    assert table.function("turnout_due") == -1


def test_a_client_without_sessions_keeps_nothing_from_moving(table):
    timed(table, "proxy-a")
    clients = [{"client": "away", "verdict": "failed", "why": "refused", "sessions": {}}]
    answer(table, "proxy-a", {"link": "spark-omni", "clients": clients})
    assert cell(table) == "omni open"
    window(table, "rollback")
    table.resp.call("DEL", "{turnout}:window:night")
    timed(table, "proxy-a")
    clients[0]["sessions"] = {"transceiver": 1}
    answer(table, "proxy-a", {"link": "spark-omni", "clients": clients})
    assert cell(table) == "redx open omni" and "for away: refused" in alarms(table)[0]["what"]


def test_a_pause_ends_the_look(table):
    timed(table, "proxy-a")
    window(table, "pause")
    answer(table, "proxy-a", FINE)
    assert cell(table) == "redx open omni", "nothing moves while it is paused"
    window(table, "resume")
    table.function("turnout_due")
    answer(table, "proxy-a", FINE)
    assert cell(table) == "omni open"


# --- who had applied it when -----------------------------------------------------------------------------------

def applied(table, *versions):
    words = table.function("turnout_applied", *versions)
    return {int(words[i]): dict(zip(words[i + 1][::2], map(int, words[i + 1][1::2]))) for i in range(0, len(words), 3)}


def test_the_first_beat_that_says_so_is_the_time(table):
    before = now_ms(table)
    table.beat("proxy-a", applied="1")
    table.beat("proxy-a", applied="3")
    first = applied(table, 1, 2, 3)
    table.beat("proxy-a", applied="3")
    table.beat("proxy-b", applied="2")
    table.beat("proxy-b", applied="200")
    assert applied(table, 1) == {1: {}}, "what it had applied when it was first seen is of before"
    assert set(first[2]) == set(first[3]) == {b"proxy-a"} and first[2] == first[3]
    assert before <= first[3][b"proxy-a"] <= now_ms(table)
    assert applied(table, 3)[3] == first[3], "proxy-b jumped over it, too far back"
    assert applied(table, 101)[101].keys() == {b"proxy-b"}
    table.function("turnout_leave", "proxy-a")
    table.beat("proxy-a", applied="9")
    assert b"proxy-a" not in applied(table, 9)[9]


def test_what_a_command_saw_is_kept_with_the_version(table):
    assert table.function("turnout_barrier", "7", '{"live":3}') == 1
    assert table.function("turnout_applied", "7")[2] == b'{"live":3}'
    assert table.resp.call("PTTL", "{turnout}:barrier:7") > 0
    for wrong in (("0", "{}"), ("x", "{}"), ("7", "no JSON"), ("7", '{"a":"%s"}' % ("x" * 70000))):
        with pytest.raises(Exception, match="usage"):
            table.function("turnout_barrier", *wrong)


# --- turnoutctl window -----------------------------------------------------------------------------------------

@pytest.fixture
def csv(tmp_path):
    """A CSV file of moves."""
    def write(text, name="night.csv"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)
    return write


PLAN = "shortcode,carrier,to\n61000,spark,omni\n61001,spark,omni\n61000,onenz,omni\n"


def around(hours=1):
    """--start and --end around now."""
    now = time.time()
    return [text for option, offset in (("--start", -3600), ("--end", hours * 3600))
            for text in (option, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + offset)))]


class Follower:
    """Plays an instance for as long as the test takes: applies every change at once."""

    def __init__(self, server, name, **fields):
        self.table, self.name, self.fields = Table(server.connect()), name, fields
        self.ended = False
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self):
        last = None
        while not self.ended:
            version = (self.table.resp.call("GET", "{turnout}:version") or b"0").decode()
            if version != last:
                self.table.beat(self.name, applied=version, desired=version, settled=version, unsettled=version,
                                state="following", **self.fields)
                last = version
            time.sleep(0.002)

    def end(self):
        self.ended = True
        self.thread.join()
        self.table.resp.close()


@pytest.fixture
def followers(server, table):
    players = [Follower(server, name) for name in ("proxy-a", "proxy-b")]
    while len(table.function("turnout_instances")) < 7:
        time.sleep(0.002)
    yield players
    for player in players:
        player.end()


@pytest.mark.sanitize
def test_a_night(ctl, table, followers, csv):
    answer = ctl.json("window", "create", "night", csv(PLAN), *around(), "--why", "CHG-7 Spark and One NZ", "--ticket",
                      "CHG-7", "--as", "alice")
    assert (answer["window"], answer["moves"]) == ("night", 3)
    listed = ctl.json("window", "list")["windows"]
    assert [(one["name"], one["state"], one["total"], one["moved"], one["ticket"]) for one in listed] == [
        ("night", "planned", 3, 0, "CHG-7")]
    assert ctl.json("window", "step", "night", code=WINDOW)["error"] == "nothing was changed: window night is planned"
    assert ctl.json("flip", "61000", *MOVE, code=WINDOW)["outside"][0]["state"] == "planned"
    text = ctl.text("window", "start", "night")
    assert "Window night is open: 3 routes; the legs of both platforms are being bound.\n" in text
    assert "Version 2 is applied by all 2 live instances" in text
    routes = ctl.json("route", "list")["routes"]
    assert {route["next"] for route in routes if route["shortcode"] != "*"} == {"omni"}
    text = ctl.text("window", "step", "night", "--why", "Spark is ready")
    assert text.startswith("Window night: spark to omni, 2 routes\n")
    entry = ctl.json("log", "--last", "1")["changes"][0]
    assert (entry["kind"], entry["windows"], entry["why"], len(entry["moves"])) == (
        "flip", ["night"], "Spark is ready", 2)
    assert "outside_window" not in entry
    assert ctl.json("window", "step", "night", "--carrier", "spark", code=UNCHANGED)["error"] == \
        "window night has nothing left to move of spark"
    shown = ctl.json("window", "show", "night")
    assert [(cell["shortcode"], cell["carrier"], cell["progress"]) for cell in shown["cells"]] == [
        ("61000", "onenz", "waiting, not open"), ("61000", "spark", "moved"), ("61001", "spark", "moved")]
    answer = ctl.json("window", "finish", "night", code=WINDOW)
    assert answer["unfinished"] == ["61000 onenz is on redx, not on omni"]
    ctl.text("window", "pause", "night")
    assert "window night is paused" in ctl.json("window", "step", "night", code=WINDOW)["error"]
    assert "takes: cancel, finish, resume, rollback" in ctl.json("window", "start", "night", code=WINDOW)["error"]
    ctl.text("window", "resume", "night")
    answer = ctl.json("window", "step", "night", "--strict")
    assert (answer["carrier"], answer["to"]) == ("onenz", "omni")
    assert "nothing left to move; " not in ctl.text("window", "step", "night", code=UNCHANGED)
    answer = ctl.json("window", "finish", "night")
    assert (answer["result"], answer["changed"]) == ("done", False)
    assert ctl.json("window", "finish", "night", code=WINDOW)["window_state"] == "finished"
    assert ctl.json("window", "list")["windows"][0]["moved"] == 3
    answer = ctl.json("rollback", "--window", "night", "--why", "no receipts at One NZ")
    assert len(answer["moves"]) == 3 and answer["barrier"]["complete"]
    assert (cell(table), cell(table, "61000", "onenz")) == ("redx open", "redx hold")
    assert "undoes window night" in ctl.text("log", "--last", "1")
    ctl.json("window", "rollback", "night", code=WINDOW)
    for command in ("show", "start", "step", "pause", "rollback", "report", "check", "finish"):
        assert ctl.json("window", command, "nowhere", code=NOT_FOUND)["error"].endswith('no window "nowhere"')
        ctl.json("window", command, "no where", code=USAGE)


def test_strict_steps_keep_the_window_in_both_changes(ctl, table, followers, csv):
    ctl.json("window", "create", "night", csv(PLAN), *around())
    ctl.json("window", "start", "night")
    ctl.json("window", "step", "night", "--strict", "--confirm-within", "10m")
    entries = ctl.json("log", "--last", "2")["changes"]
    assert [(entry["windows"], entry["moves"][0]["state"]) for entry in entries] == [(["night"], "hold"),
                                                                                  (["night"], "open")]
    answer = ctl.json("window", "finish", "night", code=WINDOW)
    assert "version 4 awaits confirmation" in answer["unfinished"]
    ctl.json("window", "rollback", "night")
    assert table.resp.call("ZCARD", "{turnout}:confirm") == 0
    assert cell(table) == "redx open"


def test_an_alarm_of_a_window_is_shown_until_it_is_acknowledged(ctl, table, csv):
    ctl.json("window", "create", "night", csv("70000,spark,omni\n"), *around(), "--auto")
    table.function("turnout_due")
    why = "did not start by itself: 70000 spark has no row of its own in the table"
    assert [one["alarms"] for one in ctl.json("window", "list")["windows"]] == [1]
    alarm, = ctl.json("window", "show", "night")["alarms"]
    assert alarm["what"] == why
    assert why in " ".join(ctl.text("window", "show", "night").split())
    for command in (["alarms"], ["status"]):
        assert why in ctl.text(*command) and why in [one["what"] for one in ctl.json(*command)["alarms"]]
    ctl.json("alarms", "ack", alarm["id"])
    assert [one["alarms"] for one in ctl.json("window", "list")["windows"]] == [0]
    assert ctl.json("window", "show", "night")["alarms"] == [] and why not in ctl.text("status")


def test_after_its_end_a_window_steps_only_by_order(ctl, table, followers, csv):
    ctl.json("window", "create", "night", csv(PLAN), *around())
    ctl.json("window", "start", "night")
    assert "OVERDUE" not in ctl.text("window", "list")
    table.resp.call("HSET", "{turnout}:window:night", "end", "60000")
    due_now(table)
    answer = ctl.json("window", "step", "night", code=WINDOW)
    assert "window night is OVERDUE: its end was 1970-01-01" in answer["error"] and "--after-end" in answer["advice"]
    assert cell(table) == "redx open omni"
    assert "open, OVERDUE" in ctl.text("window", "list") and ctl.json("window", "list")["windows"][0]["overdue"]
    assert "Window night: open, OVERDUE, " in ctl.text("window", "show", "night")
    assert ctl.json("window", "show", "night")["window"]["overdue"]
    assert "over and still open" in ctl.json("alarms")["alarms"][0]["what"]
    assert "OVERDUE" in ctl.text("window", "step", "night", "--after-end")
    assert cell(table) == "omni open"


def test_a_name_that_exists_is_called_so(ctl, table, csv):
    ctl.json("window", "create", "night", csv(PLAN), *around())
    assert ctl.json("window", "create", "night", csv(PLAN), *around(), code=WINDOW)["error"] == \
        "nothing was changed: window night exists already, and is planned"


def test_what_is_there_already_has_not_moved(ctl, table, csv):
    table.function("turnout_change", request("set", moves=[("61000", "spark", "omni")]))
    ctl.json("window", "create", "night", csv(PLAN), *around())
    progress = {(row["shortcode"], row["carrier"]): row["progress"]
                for row in ctl.json("window", "show", "night")["cells"]}
    assert (progress["61000", "spark"], progress["61001", "spark"]) == ("already there", "waiting")
    assert "moved" not in progress.values()


def test_a_window_that_was_taken_back_says_so(ctl, table, followers, csv):
    ctl.json("window", "create", "night", csv(PLAN), *around())
    ctl.json("window", "start", "night")
    ctl.json("window", "step", "night")
    ctl.json("rollback", "--as", "carol")
    text = ctl.text("window", "rollback", "night", "--as", "bob")
    assert "Window night is rolled back: what had moved was set back before, by version 4 (carol, " in text
    error = ctl.json("window", "rollback", "night", code=WINDOW)["error"]
    assert "window night was rolled back already, " in error and error.endswith(", by bob")
    ctl.json("window", "create", "other", csv(PLAN), *around())
    ctl.json("window", "start", "other")
    assert "Window other is rolled back: nothing had moved.\n" in ctl.text("window", "rollback", "other")


@pytest.mark.parametrize("options, words", [
    (["--guard-action", "rollback"], "--guard-action alone is no guard"), (["--guard-min", "5"], "--guard-min alone"),
    (["--guard-for", "5m"], "--guard-for alone"), (["--guard-errors", "500"], "from 1 to 100"),
    (["--guard-errors", "0"], "from 1 to 100"), (["--guard-errors", "5", "--guard-min", "0"], "--guard-min is"),
    (["--guard-leg-lost", "--guard-action", "stop"], "alert or rollback")])
def test_a_guard_without_a_condition_is_refused(ctl, table, csv, options, words):
    for command in (["flip", "61000", "--outside-window", *MOVE], ["flip", "61000", "--strict", "--outside-window", *MOVE],
                    ["window", "create", "night", csv(PLAN), *around()]):
        assert words in ctl.json(*command, *options, code=USAGE)["error"]
    assert table.resp.call("GET", "{turnout}:version") == b"1" and state(table) == "missing"


def test_a_carrier_that_goes_to_two_platforms(ctl, table, followers, csv):
    ctl.json("window", "create", "night", csv("61000,spark,omni\n61001,spark,third\n"), *around())
    ctl.json("window", "start", "night")
    assert "to omni and to third" in ctl.json("window", "step", "night", code=USAGE)["error"]
    assert len(ctl.json("window", "step", "night", "--to", "third")["moves"]) == 1
    assert ctl.json("window", "step", "night")["to"] == "omni"
    assert (cell(table), cell(table, "61001")) == ("omni open", "third open")


def test_times_of_a_window(ctl, table, csv):
    zone = ("--zone", "Pacific/Auckland")

    def create(start, end, *more, code):
        return ctl.json("window", "create", "night", csv(PLAN), "--start", start, "--end", end, *more, code=code)
    assert "--zone Pacific/Auckland" in create("2126-09-27T10:00", "2126-09-27T11:00", code=USAGE)["error"]
    assert "knows no zone" in create("2126-09-27T10:00", "2126-09-27T11:00", "--zone", "NZ/Auckland", code=USAGE)["error"]
    assert "does not exist" in create("2027-09-26T02:30", "2027-09-26T04:00", *zone, code=USAGE)["error"]
    assert "comes twice" in create("2027-04-04T00:30", "2027-04-04T02:30", *zone, code=USAGE)["error"]
    assert create("2027-04-04T02:00+13:00", "2027-04-04T02:00+13:00", *zone, code=INVALID)["errors"] == [
        "the window ends before it starts"]
    # An hour later by the clock, two hours later in truth.
    answer = create("2027-04-04T01:30", "2027-04-04T03:30", *zone, code=DONE)
    assert answer["end_ms"] - answer["start_ms"] == 3 * HOUR
    text = ctl.text("window", "show", "night")
    assert "2027-04-04 01:30:00 +1300 to 2027-04-04 03:30:00 +1200" in text
    ctl.json("window", "delete", "night")
    answer = create("2027-09-26T01:30+12:00", "2027-09-26T04:30", code=DONE)
    assert "2027-09-26 01:30:00 +1200 to 2027-09-26 04:30:00 +1200" in ctl.text("window", "show", "night")
    assert answer["end_ms"] - answer["start_ms"] == 3 * HOUR


def test_every_error_of_a_file_is_shown(ctl, table, csv):
    file = csv("shortcode,carrier,to,at\n61000,spark\n61 000,spark,omni\n61000,spark,omni\n61000,spark,omni\n"
               "61001,spark,omni,noon\n")
    answer = ctl.json("window", "create", "night", file, *around(), code=INVALID)
    assert [error["line"] for error in answer["errors"]] == [2, 3, 5, 6]
    assert state(table) == "missing"
    assert "has no moves" in ctl.json("window", "create", "night", csv("# nothing\n"), *around(), code=INVALID)["error"]
    assert "cannot be read" in ctl.json("window", "create", "night", "/nowhere", *around(), code=INVALID)["error"]


def test_opting_in_and_out(ctl, table, csv):
    ctl.json("window", "create", "night", csv(PLAN), *around())
    assert ctl.json("window", "remove", "night", "61000", "--carrier", "onenz")["count"] == 1
    assert ctl.json("window", "remove", "night", "61000", "70000", code=NOT_FOUND)["error"] == \
        "nothing was changed: 70000 is not in window night"
    assert ctl.json("window", "add", "night", "61000", "--carrier", "onenz", "--to", "third")["count"] == 1
    assert ctl.json("window", "add", "night", "61002")["count"] == 2  # of both carriers, each to where it goes
    cells = {(row["shortcode"], row["carrier"]): row["to"] for row in ctl.json("window", "show", "night")["cells"]}
    assert cells == {("61000", "spark"): "omni", ("61001", "spark"): "omni", ("61000", "onenz"): "third",
                     ("61002", "spark"): "omni", ("61002", "onenz"): "third"}
    assert "already" in ctl.json("window", "add", "night", "61002", code=INVALID)["errors"][0]
    assert ctl.json("window", "remove", "night", "61002")["count"] == 2
    ctl.json("window", "start", "night", code=NO_INSTANCES)
    ctl.json("window", "add", "night", "61002", code=WINDOW)
    ctl.json("window", "remove", "night", "61001", code=WINDOW)


def findings(answer):
    return {(one["severity"], one["what"]): one["text"] for one in answer["findings"]}


@pytest.mark.sanitize
def test_check_finds_what_would_go_wrong(ctl, table, csv):
    table.beat("proxy-a", applied="1", state="following", links="spark:redx spark:omni onenz:redx")
    ctl.json("window", "create", "night", csv(PLAN + "70000,spark,omni\n"), *around())
    ctl.json("window", "create", "other", csv("61001,spark,third\n"), *around())
    table.function("turnout_change", request("set", moves=[("61000", "spark", "omni"), ("61005", "spark", "redx")]))
    answer = ctl.json("window", "check", "night", csv(PLAN + "61009,spark,omni\n61001,onenz,omni\n"), code=INVALID)
    found = findings(answer)
    assert found["error", "row"] == "70000 spark has no row of its own in the table"
    assert found["note", "there"] == "61000 spark is on omni already"
    assert found["error", "link"] == "instance proxy-a has no link for onenz by omni, where the window moves to"
    assert found["warning", "state"] == "61000 onenz is on hold"
    assert found["error", "window"] == "61001 spark is in window other, too, which is planned"
    assert found["note", "rest"] == "2 routes of spark not in the window: * and others"
    texts = [one["text"] for one in answer["findings"] if one["what"] == "csv"]
    assert texts[:2] == ["line 5: 61009 spark is not in the window", "line 6: 61001 onenz is not in the window"]
    assert texts[2].startswith("70000 spark is in the window, but not in ")
    text = ctl.text("window", "check", "night", code=INVALID)
    assert "error: 70000 spark has no row of its own in the table\n" in text
    assert "Nothing was changed." in text and "window night is not ready: 3 errors" in text
    assert table.resp.call("GET", "{turnout}:version") == b"2"


def test_start_refuses_a_platform_without_a_link(ctl, table, csv):
    table.beat("proxy-a", applied="1", state="following", links="spark:redx spark:omni onenz:redx")
    ctl.json("window", "create", "night", csv(PLAN), *around())
    assert "has no link for onenz by omni" in ctl.json("window", "start", "night", code=INVALID)["error"]
    assert state(table) == "planned"


def test_a_window_by_itself_through_the_commands(ctl, table, followers, csv):
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    text = ctl.text("window", "create", "night", csv("61000,spark,omni,%s\n61001,spark,omni\n" % at), *around(),
                    "--auto")
    assert "It starts by itself. 1 move is made by itself.\n" in text
    deadline = time.monotonic() + 10
    while cell(table) != "omni open" and time.monotonic() < deadline:
        table.function("turnout_due")
    assert [(entry["kind"], entry["who"]) for entry in ctl.json("log", "--last", "2")["changes"]] == [
        ("window", "window-timer"), ("flip", "window-timer")]
    assert state(table) == "open" and cell(table, "61001") == "redx open omni"


def test_the_log_says_when_each_instance_had_applied_it(ctl, table, followers):
    ctl.json("flip", "61000", "--outside-window", *MOVE)
    entry = ctl.json("log", "--last", "1", "--long")["changes"][0]
    assert entry["applied"].keys() == {"proxy-a", "proxy-b"}
    assert all(0 <= ms - entry["at_ms"] < 5000 for ms in entry["applied"].values())
    assert (entry["barrier"]["complete"], entry["barrier"]["live"]) == (True, 2)
    text = ctl.text("log", "--last", "1", "--long")
    assert "    applied by proxy-b after " in text
    assert "applied" not in ctl.json("log", "--last", "1")["changes"][0]


def test_the_log_says_who_had_not_applied_it_in_time(ctl, table, followers):
    table.beat("hung", applied="1", state="following")
    ctl.json("flip", "61000", "--outside-window", *MOVE, "--timeout", "50ms", code=INCOMPLETE)
    assert "    not applied in time by hung\n" in ctl.text("log", "--last", "1", "--long")
    table.beat("hung", applied="2", state="following")
    ctl.json("flip", "61000", "--outside-window", *MOVE, code=UNCHANGED)
    entry = ctl.json("log", "--last", "1", "--long")["changes"][0]
    assert entry["barrier"]["complete"] and "hung" in entry["applied"]


def test_a_cell_that_went_back_still_knows_where_it_goes(table):
    three(table)
    window(table, "start")
    table.function("turnout_change", request(moves=[("61000", "spark", "omni"), ("61001", "spark", "omni")]))
    table.function("turnout_rollback", json.dumps({"who": "bob", "version": 3, "shortcodes": ["61000"]}))
    table.function("turnout_change", request(moves=[("61001", "spark", "redx")]))
    assert (cell(table), cell(table, "61001")) == ("redx open omni", "redx open omni")
    window(table, "rollback")
    assert (cell(table), cell(table, "61001")) == ("redx open", "redx open")


def test_the_report_of_what_went_back(ctl, table, followers, csv):
    """Counted over processes that saw the way back, and one that ended before; of a route without a record it says so."""
    def seen(writer, at_ms, now, other, shortcode="61000", **more):
        record = {"shortcode": shortcode, "carrier": "spark", "changed_ms": at_ms // 1000 * 1000, "minute": 1,
                  "now": dict(now, statuses=[]), "other": dict(other, statuses=[]), "before": {}, "minutes": []}
        table.function("turnout_evidence", writer, "1", shortcode + " spark", json.dumps(dict(record, **more)))

    ctl.json("window", "create", "night", csv(PLAN), *around())
    ctl.json("window", "start", "night")
    ctl.json("window", "step", "night")
    came = ctl.json("log", "--last", "1")["changes"][0]["at_ms"]
    time.sleep(1.1 - came / 1000 % 1)  # the routes keep whole seconds
    ctl.json("rollback")
    left = ctl.json("log", "--last", "1")["changes"][0]["at_ms"]
    seen("ended", came, {"platform": "omni", "mt_accepted": 7, "mt_refused": 1, "held_full": 2, "mo": 3}, {"platform": "redx"})
    seen("lives", left, {"platform": "redx", "mt_accepted": 99}, {"platform": "omni", "mt_unknown": 1, "mo": 50},
         pasts=[{"platform": "omni", "changed_ms": came // 1000 * 1000, "mt_accepted": 20, "receipts": 5, "proxy_refused": 1},
                {"platform": "redx", "changed_ms": came // 1000 * 1000 - 60000, "mt_accepted": 500}])
    seen("older", came - 3600000, {"platform": "omni", "mt_accepted": 1000}, {"platform": "redx"})
    report = ctl.json("window", "report", "night")["report"]
    assert report["summary"]["went_back"] == {"routes": 2, "uncounted": 1, "mt_accepted": 27, "mt_refused": 1,
                                              "mt_unknown": 1, "refused": 3, "mo": 3, "receipts": 5}
    routes = {(one["shortcode"], one["carrier"]): one["went_back"] for one in report["routes"]}
    assert routes["61000", "onenz"] is None and routes["61001", "spark"]["counted"] is False
    assert (routes["61000", "spark"]["came_ms"], routes["61000", "spark"]["left_ms"]) == (came, left)
    assert {one["platform"]: (one["mt_accepted"], one["mo"]) for one in report["summary"]["totals"]} == {
        "omni": (27, 53), "redx": (99, 0)}
    text = ctl.text("window", "report", "night")
    assert "Of 1 of them there is no count" in text and "27 messages accepted" in " ".join(text.split())
