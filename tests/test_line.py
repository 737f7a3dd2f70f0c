"""The line in which people wait: places, the time that turns take, its end, its words."""

import pytest

from redgui.ui.host.queue import Line, LineError, duration, ordinal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_line_tells_the_place_and_learns_how_long_turns_take():
    clock = Clock()
    line = Line(clock=clock)
    made = [0.0]
    first, second, third = line.join("a", lambda: made[0]), line.join("a"), line.join("b")
    assert [line.ahead(place) for place in (first, second, third)] == [0, 1, 2]
    assert [line.told(place) for place in (first, second, third)] == ["", "You are next", "2nd in line"]
    clock.now, made[0] = 4.0, 0.25  # a quarter in four seconds: twelve more
    assert line.told(second) == "You are next, about 10 s"
    assert line.told(third) == "2nd in line, about 30 s"  # the second is of the same kind as the first: sixteen seconds
    fourth = line.join("a")
    assert line.told(fourth) == "3rd in line"  # nothing is known of the third
    line.leave(second)
    assert line.told(third) == "You are next, about 10 s"
    clock.now = 20.0
    line.leave(first)
    line.leave(first)
    assert line.told(third) == ""
    assert line.told(fourth) == "You are next"
    clock.now = 25.0
    line.leave(third)
    fifth, sixth = line.join("b"), line.join("a")
    assert line.seconds(fifth) == 20.0  # what the first has taken
    assert line.seconds(sixth) == 25.0
    clock.now = 50.0
    assert line.told(fifth) == "You are next"  # it takes longer than the one before: nobody knows


def test_several_are_served_at_once_and_who_waits_is_told_until_a_place_is_free():
    clock = Clock()
    line = Line(clock=clock, places=2)
    made = [0.0, 0.0]
    first, second = line.join("a", lambda: made[0]), line.join("b", lambda: made[1])
    third, fourth = line.join("a"), line.join("b")
    assert [line.ahead(place) for place in (first, second, third, fourth)] == [0, 0, 1, 2]
    assert line.told(third) == "You are next"
    clock.now, made[:] = 4.0, [0.25, 0.5]  # twelve seconds more, and four
    assert line.seconds(second) == 0.0
    assert line.seconds(third) == 4.0
    assert line.seconds(fourth) == 12.0  # the third takes sixteen seconds in the place that the second leaves
    line.leave(second)
    assert [line.ahead(place) for place in (first, third, fourth)] == [0, 0, 1]
    full = Line(most=1, places=2)
    for _ in range(3):
        full.join("a")
    with pytest.raises(LineError, match="1 runs are waiting"):
        full.join("a")


def test_what_is_left_of_a_run_is_its_own_and_not_what_shorter_ones_took():
    clock = Clock()
    line = Line(clock=clock)
    short = line.join("a")
    clock.now = 5.0
    line.leave(short)
    made = [0.0]
    long, second = line.join("a", lambda: made[0]), line.join("a")
    line.look(long)  # its first step, a second before anybody waits
    clock.now = 6.0
    assert line.told(second) == "You are next"  # no step more: nobody knows
    made[0] = 1 / 31
    assert line.told(second) == "You are next, about 30 s"


def test_the_line_has_an_end():
    line = Line(most=2)
    places = [line.join("a") for _ in range(3)]
    with pytest.raises(LineError, match="2 runs are waiting here already"):
        line.join("a")
    line.leave(places[0])
    line.join("a")


def test_words():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th"
    ]  # fmt: skip
    assert [duration(s) for s in (0, 3.4, 12, 58, 89, 91, 250)] == ["1 s", "3 s", "10 s", "60 s", "90 s", "2 min", "4 min"]
