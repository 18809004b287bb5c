"""Windows and events: the functions in a real Redis, turnoutctl window against played instances, and a whole window
through real turnoutd.

Run: /usr/bin/python3 -m pytest test/system/test_window.py, with TURNOUT_BUILD naming the build directory."""

import json

import pytest

from test_ctl import NO_INSTANCES, ctl, instances, server, table  # noqa: F401 (fixtures)

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
    for command in (["route", "set", "61000", "--carrier", "spark", "--to", "omni"],
                    ["route", "hold", "61000", "--carrier", "spark"], ["route", "open", "61000", "--carrier", "spark"],
                    ["rollback"]):
        ctl.json(*command, code=NO_INSTANCES)
    ctl.json("flip", "61001", "--carrier", "spark", "--to", "redx", code=NO_INSTANCES)  # so already: no flip at all
    assert all("outside_window" not in entry for entry in ctl.json("log")["changes"])
