"""Many people at one app: each gets their own, all are told where they stand, and nobody's trouble is another's."""

import asyncio
import base64
import gc
import os
import shutil
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

import pytest
import torch
from person import Person
from visitor import RefusedError, Visitor

from redgui import priors
from redgui.priors import GaussianPrior
from redgui.runs.engine import engine
from redgui.runs.record import Record
from redgui.ui.host import sessions
from redgui.ui.host.queue import Line, LineError, duration, ordinal
from redgui.ui.restore.state import Restoring

SIDE = 16
PRIOR = f"gaussian:size={SIDE}"
BROKEN, FULL, CRASHING = (f"{PRIOR},mean={mean}" for mean in (0.1, 0.2, 0.3))  # what their networks do is in `served`
LONG = 1000


def in_a_loop(main: Awaitable[Any]) -> Any:
    """asyncio.run, in a thread of its own: the one of the tests may have the loop of a browser."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


class Pace:
    """How long the network takes: it answers only while it is free, after some seconds."""

    def __init__(self) -> None:
        self.free, self.held = threading.Event(), threading.Event()
        self.seconds, self.calls = 0.0, 0
        self.free.set()


@pytest.fixture(scope="module")
def served() -> Iterator[SimpleNamespace]:
    """The app on a closed-form prior that can be held, and on three that break in their ways."""
    folder = tempfile.mkdtemp(prefix="redgui-tests-")
    os.environ["GRADIO_TEMP_DIR"] = os.environ.get("GRADIO_TEMP_DIR") or folder
    from redgui.ui import build, launch

    pace, plain = Pace(), GaussianPrior.denoise

    def denoise(self: GaussianPrior, x: torch.Tensor, sigma: Any) -> torch.Tensor:
        pace.calls += 1
        time.sleep(pace.seconds)
        if not pace.free.is_set():
            pace.held.set()
        assert pace.free.wait(60)
        if self.mean == 0.1:
            return plain(self, x, sigma) * float("nan")
        if self.mean == 0.2:
            raise MemoryError
        return plain(self, x, sigma) if self.mean == 0.0 else 1 / 0  # type: ignore[return-value]

    GaussianPrior.denoise = denoise  # type: ignore[method-assign]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = build(PRIOR, device="cpu")
    launch(demo, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, ssr_mode=False)
    demo.host.queue.places = 1  # a line of one is soon full; how several are served at once has tests of its own
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}", demo=demo, host=demo.host, pace=pace, config=None)
    pace.free.set()
    GaussianPrior.denoise = plain  # type: ignore[method-assign]
    demo.close(verbose=False)
    shutil.rmtree(folder, ignore_errors=True)


async def until(true: Callable[[], Any], what: str) -> None:
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


async def visit(served: Any, number: int, then: Callable[[Visitor], Awaitable[Any]], steps: int = 8, **turned: Any) -> Visitor:
    """A person who opens the page, settles everything, does something and leaves."""
    async with Visitor(served.url, served.config) as visitor:
        await visitor.open()
        served.config = visitor.config
        await Person(number, SIDE, steps).settle(visitor)
        for name, value in turned.items():
            await visitor.turn(name, value)
        await then(visitor)
    return visitor


def state(visitor: Visitor) -> dict[str, Any]:
    return visitor.shown.get("live") or {}


# ---- the line itself


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


# ---- people


def test_everybody_gets_their_own_in_turn_and_is_told_where_they_stand(served):
    async def crowd() -> list[Visitor]:
        served.pace.free.clear()

        async def free() -> None:
            await until(lambda: len(served.host.queue) == 6, "all in line")
            await until(lambda: served.pace.calls, "the first to begin")
            await asyncio.sleep(0.3)  # three looks at the line
            served.pace.free.set()

        people = [visit(served, number, Visitor.press) for number in range(6)]
        return (await asyncio.gather(*people, free()))[:6]

    visitors = in_a_loop(crowd())
    for number, visitor in enumerate(visitors):
        assert state(visitor)["status"] == "done"
        assert Person(number, SIDE, 8).crossed(visitor.shown, priors.load(PRIOR)) == []
    told = [visitor.places[0].split(",")[0] if visitor.places else "" for visitor in visitors]
    assert sorted(told) == ["", "2nd in line", "3rd in line", "4th in line", "5th in line", "You are next"]
    assert Person(1, SIDE, 8).crossed(visitors[0].shown, priors.load(PRIOR)) != []  # it would be seen


def test_several_at_once_share_their_calls_and_each_has_a_record_that_replays(served, monkeypatch):
    monkeypatch.setattr(served.host.queue, "places", 8)
    monkeypatch.setattr(served.pace, "seconds", 0.03)  # a call: as long for many as for one, so that they go together
    engine().rounds.batches.most.clear()  # what paid before calls took their time

    async def crowd() -> list[Visitor]:
        return await asyncio.gather(*(visit(served, number, Visitor.press, steps=40) for number in range(4)))

    visitors = in_a_loop(crowd())
    sizes = set()
    for number, visitor in enumerate(visitors):
        assert state(visitor)["status"] == "done"
        assert visitor.places in ([], [""])
        assert Person(number, SIDE, 40).crossed(visitor.shown, priors.load(PRIOR)) == []
        sizes |= {size for size, _ in record_of(visitor).sizes or ()}
    assert max(sizes) > 1


def record_of(visitor: Visitor) -> Record:
    """The record that a page offers at the end."""
    links = {link["name"]: link["href"] for link in visitor.shown["result"]["downloads"]}
    return Record.from_json(base64.b64decode(links["record.json"].partition(",")[2]).decode())


def test_who_finds_the_line_full_is_told_so_and_can_press_again(served, monkeypatch):
    monkeypatch.setattr(served.host.queue, "most", 0)

    async def both() -> None:
        served.pace.free.clear()

        async def late(visitor: Visitor) -> None:
            await until(lambda: len(served.host.queue) == 1, "the first to begin")
            await visitor.press()
            assert state(visitor)["status"] == "error"
            assert "0 runs are waiting here already" in state(visitor)["message"]
            served.pace.free.set()
            await until(lambda: not len(served.host.queue), "the first to end")
            await visitor.press()
            assert state(visitor)["status"] == "done"

        await asyncio.gather(visit(served, 0, Visitor.press), visit(served, 1, late))

    in_a_loop(both())


def test_stop_frees_who_waits_at_once_and_the_run_goes_on(served):
    async def both() -> None:
        served.pace.free.clear()

        async def waits(visitor: Visitor) -> None:
            await until(lambda: len(served.host.queue) == 1, "the first to begin")
            running = asyncio.create_task(visitor.press())
            await until(lambda: visitor.places, "the place in line")
            await visitor.fire("stop", "click")
            await running  # while the network still answers nobody
            assert state(visitor)["message"] == "Stopped before it began."
            assert len(served.host.queue) == 1
            served.pace.free.set()

        first, _ = await asyncio.gather(visit(served, 0, Visitor.press), visit(served, 1, waits))
        assert state(first)["status"] == "done"

    in_a_loop(both())


@pytest.mark.parametrize(("how", "more"), [("closed", 1), ("dropped", 2)])
def test_a_run_whose_page_is_gone_ends_with_the_iteration_in_progress(served, monkeypatch, how, more):
    """A page that is closed is noticed at once; a connection that just drops at the next picture that would be sent."""

    async def goes(visitor: Visitor) -> None:
        monkeypatch.setattr(served.pace, "seconds", 0.2)
        running = asyncio.create_task(visitor.press())
        await until(lambda: state(visitor).get("i", 0) > 1, "the first iterates")
        run = served.host.sessions.of(visitor.key).state(Restoring).played
        served.pace.held.clear()
        served.pace.free.clear()
        await until(served.pace.held.is_set, "an iteration in progress")
        made = run.last.i
        running.cancel()
        if how == "closed":
            await visitor.leave()
            await until(lambda: visitor.key not in served.host.sessions._sessions, "the page to be forgotten")
        await until(lambda: visitor.key not in served.demo._queue.pending_messages_per_session, "the end of the connection")
        served.pace.free.set()
        await until(lambda: not len(served.host.queue), "its run to end")
        assert made <= run.last.i <= made + more
        assert not run.playing

    in_a_loop(visit(served, 0, goes, steps=LONG))


def test_who_leaves_the_line_is_passed_over(served):
    async def three() -> None:
        served.pace.free.clear()

        async def leaves(visitor: Visitor) -> None:
            await until(lambda: len(served.host.queue) == 1, "the first to begin")
            running = asyncio.create_task(visitor.press())
            await until(lambda: visitor.places, "the place in line")
            visitor._alive.cancel()  # what tells that the page is there; who still listens is told no more
            await until(lambda: len(served.host.queue) == 1, "the one who left to be gone")
            await running
            assert visitor.key not in served.host.sessions._sessions
            served.pace.free.set()

        first, left = await asyncio.gather(visit(served, 0, Visitor.press), visit(served, 1, leaves))
        assert state(first)["status"] == "done"
        assert state(left)["status"] == "waiting"

    in_a_loop(three())


def test_one_persons_trouble_is_not_another_s(served):
    async def troubled(visitor: Visitor) -> None:
        try:
            await visitor.press()
        except RefusedError as error:
            visitor.warnings.append(str(error))

    async def by_hand(visitor: Visitor) -> None:
        visitor.values |= {"reddiff-steps": [], "operator": {"of": 1}}
        await troubled(visitor)

    async def all_of_them() -> list[Visitor]:
        return await asyncio.gather(
            visit(served, 0, Visitor.press),
            visit(served, 1, troubled, prior=BROKEN),
            visit(served, 2, Visitor.press),
            visit(served, 3, troubled, prior=FULL),
            visit(served, 4, by_hand),
            visit(served, 5, troubled, prior=CRASHING),
            visit(served, 6, Visitor.press),
        )

    visitors = in_a_loop(all_of_them())
    for number in (0, 2, 6):
        assert Person(number, SIDE, 8).crossed(visitors[number].shown, priors.load(PRIOR)) == []
    assert "left the finite numbers at step 1" in state(visitors[1])["message"]
    assert "memory of the cpu ran out" in state(visitors[3])["message"]
    assert "is a dropdown of the page" in visitors[4].warnings[-1]
    assert "division by zero" in visitors[5].warnings[-1]
    assert not len(served.host.queue)


def test_pages_that_are_gone_leave_nothing_behind(served, monkeypatch):
    monkeypatch.setattr(sessions, "RELOAD_SECONDS", 0.1)
    runs: list[weakref.ref[Any]] = []
    keys: list[str] = []

    async def once(visitor: Visitor) -> None:
        await visitor.press()
        keys.append(visitor.key)
        runs.append(weakref.ref(served.host.sessions.of(visitor.key).state(Restoring).played))

    async def cut(visitor: Visitor) -> None:
        """Leaves in mid-run."""
        running = asyncio.create_task(visitor.press())
        await until(lambda: state(visitor).get("i", 0) > 0, "the first iterate")
        keys.append(visitor.key)
        runs.append(weakref.ref(served.host.sessions.of(visitor.key).state(Restoring).played))
        running.cancel()

    async def all_of_them() -> None:
        await asyncio.gather(*(visit(served, k, once) for k in range(3)), visit(served, 3, cut, steps=LONG))
        await until(lambda: not len(served.host.sessions) and not served.host.sessions._closed, "all to be forgotten")
        await until(lambda: not len(served.host.queue), "the line to be empty")
        kept = served.demo.state_holder.session_data  # of gradio itself
        await until(lambda: not set(keys) & set(kept), "what gradio keeps of them to go")

    in_a_loop(all_of_them())
    gc.collect()
    assert len(runs) == 4
    assert [run() for run in runs] == [None] * 4
    assert len(served.demo._queue.event_analytics) <= 100


def test_who_does_not_say_which_page_it_is_shares_nothing(served):
    first, second = served.host.sessions.of(None), served.host.sessions.of(None)
    assert first is not second
    assert len(served.host.sessions) == 0
