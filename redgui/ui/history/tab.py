"""The History tab: the runs of this browser, each with what reproduces it, and the way back into the Restore tab.

The runs lie in the browser alone (`records.js`); the server makes an entry when a run ends, and sees one again only
when a person opens it.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import gradio as gr

from redgui import api, images, knobs, priors, snippets
from redgui.errors import RedguiError
from redgui.knobs import KnobError
from redgui.operators import Inpaint
from redgui.runs.record import Record, RecordError
from redgui.runs.settings import Settings, picture_number
from redgui.snippets import LinkError
from redgui.ui.history.entries import entry
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components
from redgui.ui.parts.controls import Setting
from redgui.ui.parts.wiring import QUIET, RUNNING, SPOKEN, Values, sent, sent_text
from redgui.ui.restore.handlers import Actions

PICTURE_MISSING = "The link does not carry the picture that it was made with, nor does this browser know it: give the picture."
PIXELS_DIFFER = "The pixels differ from the record's: another device, another precision or another version."


class HistoryActions:
    """The handlers of the tab. The components are attributes, set by the layout."""

    keeper: Any
    view: Any
    tabs: Any

    def __init__(self, actions: Actions):
        self.actions = actions

    # ---- into the browser

    def keep(self, request: gr.Request) -> Any:
        """A run has ended, or a part of it: its entry, for the browser to keep. One that is gone on with keeps its place."""
        session = self.actions.sessions.of(request.session_hash)
        run = session.run
        if run is None or run.last is None or run.playing:
            return gr.skip()
        before, key, steps = session.kept
        if before is run and steps == run.last.i + 1:  # the next one could not begin
            return gr.skip()
        session.kept = run, key if before is run else secrets.token_hex(8), run.last.i + 1
        if run.replayed is not None and run.last.i + 1 == run.replayed.steps:
            _tell_same(run.replayed.reproduces(run.last))
        found = entry(run.record(), run.problem, run.last.estimate, session.kept[1])
        return {"entry": json.dumps(found)}

    def inspect(self, request: gr.Request, event: gr.EventData) -> dict[str, str]:
        """A record.json that was dropped there: what it says, or what is wrong with it."""
        try:
            record = Record.from_json(_text(event, "record"))
            self.actions.limits.record(record)
            found = entry(record, record.problem(), None)
        except RedguiError as error:
            return {"entry": "", "error": f"This file cannot be opened: {error}", "nonce": secrets.token_hex(4)}
        return {"entry": json.dumps(found), "error": "", "nonce": secrets.token_hex(4)}

    # ---- back into the Restore tab

    def open_record(self, values: Values, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        """All settings of a record, its picture too, into the Restore tab."""
        session = self.actions.sessions.of(request.session_hash)
        try:
            record = Record.from_json(_text(event, "record"))
            self.actions.limits.record(record)
            settings = Settings.of(record)
            opened = self._opened(session, values, settings, request, record)
        except RedguiError as error:
            raise gr.Error(f"This run cannot be opened: {error}", print_exception=False) from None
        session.opened = record
        return opened | {self.tabs: gr.update(selected="restore")}

    def open_link(self, values: Values, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        """The settings in the link by which the page was called; the browser adds a record that has its picture."""
        session = self.actions.sessions.of(request.session_hash)
        try:
            settings = snippets.read_link(_text(event, "query"), self.actions.prior_name)
            if settings is None:
                return {self.tabs: gr.skip()}
            self._check_offered(settings.prior)
            record = self._with_picture(settings, event)
            opened = self._opened(session, values, settings, request, record, by_link=True)
        except RedguiError as error:
            raise gr.Error(f"This link cannot be opened: {error} Nothing was changed.", print_exception=False) from None
        if settings.picture and record is None:
            gr.Info(PICTURE_MISSING, title="Settings opened, picture missing", duration=None)
        return opened

    def start(self, values: Values, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The run of the record that was opened last, with what was changed in mid-run."""
        yield from self.actions.start(values, request, self.actions.sessions.of(request.session_hash).opened)

    def _opened(self, session: Session, values: Values, settings: Settings, request: gr.Request, record: Record | None,
                by_link: bool = False) -> dict[Any, Any]:  # fmt: skip
        """Values of all controls. Raises RedguiError, and then nothing has changed."""
        a = self.actions
        if session.run is not None and session.run.playing:
            raise RedguiError("A run is in progress, and would take its knobs. Stop it first.")
        a.load_prior({a.prior: settings.prior})
        moved = self._moved(settings)
        then = {**values, **moved}
        before = a.source(session)
        picture: Any = gr.skip()
        try:
            if settings.example:
                path = api.resolve(f"example:{settings.example}")
                picture, session.source = str(path), images.read(path)
            elif record is not None:
                picture = session.source = images.to_pil(record.picture())
            if isinstance(settings.H, Inpaint) and settings.H.kind == "mask":
                h, w = a.fitted(session, then).size
                then[a.mask] = components.mask_value(None, settings.H.hole(h, w), session.version)
            _, problem, _ = a.build_problem(session, then)
            sampler = a.build_sampler(then)
            if sampler != settings.sampler:
                raise KnobError(f"{sampler.label} has knobs there that the Restore tab does not offer; use the command line.")
            if record is not None and not by_link and not record.begins_with(problem, sampler, settings.particles):
                raise RecordError("the Restore tab cannot make this very measurement again; use `python -m redgui replay`.")
        except RedguiError:
            session.source = before
            raise
        # The presets of the samplers that are not opened follow the degradation; no later event finds anything to retune.
        tuned = [*(part for group in a.samplers.values() for part in group), a.setting.parts["particles"]]
        retuned = dict(zip(tuned, a.retune(then, request), strict=True))
        editor, measurement, ways, weights = a.load_page(then, request)
        page = {a.picture: picture, a.mask: editor, a.measurement: measurement, a.weights: weights}
        return {**retuned, **moved, **page, a.fit: ways}

    def _moved(self, settings: Settings) -> dict[Any, Any]:
        """The values of operator, sampler and run; raises KnobError for what the controls cannot show."""
        a = self.actions
        said = {"sigma_y": settings.sigma_y, "seed": settings.seed, "particles": settings.particles}
        setting = knobs.build(Setting, said)
        moved: dict[Any, Any] = {a.operator: settings.H.name, a.sampler: settings.sampler.name, a.given: settings.given}
        moved |= {a.prior: settings.prior, a.fit: settings.fit}
        shown = [(a.operators[settings.H.name].parts, settings.H), (a.samplers[settings.sampler.name].parts, settings.sampler)]
        for parts, of in [*shown, (a.setting.parts, setting)]:
            for name, part in parts.items():
                value = getattr(of, name)
                if isinstance(part, gr.Slider) and not part.minimum <= value <= part.maximum:
                    raise KnobError(
                        f"the Restore tab's {name} goes from {part.minimum:g} to {part.maximum:g}; here it is {value:g}. "
                        "Use `python -m redgui replay`."
                    )
                moved[part] = value
        return moved

    def _with_picture(self, settings: Settings, event: gr.EventData) -> Record | None:
        """The record that the browser found for the picture of a link, where it truly has that picture."""
        if not settings.picture or not sent(event).get("record"):
            return None
        record = self.actions.limits.record(Record.from_json(_text(event, "record")))
        return record if picture_number(record) == settings.picture else None

    def _check_offered(self, prior: str) -> None:
        """A link may come from anybody: it makes the server read no folder and fetch nothing that is not listed."""
        known = {self.actions.prior_name, *(card.name for card in priors.PRIORS if card.name != "empirical"), *priors.bundled()}
        if prior not in known and (prior.startswith(("gaussian", "empirical")) or priors.conditioned(prior)[0] not in known):
            raise LinkError(
                f"its prior {prior[:60]!r} is not listed here. Choose it by hand, or open the record.json of the run."
            )


def history_tab(actions: Actions, keeper: gr.HTML, tabs: gr.Tabs, everything: set[Any]) -> HistoryActions:
    """Builds the tab inside the block that is open. `keeper` stands outside of the tabs: it works while they are closed."""
    h, a = HistoryActions(actions), actions
    h.keeper, h.tabs = keeper, tabs
    h.view = components.history_view("history", container=False, padding=False)

    opened = [
        tabs, a.picture, a.mask, a.measurement, a.weights, a.fit, a.prior, a.operator, a.sampler, a.given, *a.setting,
        *(part for group in (*a.operators.values(), *a.samplers.values()) for part in group),
    ]  # fmt: skip
    h.view.upload(h.inspect, None, h.view, **SPOKEN)
    h.view.select(h.open_record, everything, opened, **SPOKEN)
    readied = h.view.submit(h.open_record, everything, opened, **SPOKEN).success(a.get_ready, everything, a.outcome, **QUIET)
    replayed = readied.then(a.in_turn(h.start), everything, [*a.outcome, a.place], **RUNNING)
    replayed.failure(a.broke, None, a.outcome, **QUIET)
    for over in (*a.over, replayed):
        over.then(h.keep, None, keeper, **SPOKEN)
    keeper.select(h.open_link, everything, opened, **SPOKEN)
    return h


def _text(event: gr.EventData, name: str) -> str:
    """A text in what the browser sends, which may be any JSON."""
    text = sent_text(event, name)
    if text is None:
        raise RecordError(f"the browser sent no {name}; reload the page.")
    return text


def _tell_same(same: bool) -> None:
    if same:
        gr.Info("The replay has the very pixels of its record.", title="Replayed")
    else:
        gr.Warning(PIXELS_DIFFER, title="Replayed")
