"""The Compare tab: samplers side by side on the measurement of the Restore tab, live."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr
import torch

from redgui import knobs, presets
from redgui.errors import RedguiError
from redgui.fitting import Fitting
from redgui.operators import Operator
from redgui.runs.budget import within
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.runs.watch import watch
from redgui.samplers import SAMPLERS, Sampler
from redgui.ui.compare.board import Scoreboard, blank
from redgui.ui.host.kept import Comparison
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components
from redgui.ui.parts.running_tab import HZ, RunningTab, tally
from redgui.ui.parts.wiring import QUIET, SPOKEN, Values, sent_text
from redgui.ui.restore.handlers import Actions

SETTINGS = 4  # of one sampler that can be added
COUNTING = "Counting what a step of each costs…"
BUDGET = 100, 10, 5000  # forwards + 2 x backwards: at first, least, most
AT_FIRST = ("reddiff", "vml-map", "dps", "ddrm", "diffpir")

HINT = """<p class="rg-note">All get the <b>same measurement, seed and prior</b>: choose them in the Restore tab.</p>"""


class CompareTab(RunningTab):
    """The handlers of the tab."""

    name, kept = "compare", "comparison"
    run_text, stop_text, hint = "Compare", "Stop all", HINT
    broken = "The comparison broke off on the server. Press Compare to start anew."
    blank = staticmethod(blank)

    chosen: Any
    add: Any
    equal: Any
    budget: Any

    # ---- who takes part

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, Any]:
        """The tab is opened: the measurement as it is now, and who fits it."""
        session, comparison = self.page(request)
        preview, problem = self.measured(session, values)
        return preview, self._listed(comparison, values, problem)

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
        removed = sent_text(event, "key")
        comparison.extras = [(key, sampler) for key, sampler in comparison.extras if key != removed]
        return self._listed(comparison, values, self.measured(session, values)[1])

    def entries(self, comparison: Comparison, H: Operator | None, sigma_y: float) -> list[tuple[str, str, Sampler]]:
        """All that could take part: key, label and sampler, every sampler's presets first, then what was added."""
        found = []
        for cls in SAMPLERS:
            tuned = presets.sampler_for(cls.name, H, sigma_y) if H is not None else cls()  # type: ignore[call-arg]
            found.append((cls.name, cls.label, tuned))
            found += [(key, f"{cls.label} {key.rsplit('-', 1)[1]}", s) for key, s in comparison.extras if type(s) is cls]
        return found

    # ---- the race

    def planned(self, kept: Comparison, values: Values, problem: Problem) -> tuple[Any, ...]:
        """Who takes part, with the settings, and the budget."""
        names = [(key, label, knobs.spec(sampler)) for key, label, sampler in self._fielded(kept, values, problem)]
        return names, self._budget(values)

    def play(self, session: Session, kept: Comparison, values: Values) -> Generator[dict[str, Any], None, None]:
        """The race."""
        number = kept.number
        picture, problem, fitted = self.actions.build_problem(session, values)
        names, budget = self.planned(kept, values, problem)
        if budget is not None:
            yield blank(number, "waiting", COUNTING, problem, names, budget)
        kept.race = race = self._race(kept, values, picture, problem, fitted)
        board = Scoreboard(race, number)
        with closing(watch(race, HZ)) as news:
            for _ in news:
                if not all(c.over for c in race.contestants):
                    yield board.value("running")
        yield board.value(*_outcome(race, kept.stop_wanted))

    def halt_one(self, request: gr.Request, event: gr.EventData) -> None:
        """Stop one; the others go on."""
        race = self.page(request)[1].race
        if race is not None:
            race.stop(sent_text(event, "key") or "")

    def open_in_restore(self, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        """A contestant's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        race, key = self.page(request)[1].race, sent_text(event, "key")
        found = [c.run.now for c in race.contestants if c.key == key] if race else []
        return self.to_restore(found[0] if found else None)

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
        return Race(contestants, self.actions.limits.race((c.run.sampler, c.run.particles) for c in contestants))

    def _fielded(self, comparison: Comparison, values: Values, problem: Problem) -> list[tuple[str, str, Sampler]]:
        """Those that are ticked and fit. Raises RedguiError where there is none."""
        ticked = _ticked(values[self.chosen])
        listed = self.entries(comparison, problem.H, problem.sigma_y)
        fielded = [entry for entry in listed if entry[0] in ticked and entry[2].accepts(problem.H)]
        if not fielded:
            raise RedguiError("The samplers to compare: tick at least one that fits.")
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


def _outcome(race: Race, stopped: bool) -> tuple[str, str]:
    """Status and message of a race that is over."""
    of = [c.status for c in race.contestants]
    message = tally(of, {"error": "could not go on; the tiles say why", "stopped": "stopped before the end"})
    message += "." if message else ""
    if "done" not in of and "stopped" not in of:
        return "error", message
    return ("stopped" if stopped or "done" not in of else "done"), message


def compare_tab(actions: Actions, tab: gr.Tab, tabs: gr.Tabs, everything: set[Any]) -> CompareTab:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    c = CompareTab(actions)
    c.tabs = tabs
    with c.laid_out(lambda: components.race_view("race")):
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
    _wire(c, tab, everything)
    return c


def _wire(c: CompareTab, tab: gr.Tab, everything: set[Any]) -> None:
    inputs = {*everything, c.chosen, c.equal, c.budget}
    tab.select(c.open_tab, inputs, [c.preview, c.chosen], **QUIET)
    c.add.click(c.add_setting, inputs, c.chosen, **SPOKEN)
    c.chosen.delete(c.remove_setting, inputs, c.chosen, **QUIET)
    c.wire_run(inputs)
    c.view.stop(c.halt_one, None, None, **QUIET)
    tuned = [part for group in c.actions.samplers.values() for part in group]
    c.view.select(c.open_in_restore, None, [c.tabs, c.actions.sampler, *tuned], **QUIET)
