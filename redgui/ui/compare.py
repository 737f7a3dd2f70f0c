"""The Compare tab: samplers side by side on the measurement of the Restore tab, live."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr
import torch

from redgui import knobs, presets
from redgui.errors import RedguiError
from redgui.fitting import Fitting
from redgui.operators import Operator
from redgui.problem import Problem
from redgui.samplers import SAMPLERS, Sampler
from redgui.ui import away, components, hosting, scoreboard, views
from redgui.ui.actions import SECONDS_ALLOWED, WAITING, Actions
from redgui.ui.controls import set_to
from redgui.ui.line import in_turn
from redgui.ui.outcome import wrong
from redgui.ui.race import Comparison, Contestant, Race, within
from redgui.ui.restore import QUIET, SPOKEN
from redgui.ui.runs import Run, newest
from redgui.ui.scoreboard import Scoreboard
from redgui.ui.sessions import Session

Values = Mapping[Any, Any]
BROKE = "The comparison broke off on the server. Press Compare to start anew."
HZ = 6.0  # updates a second of the whole page, each with the tiles that have changed
SETTINGS = 4  # of one sampler that can be added
COUNTING = "Counting what a step of each costs…"
MOST = 16  # contestants of one race
BUDGET = 100, 10, 5000  # forwards + 2 x backwards: at first, least, most
AT_FIRST = ("reddiff", "vml-map", "dps", "ddrm", "diffpir")

HINT = """<p class="rg-note">All get the <b>same measurement, seed and prior</b>: choose them in the Restore tab.</p>"""


class CompareActions:
    """The handlers of the tab. The components are attributes, set by the layout."""

    preview: Any
    chosen: Any
    add: Any
    equal: Any
    budget: Any
    run: Any
    stop: Any
    race: Any
    tabs: Any

    def __init__(self, actions: Actions):
        self.actions = actions

    def page(self, request: gr.Request) -> tuple[Session, Comparison]:
        """The session of a page, and its comparison."""
        session = self.actions.sessions.of(request.session_hash)
        return session, session.comparison

    # ---- who takes part

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, Any]:
        """The tab is opened: the measurement as it is now, and who fits it."""
        session, comparison = self.page(request)
        try:
            _, problem, _ = self.actions.build_problem(session, values)
        except RedguiError as error:
            return wrong(error), self._listed(comparison, values, None)
        return views.shared(problem, session.version, self.actions.chosen_prior(values)), self._listed(
            comparison, values, problem
        )

    def add_setting(self, values: Values, request: gr.Request) -> Any:
        """The sampler of the Restore tab with its knobs, as one more contestant."""
        session, comparison = self.page(request)
        try:
            sampler = self.actions.build_sampler(values)
            _, problem, _ = self.actions.build_problem(session, values)
        except RedguiError as error:
            gr.Warning(str(error), title="This setting cannot be added")
            return gr.skip()
        same = [key for key, other in comparison.extras if type(other) is type(sampler)]
        if len(same) >= SETTINGS:
            gr.Warning(f"There are {SETTINGS} settings of {sampler.label} already; remove one of them first.")
            return gr.skip()
        k = next(k for k in range(2, SETTINGS + 2) if f"{sampler.name}-{k}" not in same)
        comparison.extras.append((f"{sampler.name}-{k}", sampler))
        return self._listed(comparison, values, problem, ticked={*_ticked(values[self.chosen]), comparison.extras[-1][0]})

    def remove_setting(self, values: Values, request: gr.Request, event: gr.EventData) -> Any:
        """Away with a setting that was added."""
        session, comparison = self.page(request)
        comparison.extras = [(key, sampler) for key, sampler in comparison.extras if key != _key(event)]
        try:
            _, problem, _ = self.actions.build_problem(session, values)
        except RedguiError:
            return self._listed(comparison, values, None)
        return self._listed(comparison, values, problem)

    def entries(self, comparison: Comparison, H: Operator | None, sigma_y: float) -> list[tuple[str, str, Sampler]]:
        """All that could take part: key, label and sampler, every sampler's presets first, then what was added."""
        found = []
        for cls in SAMPLERS:
            tuned = presets.sampler_for(cls.name, H, sigma_y) if H is not None else cls()  # type: ignore[call-arg]
            found.append((cls.name, cls.label, tuned))
            found += [(key, f"{cls.label} {key.rsplit('-', 1)[1]}", s) for key, s in comparison.extras if type(s) is cls]
        return found

    # ---- the race

    def get_ready(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """At the click, before the queue: tiles of the right shape for everybody."""
        session, comparison = self.page(request)
        comparison.stop_wanted = False
        comparison.number += 1
        try:
            _, problem, _ = self.actions.build_problem(session, values)
            names = [(key, label, knobs.spec(sampler)) for key, label, sampler in self._fielded(comparison, values, problem)]
            budget = self._budget(values)
        except RedguiError as error:
            return scoreboard.blank(comparison.number, "error", str(error)), *_buttons(False)
        return scoreboard.blank(comparison.number, "waiting", WAITING, problem, names, budget), *_buttons(True)

    def start(self, values: Values, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The race, streamed."""
        session, comparison = self.page(request)
        number = comparison.number
        if comparison.stop_wanted:
            yield scoreboard.blank(number, "stopped", "Stopped before it began."), *_buttons(False)
            return
        try:
            picture, problem, fitted = self.actions.build_problem(session, values)
            if (budget := self._budget(values)) is not None:
                names = [(key, label, knobs.spec(of)) for key, label, of in self._fielded(comparison, values, problem)]
                yield scoreboard.blank(number, "waiting", COUNTING, problem, names, budget), gr.skip(), gr.skip()
            comparison.race = race = self._race(comparison, values, picture, problem, fitted)
        except RedguiError as error:
            yield scoreboard.blank(number, "error", str(error)), *_buttons(False)
            return
        board = Scoreboard(race, number)
        with closing(newest(away.race(race), race.stop)) as turns:  # the page is gone: nobody goes on computing for it
            for _ in turns:
                shown = time.perf_counter()
                if not all(c.over for c in race.contestants):
                    yield board.value("running"), gr.skip(), gr.skip()
                time.sleep(max(0.0, shown + 1 / HZ - time.perf_counter()))
        yield board.value(*_outcome(race, comparison.stop_wanted)), *_buttons(False)

    def halt(self, request: gr.Request) -> None:
        """Stop all, within one iteration."""
        self.page(request)[1].stop()

    def halt_one(self, request: gr.Request, event: gr.EventData) -> None:
        """Stop one; the others go on."""
        race = self.page(request)[1].race
        if race is not None:
            race.stop(_key(event) or "")

    def broke(self, request: gr.Request, message: str = BROKE) -> tuple[Any, ...]:
        """The server failed, and a toast says how (or it is refused): the page must not stay locked."""
        number = self.page(request)[1].number
        return scoreboard.blank(number, "error", message), *_buttons(False)

    def open_in_restore(self, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        """A contestant's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        race = self.page(request)[1].race
        found = [c for c in race.contestants if c.key == _key(event)] if race else []
        if not found:
            return {self.tabs: gr.skip()}
        sampler = found[0].run.now
        moved = set_to(self.actions.samplers, sampler)
        return {self.tabs: gr.update(selected="restore"), self.actions.sampler: sampler.name, **moved}

    # ---- pieces

    def _race(self, comparison: Comparison, values: Values, picture: torch.Tensor, problem: Problem, fitted: Fitting) -> Race:
        prior, particles = self.actions.load_prior(values), self.actions.build_setting(values).particles
        budget, contestants = self._budget(values), []
        for key, label, sampler in self._fielded(comparison, values, problem):
            plan: tuple[int, ...] = ()
            if budget is not None:
                sampler, plan = within(sampler, problem.sigma_y, budget)
            many = max(particles, presets.particles(sampler, problem.H))
            run = Run(picture, problem, prior, sampler, many, fitting=fitted)
            contestants.append(Contestant(key, label, run, budget, plan))
        return Race(contestants, SECONDS_ALLOWED)

    def _fielded(self, comparison: Comparison, values: Values, problem: Problem) -> list[tuple[str, str, Sampler]]:
        """Those that are ticked and fit. Raises RedguiError where there is none, or too many."""
        ticked = _ticked(values[self.chosen])
        listed = self.entries(comparison, problem.H, problem.sigma_y)
        fielded = [entry for entry in listed if entry[0] in ticked and entry[2].accepts(problem.H)]
        if not 0 < len(fielded) <= MOST:
            wanted = "tick at least one that fits" if not fielded else f"at most {MOST} take part; got {len(fielded)}"
            raise RedguiError(f"The samplers to compare: {wanted}.")
        return fielded

    def _budget(self, values: Values) -> int | None:
        if not values[self.equal]:
            return None
        wanted, (_, least, most) = values[self.budget], BUDGET
        if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or not least <= wanted <= most:
            raise RedguiError(f"The budget lies in {least} to {most} (forwards + 2 × backwards); got {str(wanted)[:20]}.")
        return int(wanted)

    def _listed(
        self, comparison: Comparison, values: Values, problem: Problem | None, ticked: set[str] | None = None
    ) -> dict[str, Any]:
        """The value of the list: every entry with its settings, and why it cannot take part."""
        H, sigma_y = (problem.H, problem.sigma_y) if problem is not None else (None, 0.0)
        extras, rows = {key for key, _ in comparison.extras}, []
        for key, label, sampler in self.entries(comparison, H, sigma_y):
            reason = "" if H is not None else "the degradation has to be mended first"
            if H is not None and not sampler.accepts(H):
                reason = _unfit(sampler, H)
            about = "" if key in extras else sampler.about
            rows.append({"key": key, "label": label, "spec": knobs.spec(sampler), "reason": reason, "about": about})
            rows[-1]["removable"] = key in extras
        ticked = _ticked(values[self.chosen]) if ticked is None else ticked
        return {"rows": rows, "ticked": [row["key"] for row in rows if row["key"] in ticked]}


def _unfit(sampler: Sampler, H: Operator) -> str:
    try:
        sampler.check_fit(H)
    except RedguiError as error:
        return str(error).partition(". ")[0] + "."
    return ""


def _ticked(value: Any) -> set[str]:
    """The keys in a value of the list, which may be any JSON."""
    keys = value.get("ticked") if isinstance(value, dict) else None
    return {key for key in keys if isinstance(key, str)} if isinstance(keys, list) else set()


def _key(event: gr.EventData) -> str | None:
    """The contestant that an event of the browser is about."""
    data = event._data
    return data.get("key") if isinstance(data, dict) and isinstance(data.get("key"), str) else None


def _buttons(busy: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not busy), gr.update(interactive=busy)


def _outcome(race: Race, stopped: bool) -> tuple[str, str]:
    """Status and message of a race that is over."""
    of = [c.status for c in race.contestants]
    words = {"error": "could not go on; the tiles say why", "stopped": "stopped before the end"}
    message = "; ".join(f"{of.count(status)} of {len(of)} {text}" for status, text in words.items() if status in of)
    message += "." if message else ""
    if "done" not in of and "stopped" not in of:
        return "error", message
    return ("stopped" if stopped or "done" not in of else "done"), message


def compare_tab(actions: Actions, tab: gr.Tab, tabs: gr.Tabs, everything: set[Any]) -> CompareActions:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    c = CompareActions(actions)
    c.tabs = tabs
    with gr.Row(equal_height=False, elem_classes="rg-duel"):
        with gr.Column(scale=0, min_width=300, elem_classes="rg-duel-setup"):
            with gr.Column(elem_classes="rg-bar-of-actions", min_width=0), gr.Row(elem_classes="rg-actions"):
                c.run = gr.Button("Compare", variant="primary", elem_id="compare-run", min_width=90, scale=2)
                c.stop = gr.Button("Stop all", variant="stop", elem_id="compare-stop", min_width=70, scale=1, interactive=False)
            gr.HTML(HINT, padding=False)
            hosting.note()
            c.preview = components.picture_view("compare-measurement")
            first = {"rows": [], "ticked": list(AT_FIRST)}
            c.chosen = components.contestant_list("contestants", value=first)
            c.add = gr.Button("Add the Restore tab's setting", elem_id="compare-add", size="sm")
            with gr.Group():
                c.equal = gr.Checkbox(
                    False,
                    label="Equal budget",
                    elem_id="compare-equal",
                    info="as many steps as this network budget pays for",
                )
                c.budget = gr.Number(
                    BUDGET[0], precision=0, label="Budget", elem_id="compare-budget", info="forwards + 2 × backwards",
                    minimum=BUDGET[1], maximum=BUDGET[2],
                )  # fmt: skip
        with gr.Column(scale=1, min_width=320, elem_classes="rg-duel-outcome"):
            c.race = components.race_view("race")
    _wire(c, tab, everything)
    return c


def _wire(c: CompareActions, tab: gr.Tab, everything: set[Any]) -> None:
    inputs = {*everything, c.chosen, c.equal, c.budget}
    tab.select(c.open_tab, inputs, [c.preview, c.chosen], **QUIET)
    c.add.click(c.add_setting, inputs, c.chosen, **SPOKEN)
    c.chosen.delete(c.remove_setting, inputs, c.chosen, **QUIET)
    outcome = [c.race, c.run, c.stop]
    running: dict[str, Any] = SPOKEN | dict(outputs=[*outcome, c.actions.place], trigger_mode="once")
    asked: dict[str, Any] = dict(asked=lambda session: session.comparison, refused=c.broke, outputs=outcome)
    start = in_turn(c.actions.line, c.start, sessions=c.actions.sessions, **asked)
    started = c.run.click(c.get_ready, inputs, outcome, **QUIET).then(start, inputs, **running)
    started.failure(c.broke, None, outcome, **QUIET)
    c.stop.click(c.halt, None, None, **QUIET)
    c.race.stop(c.halt_one, None, None, **QUIET)
    tuned = [part for group in c.actions.samplers.values() for part in group]
    c.race.select(c.open_in_restore, None, [c.tabs, c.actions.sampler, *tuned], **QUIET)
