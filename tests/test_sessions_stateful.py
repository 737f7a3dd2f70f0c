"""Two people at the app in any order: hypothesis plays pages that run, tune, stop, continue, reload and change everything."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from app_pages import PICTURES, PRIORS, Page, app
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from redgui.runs.record import Record
from redgui.tasks import TASKS
from redgui.ui.host import queue
from redgui.ui.host.uploads import same
from redgui.ui.parts import components

ENDS = ("goes on", "is stopped", "is stopped and gone on with", "is stopped, and another picture chosen", "breaks")
which = st.integers(0, 1)


def some(of: Callable[[Page], Any]) -> Callable[[Any], bool]:
    """Whether something is so at one page at least."""
    return lambda people: any(of(page) for page in people.pages)


class People(RuleBasedStateMachine):
    """Two pages, and all that the people at them can do."""

    def __init__(self) -> None:
        super().__init__()
        self.demo = app()
        self.host, self.layout, self.form = self.demo.host, self.demo.restore.layout, self.demo.form
        self.loop = asyncio.new_event_loop()
        self.pages: list[Page] = []
        for number in (0, 1):
            self.pages.append(Page(self.demo, number, self.loop, self.pages))
        self.checked: dict[tuple[int, int], Any] = {}  # runs by their number and step

    def teardown(self) -> None:
        for page in self.pages:
            self.finish(page)
            page.leave()
        assert len(self.host.queue) == 0
        assert len(self.host.sessions) == 0
        self.loop.close()

    def one(self, k: int, of: Callable[[Page], Any]) -> Page:
        """The page k, or where something is not so there the other."""
        return self.pages[k] if of(self.pages[k]) else self.pages[1 - k]

    # ---- runs

    @precondition(some(lambda page: page.enabled[page.layout.run]))
    @rule(k=which, steps=st.integers(0, 3), then=st.sampled_from(ENDS))
    def run(self, k: int, steps: int, then: str) -> None:
        page = self.one(k, lambda page: page.enabled[self.layout.run])
        page.press(self.layout.run)
        if page.asks:
            page.let(steps)
            page.settle()
        if then in ENDS[1:4] and page.busy:
            self.press_stop(page)
        if then == "is stopped, and another picture chosen":
            page.example((page.opened + steps) % PICTURES)
        if then in ENDS[2:4] and page.enabled[self.layout.resume]:
            self.press_continue(page)
        if then == "breaks" and page.asks:
            self.breaks(page)

    @precondition(some(lambda page: page.enabled[page.layout.resume]))
    @rule(k=which)
    def go_on(self, k: int) -> None:
        self.press_continue(self.one(k, lambda page: page.enabled[self.layout.resume]))

    def press_continue(self, page: Page) -> None:
        run = page.run
        mine, made = same(run.source, page.session.source), run.last.i + 1
        page.press(self.layout.resume)
        page.let(1)
        page.settle()
        assert page.run is run
        assert mine or run.last.i + 1 == made, "it went on with the run of another picture"

    @precondition(some(lambda page: page.asks))
    @rule(k=which, steps=st.integers(1, 6))
    def iterate(self, k: int, steps: int) -> None:
        self.one(k, lambda page: page.asks).let(steps)
        self.settle()

    @precondition(some(lambda page: page.enabled[page.layout.stop]))
    @rule(k=which)
    def stop(self, k: int) -> None:
        self.press_stop(self.one(k, lambda page: page.enabled[self.layout.stop]))

    def press_stop(self, page: Page) -> None:
        before = page.gate.answered if page.playing else None
        asked = page.asks
        page.press(self.layout.stop)
        if asked:
            page.let(1)  # the iteration in progress
        page.until(lambda: not page.busy, "a run that was stopped")
        if before is not None:
            assert page.gate.answered <= before + 1
        assert page.live["status"] in ("stopped", "error", "idle", "done")
        self.settle()

    @precondition(some(lambda page: page.busy))
    @rule(k=which)
    def to_the_end(self, k: int) -> None:
        self.finish(self.one(k, lambda page: page.busy))

    def finish(self, page: Page) -> None:
        others = [other for other in self.pages if other is not page]
        if page.waits:
            for other in others:
                self.finish(other)
        while page.busy:
            page.settle()
            page.let(1000)
        self.settle()

    @precondition(some(lambda page: page.asks))
    @rule(k=which)
    def the_network_breaks(self, k: int) -> None:
        self.breaks(self.one(k, lambda page: page.asks))

    def breaks(self, page: Page) -> None:
        page.gate.broken = True
        page.let(1)
        page.until(lambda: not page.busy, "a run whose network broke")
        assert page.live["status"] == "error"
        assert "left the finite numbers" in page.live["message"]
        assert not page.enabled[self.layout.resume], "Continue does nothing there"
        self.settle()

    # ---- knobs

    @rule(k=which, name=st.sampled_from(["lr", "lam", "weighting", "steps"]), at=st.integers(0, 2))
    def tune(self, k: int, name: str, at: int) -> None:
        values = {
            "lr": (0.02, 0.1, 0.4),
            "lam": (0.1, 0.25, 1.0),
            "weighting": ("linear", "sqrt", "const"),
            "steps": (3, 8, 20),
        }
        self.pages[k].change(self.form.samplers["reddiff"].parts[name], values[name][at])

    @rule(k=which, name=st.sampled_from(["reddiff", "ddrm", "pigdm", "dps"]))
    def choose_sampler(self, k: int, name: str) -> None:
        self.pages[k].change(self.form.sampler, name)

    @rule(k=which, name=st.sampled_from(["inpaint", "superres", "denoise", "hdr", "phase"]))
    def choose_degradation(self, k: int, name: str) -> None:
        self.pages[k].change(self.form.operator, name)

    @rule(k=which, name=st.sampled_from(PRIORS))
    def choose_prior(self, k: int, name: str) -> None:
        self.pages[k].change(self.form.prior, name)

    @rule(k=which, sigma_y=st.sampled_from([0.0, 0.1]), seed=st.integers(0, 9), given=st.booleans())
    def choose_setting(self, k: int, sigma_y: float, seed: int, given: bool) -> None:
        page = self.pages[k]
        page.change(self.form.setting.parts["seed"], 1000 * k + seed)
        page.change(self.form.setting.parts["sigma_y"], sigma_y)
        page.change(self.form.given, given)

    @rule(k=which, picture=st.integers(0, PICTURES - 1))
    def choose_picture(self, k: int, picture: int) -> None:
        page = self.pages[k]
        page.example(picture)
        if page.enabled[self.layout.resume]:
            self.press_continue(page)

    @rule(k=which, top=st.integers(0, 8))
    def paint(self, k: int, top: int) -> None:
        page = self.pages[k]
        h, w = self.form.size(page.values)
        hole = torch.zeros(h, w, dtype=torch.bool)
        hole[top : top + 5, 2:9] = True
        page.change(self.form.mask, components.mask_value(None, hole.numpy(), 1))

    @rule(k=which, at=st.integers(0, 8))
    def send_nonsense(self, k: int, at: int) -> None:
        """What no control of the page sends, and then the right value again."""
        page, form = self.pages[k], self.form
        parts, steps = form.setting.parts, form.samplers["reddiff"].parts["steps"]
        part, value = [
            (parts["seed"], "many"), (parts["sigma_y"], "nan"), (parts["particles"], 10**9), (steps, -1), (steps, []),
            (form.operator, "nothing"), (form.sampler, ["reddiff"]), (form.mask, {"w": 1}), (form.prior, "no-such"),
        ][at]  # fmt: skip
        before = page.values[part]
        page.change(part, value)
        if page.enabled[self.layout.run]:
            page.values[part] = value
            page.press(self.layout.run)
            self.finish(page)
        page.change(part, before)

    # ---- pages

    @rule(k=which)
    def reload(self, k: int) -> None:
        page = self.pages[k]
        page.leave()
        page.fresh()
        self.settle()

    @rule(k=which, at=st.integers(0, 2))
    def open_task(self, k: int, at: int) -> None:
        page = self.pages[k]
        cards = next(block for block in self.demo.blocks.values() if block.elem_id == "tasks")
        gate = page.gate if page.asks else None
        page.fire(cards, "select", SimpleNamespace(_data={"name": TASKS[at].name}))
        page.values[self.form.prior] = PRIORS[0]  # a task is for the bundled network
        if gate is not None:
            gate.give(1)  # the iteration in progress
        page.until(lambda: not page.busy, "a run that a task takes the place of")
        page.example(0)
        page.change(self.form.setting.parts["seed"], 1000 * k)
        self.settle()

    def settle(self) -> None:
        self.pages[0].settle()

    # ---- what always holds

    @invariant()
    def one_button_or_the_other(self) -> None:
        for page in self.pages:
            assert page.enabled[self.layout.run] != page.busy
            assert page.enabled[self.layout.stop] == page.busy
            assert not (page.busy and page.enabled[self.layout.resume])
            assert (page.live.get("status") in ("running", "waiting")) == page.busy

    @invariant()
    def one_at_a_time(self) -> None:
        playing = [page for page in self.pages if page.playing]
        assert len(playing) <= 1
        for page in self.pages:
            assert page.playing or not page.busy or page.told[-1].startswith("You are next")

    @invariant()
    def nothing_is_shared(self) -> None:
        first, second = self.pages
        assert first.session is not second.session
        assert first.run is None or first.run is not second.run
        for page in self.pages:
            run = page.run
            if run is not None:
                assert run.problem.seed // 1000 == page.number

    @invariant()
    def what_is_over_replays(self) -> None:
        for page in self.pages:
            run = page.run
            if run is None or run.last is None or run.playing or (id(run), run.last.i) in self.checked:
                continue
            self.checked[id(run), run.last.i] = run
            record = Record.from_json(run.record().to_json())
            *_, last = record.replay(run.prior.inner)
            assert record.reproduces(last)
            assert torch.equal(last.x0_hat, run.last.x0_hat)


TestPeople = People.TestCase
TestPeople.settings = settings(
    max_examples=8, stateful_step_count=30, derandomize=True, deadline=None, database=None, print_blob=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _quick_line():
    """Looks at the line often: the pages here wait for nothing else."""
    look, queue.LOOK = queue.LOOK, 0.002
    yield
    queue.LOOK = look
