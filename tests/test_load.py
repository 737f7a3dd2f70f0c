"""Many people at one app: each gets their own, all are told where they stand, and nobody's trouble is another's."""

import asyncio
import base64
import gc
import os
import shutil
import socket
import tempfile
import time
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from crowd import PRIOR, SIDE, Pace, in_a_loop, state, until, visit
from person import Person
from visitor import RefusedError, Visitor

from redgui import priors
from redgui.priors import GaussianPrior
from redgui.runs.engine import engine
from redgui.runs.record import Record
from redgui.ui.host import sessions
from redgui.ui.restore.state import Restoring

BROKEN, FULL, CRASHING = (f"{PRIOR},mean={mean}" for mean in (0.1, 0.2, 0.3))  # what their networks do is in `served`
LONG = 1000


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
    links = {link["name"]: link.get("href", "") for link in visitor.shown["result"]["downloads"]}
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
            await until(lambda: run.stopping, "its run to be told")
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
