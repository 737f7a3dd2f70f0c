"""The Compare tab: samplers side by side on the measurement of the Restore tab, and on the same of more pictures, live."""

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from redgui import classics, knobs, presets
from redgui.errors import RedguiError
from redgui.knobs import knob
from redgui.operators import Operator
from redgui.runs.budget import within
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.samplers import SAMPLERS, Classic, Sampler
from redgui.ui.compare import picture_list
from redgui.ui.compare.board import Scoreboard, blank, verdict
from redgui.ui.compare.picture_list import PictureList, ticked_in
from redgui.ui.compare.take_away import pinned_of
from redgui.ui.host.sessions import Playing, Session
from redgui.ui.parts import components
from redgui.ui.parts.board import Files
from redgui.ui.parts.controls import Controls
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_layout import SideLayout, head, outcome_column, setup_column, two_columns
from redgui.ui.parts.running_tab import RunningTab, measured, tally
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values, sent, sent_text

SETTINGS = 4  # of one sampler that can be added
COUNTING = "Counting what a step of each costs…"
AT_FIRST = ("reddiff", "vml-map", "dps", "ddrm", "diffpir")

HINT = """<p class="rg-note">All get the <b>same measurement, seed and prior</b>: choose them in the Restore tab. Further
down are more seeds and pictures, for means with error bars.</p>"""

Entry = tuple[str, str, Sampler]  # key, label and sampler of who could take part


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What each contestant may use of the network, and how often it runs."""

    name = "comparison"

    budget: int = knob(100, 10, 5000, label="Budget", help="forwards + 2 × backwards")
    seeds: int = knob(1, 1, 8, label="Seeds", help="runs of each on each picture, from this seed on")


@dataclass
class Comparison(Playing[Race]):
    """What the server keeps of the tab for each page. `extras`: settings that were added, with their keys."""

    extras: list[tuple[str, Sampler]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class CompareLayout(SideLayout):
    """The components of the tab."""

    chosen: gr.HTML
    add: gr.Button
    equal: gr.Checkbox
    terms: Controls
    pictures: gr.HTML
    upload: gr.UploadButton


SEEDS = next(k for k in knobs.knobs(Terms) if k.name == "seeds")


def number(k: knobs.Knob) -> gr.Number:
    """The control of a knob of `Terms`."""
    return gr.Number(
        k.default, precision=0, label=k.label, elem_id=f"compare-{k.name}", info=k.help, minimum=k.lo, maximum=k.hi
    )


def lay_out() -> CompareLayout:
    """Lays the tab out inside the block that is open."""
    with two_columns():
        with setup_column():
            run, stop, preview = head("compare", "Compare", HINT, "Stop all")
            chosen = components.contestant_list("contestants", value={"rows": [], "ticked": list(AT_FIRST)})
            add = gr.Button("Add the Restore tab's setting", elem_id="compare-add", size="sm")
            with gr.Group():
                equal = gr.Checkbox(
                    False, label="Equal budget", elem_id="compare-equal", info="as many steps as this network budget pays for"
                )
                terms = {k.name: number(k) for k in knobs.knobs(Terms)}
            others, upload = picture_list.draw()
        with outcome_column():
            view = components.race_view("race")
    return CompareLayout(run, stop, view, preview, chosen, add, equal, Controls(Terms, terms), others, upload)


class CompareTab(RunningTab[Comparison, CompareLayout]):
    """The handlers of the tab."""

    state = Comparison
    broken = "The comparison broke off on the server. Press Compare to start anew."
    blank = staticmethod(blank)
    board = Scoreboard

    def __init__(self, page: Page, layout: CompareLayout):
        super().__init__(page, layout)
        self.pictures = PictureList(page.form, layout.pictures, layout.upload)

    # ---- who takes part

    def open_tab(self, values: Values, request: gr.Request) -> Updates:
        """The tab is opened: the measurement as it is now, and who fits it."""
        session, comparison = self.session_of(request)
        preview, problem = measured(self.page, session, values)
        listed = self._listed(comparison, values, problem) | self.pictures.shown(session, values)
        return {self.layout.preview: preview, **listed, **self.opened(comparison)}

    def add_setting(self, values: Values, request: gr.Request) -> Updates:
        """The sampler of the Restore tab with its knobs, as one more contestant."""
        session, comparison = self.session_of(request)
        try:
            sampler = self.form.build_sampler(values)
            problem = self.form.build_problem(session, values).problem
        except RedguiError as error:
            gr.Warning(str(error), title="This setting cannot be added")
            return {self.layout.chosen: gr.skip()}
        same = [key for key, other in comparison.extras if type(other) is type(sampler)]
        if len(same) >= SETTINGS:
            gr.Warning(f"There are {SETTINGS} settings of {sampler.label} already; remove one of them first.")
            return {self.layout.chosen: gr.skip()}
        key = next(key for k in range(2, SETTINGS + 2) if (key := f"{sampler.name}-{k}") not in same)
        comparison.extras.append((key, sampler))
        return self._listed(comparison, values, problem, ticked={*ticked_in(values[self.layout.chosen]), key})

    def remove_setting(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """Removes a setting that the person added."""
        session, comparison = self.session_of(request)
        removed = sent_text(event, "key")
        comparison.extras = [(key, sampler) for key, sampler in comparison.extras if key != removed]
        return self._listed(comparison, values, measured(self.page, session, values)[1])

    def entries(self, comparison: Comparison, H: Operator | None, sigma_y: float, prior: str) -> list[Entry]:
        """All that could take part: every sampler's presets first, then what was added."""
        entries: list[Entry] = []
        for cls in SAMPLERS:
            tuned = presets.sampler_for(cls.name, H, sigma_y, prior) if H is not None else cls()  # type: ignore[call-arg]
            entries.append((cls.name, cls.label, tuned))
            entries += [(key, f"{cls.label} {key.rsplit('-', 1)[1]}", s) for key, s in comparison.extras if type(s) is cls]
        return entries

    # ---- the race

    def planned(self, session: Session, state: Comparison, values: Values, problem: Problem) -> tuple[Any, ...]:
        """Who takes part, with the settings, and the budget."""
        fielded, particles = self._fielded(state, values, problem), self.form.build_setting(values).particles
        runs = self._seeds(values) * (1 + len(self.pictures.others(session, values)))
        self.page.host.limits.race([(sampler, particles) for _, _, sampler in fielded] * runs)
        return [(key, label, knobs.spec(sampler)) for key, label, sampler in fielded], self._budget(values)

    def preparing(self, session: Session, state: Comparison, values: Values) -> dict[str, Any] | None:
        if not values[self.layout.equal]:
            return None
        problem = self.form.build_problem(session, values).problem
        return blank(state.number, "waiting", COUNTING, problem, *self.planned(session, state, values, problem))

    def make(self, session: Session, state: Comparison, values: Values) -> Race:
        problem = self.form.build_problem(session, values).problem
        self.planned(session, state, values, problem)  # before all are measured: whether they are too many
        posed = list(self.pictures.posed(session, values, self._seeds(values)))
        prior, particles = self.form.load_prior(values), self.form.build_setting(values).particles
        budget, contestants = self._budget(values), []
        for key, label, sampler in self._fielded(state, values, problem):
            plan: tuple[int, ...] = ()
            if budget is not None:
                sampler, plan = within(sampler, problem.level, budget)
            many = max(particles, presets.particles(sampler, problem.H))
            for k, (picture, (x, measured_anew, fitted)) in enumerate(posed):
                run = Run(x, measured_anew, prior, sampler, many, fitting=fitted, filmed=False)
                name, of = (f"{key}#{k}", key) if k else (key, "")
                contestants.append(Contestant(name, label, run, of=of, picture=picture, budget=budget, plan=plan))
        return Race(contestants, self.page.host.limits.race((c.run.sampler, c.run.particles) for c in contestants))

    def files(self, board: Scoreboard, event: gr.EventData) -> Files:
        return board.files(pinned_of(sent(event).get("pinned")))

    def goes_on(self, state: Comparison, played: Race) -> bool:
        return not played.over

    def outcome(self, state: Comparison, played: Race) -> tuple[str, str]:
        statuses = [c.status for c in played.members]
        message = tally(statuses, {"error": "could not go on; the tiles say why", "stopped": "stopped before the end"})
        message = " ".join(filter(None, (f"{message}." if message else "", verdict(played))))
        if "done" not in statuses and "stopped" not in statuses:
            return "error", message
        return ("stopped" if state.stop_wanted or "done" not in statuses else "done"), message

    def halt_one(self, request: gr.Request, event: gr.EventData) -> None:
        """Stop one; the others go on."""
        race = self.session_of(request)[1].played
        if race is not None:
            race.stop(sent_text(event, "key") or "")

    def open_in_restore(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A contestant's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        race, key = self.session_of(request)[1].played, sent_text(event, "key")
        mine = next((c.run.now for c in race.contestants if c.key == key), None) if race else self.picked(request, event)
        return self.page.to_restore(mine)

    # ---- pieces

    def _fielded(self, comparison: Comparison, values: Values, problem: Problem) -> list[Entry]:
        """Those that are ticked and fit. Raises RedguiError where there is none."""
        ticked = ticked_in(values[self.layout.chosen])
        entries = self.entries(comparison, problem.H, problem.level, str(values[self.form.prior]))
        fielded = [
            (key, label + _method(sampler, problem), sampler) for key, label, sampler in entries
            if key in ticked and sampler.fits(problem.likelihood)
        ]  # fmt: skip
        if not fielded:
            raise RedguiError("The samplers to compare: tick at least one that fits.")
        return fielded

    def _seeds(self, values: Values) -> int:
        """How many seeds there are of each picture. Raises KnobError."""
        return knobs.coerce(SEEDS, values[self.layout.terms.parts[SEEDS.name]], Terms.name)

    def _budget(self, values: Values) -> int | None:
        """The budget of each contestant; None where none is set. Raises KnobError."""
        return self.layout.terms.build(values).budget if values[self.layout.equal] else None

    def _listed(
        self, comparison: Comparison, values: Values, problem: Problem | None, ticked: set[str] | None = None
    ) -> Updates:
        """The list: every entry with its settings, and why it cannot take part."""
        H, sigma_y = (problem.H, problem.level) if problem is not None else (None, 0.0)
        extras, rows = {key for key, _ in comparison.extras}, []
        for key, label, sampler in self.entries(comparison, H, sigma_y, str(values[self.form.prior])):
            reason = "the degradation has to be mended first" if problem is None else _unfit(sampler, problem.likelihood)
            rows.append({
                "key": key, "label": label, "spec": knobs.spec(sampler), "reason": reason,
                "about": "" if key in extras else sampler.about, "removable": key in extras,
            })  # fmt: skip
        ticked = ticked_in(values[self.layout.chosen]) if ticked is None else ticked
        return {self.layout.chosen: {"rows": rows, "ticked": [row["key"] for row in rows if row["key"] in ticked]}}

    # ---- wiring

    def wire(self, tab: gr.Tab) -> None:
        """Registers all events of the tab."""
        layout = self.layout
        inputs = {*self.form.inputs, layout.chosen, layout.equal, *layout.terms, layout.pictures}
        tab.select(self.open_tab, inputs, [layout.preview, layout.chosen, layout.pictures, layout.view], **SILENT)
        self.pictures.wire()
        layout.add.click(self.add_setting, inputs, layout.chosen, **WITH_TOASTS)
        layout.chosen.delete(self.remove_setting, inputs, layout.chosen, **SILENT)
        self.wire_run(inputs)
        layout.view.stop(self.halt_one, None, None, **SILENT)
        layout.view.select(self.open_in_restore, None, self.page.to_restore_outputs, **SILENT)


def _method(sampler: Sampler, problem: Problem) -> str:
    """Which classic a contestant is, in parentheses; nothing for one with a network."""
    if not isinstance(sampler, Classic):
        return ""
    return f" ({classics.chosen(problem.H, problem.y, problem.sigma_y, sampler.method)})"


def _unfit(sampler: Sampler, H: Operator) -> str:
    """Why a sampler cannot take part; empty where it can."""
    try:
        sampler.check_fit(H)
    except RedguiError as error:
        return str(error).partition(". ")[0] + "."
    return ""


def compare_tab(page: Page) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Compare", id="compare") as tab:
        CompareTab(page, lay_out()).wire(tab)
