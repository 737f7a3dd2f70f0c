"""How many threads share an operation: a number of each thread, of a run, of its record."""

import contextvars
import threading

import pytest
import torch

from redgui.knobs import KnobError
from redgui.runs import cores, teams


def in_new_thread(work):
    """What `work()` gives in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def four(monkeypatch):
    """Threads start with four, as torch has it on a machine of four cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)  # for all threads to come, too
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


def test_a_limit_holds_for_its_thread_and_no_other(four):
    def limited():
        cores.limit(2)
        return cores.number(), in_new_thread(cores.number)

    assert in_new_thread(limited) == (2, 4)
    assert cores.number() == 4


def test_a_limit_for_a_while_ends_also_by_an_error(four):
    with cores.limited(3):
        assert cores.number() == 3
        with cores.limited(None):
            assert cores.number() == 3
    with pytest.raises(RuntimeError), cores.limited(1):
        raise RuntimeError
    assert cores.number() == 4


@pytest.mark.parametrize("wrong", [0, -1, 1025, 2.0, True, "2"])
def test_a_number_of_threads_that_cannot_be_is_refused(wrong):
    with pytest.raises(KnobError, match="1 to 1024"):
        cores.limit(wrong)


@pytest.mark.parametrize(("left", "expected"), [(1, 3), (0, 4), (9, 1)])
def test_a_team_leaves_cores_to_others(four, left, expected):
    try:
        teams.leave_cores(left)
        assert teams.with_team(cores.number) == expected
    finally:
        teams.leave_cores(1)


def test_a_team_is_of_the_size_that_was_asked_for(four, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert teams.with_team(cores.number) == 4


def test_work_with_a_team_has_the_context_of_who_asks_and_raises_there():
    about = contextvars.ContextVar("about", default="nobody")
    about.set("somebody")
    assert teams.with_team(about.get) == "somebody"
    with pytest.raises(ZeroDivisionError):
        teams.with_team(lambda: 1 / 0)


def test_steps_are_made_alone_whichever_thread_asks(four):
    def steps():
        while True:
            yield cores.number()

    looked = teams.each_alone(steps())
    assert [in_new_thread(lambda: next(looked)) for _ in range(3)] == [1, 1, 1]
    assert list(teams.each_alone(iter((1, 2)))) == [1, 2]


def test_who_looks_on_works_alone_and_the_runs_do_not(four):
    from redgui import ui

    demo = ui.build(device="cpu")
    seen = []

    class Event:
        fn = staticmethod(lambda: seen.append(cores.number()))

    event = Event()
    teams.onlookers([event])
    in_new_thread(event.fn)
    assert seen == [1]
    once = [event.fn for event in demo.fns.values() if event.fn is not None and event.fn.__name__ == "get_ready"]
    assert once
    assert all(hasattr(fn, "__wrapped__") for fn in once)
