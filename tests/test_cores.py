"""How many threads share an operation: a number of each thread, of a run, of its record."""

import contextvars
import threading

import pytest
import torch

from redgui.knobs import KnobError
from redgui.runs import cores
from redgui.runs.engine import Engine


def in_new_thread(work):
    """What `work()` gives in a thread of its own."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def four(monkeypatch):
    """Threads start with four, as torch has it on a machine of four cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)  # for all threads to come, too
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "_at_start", 4)
    monkeypatch.setattr(cores, "_left", 1)
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
def test_the_engine_leaves_cores_to_others_who_work_alone(four, left, expected):
    cores.share_out(left)
    assert Engine().call(cores.number) == expected
    assert in_new_thread(cores.number) == 1


def test_what_does_not_wait_for_the_engine_has_as_many_in_the_context_of_who_asks_and_raises_there(four):
    about = contextvars.ContextVar("about", default="nobody")
    about.set("somebody")
    assert cores.apart(lambda: (cores.number(), about.get())) == (3, "somebody")
    with pytest.raises(ZeroDivisionError):
        cores.apart(lambda: 1 / 0)


def test_the_engine_takes_as_many_as_it_is_told(four, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert Engine().call(cores.number) == 4
