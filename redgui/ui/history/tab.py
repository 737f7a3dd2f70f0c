"""The History tab: the runs of this browser, each with what reproduces it, and the way back into the Restore tab.

The runs lie in the browser alone (`records.js`); the server makes an entry when a run ends, and sees one again only
when a person opens it.
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from redgui import api, images, priors, snippets
from redgui.errors import RedguiError
from redgui.knobs import KnobError
from redgui.operators import Inpaint
from redgui.runs.record import Record, RecordError
from redgui.runs.run import Run
from redgui.runs.settings import Settings, picture_number
from redgui.snippets import LinkError
from redgui.ui.history.entries import entry
from redgui.ui.host.sessions import Session
from redgui.ui.learn.tab import LearnTab
from redgui.ui.parts import components
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values, sent, sent_text
from redgui.ui.restore import outcome, ways
from redgui.ui.restore.bringing import Bringing
from redgui.ui.restore.outcome import LiveBoard
from redgui.ui.restore.state import Restoring
from redgui.ui.restore.tab import RestoreTab

PICTURE_MISSING = "The link does not carry the picture that it was made with, nor does this browser know it: give the picture."
PATIENCE, LOOK = 5.0, 0.1  # seconds until it is known that a page which is reloaded has closed, and between two looks
PIXELS_DIFFER = "The pixels differ from the record's: another device, another precision or another version."


@dataclass
class Kept:
    """What the server keeps of the tab for each page.

    Attributes:
        opened: the record whose settings were taken last.
        run, key, steps: the run that the browser stored last, its key there, and its steps so far.
    """

    opened: Record | None = None
    run: Run | None = None
    key: str = ""
    steps: int = 0


class HistoryTab:
    """The handlers of the tab. `keeper` stands outside of the tabs: it works while they are closed."""

    def __init__(self, restore: RestoreTab, keeper: gr.HTML, view: gr.HTML, learn: LearnTab):
        self.learn = learn
        self.restore, self.keeper, self.view = restore, keeper, view
        self.page, self.form, self.host = restore.page, restore.form, restore.page.host

    # ---- into the browser

    def keep(self, request: gr.Request) -> Updates:
        """A run has ended, or a part of it: its entry, for the browser to store. One that is gone on with keeps its place."""
        session = self.host.sessions.of(request.session_hash)
        run, last = session.state(Restoring).played, session.state(Kept)
        if run is None or run.last is None or run.playing:
            return {self.keeper: gr.skip()}
        steps = run.last.i + 1
        if last.run is run and last.steps == steps:  # the next one could not begin
            return {self.keeper: gr.skip()}
        key = last.key if last.run is run else secrets.token_hex(8)
        last.run, last.key, last.steps = run, key, steps
        if run.replayed is not None and steps == run.replayed.steps:
            _tell_same(run.replayed.reproduces(run.last))
        restored = run.given_back(run.last.estimate)
        return {self.keeper: {"entry": json.dumps(entry(run.record(), run.problem, restored, key))}}

    def inspect(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A record.json that was dropped there: what it says, or what is wrong with it."""
        said, wrong = "", ""
        try:
            record = self._record(event)
            said = json.dumps(entry(record, record.problem(), None))
        except RedguiError as error:
            wrong = f"This file cannot be opened: {error}"
        return {self.view: {"entry": said, "error": wrong, "nonce": secrets.token_hex(4)}}

    # ---- back into the Restore tab

    def open_record(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """All settings of a record, its picture too, into the Restore tab."""
        session = self.host.sessions.of(request.session_hash)
        try:
            record = self._record(event)
            updates = self._opened(session, values, Settings.of(record), request, record)
        except RedguiError as error:
            raise gr.Error(f"This run cannot be opened: {error}", print_exception=False) from None
        session.state(Kept).opened = record
        return updates | {self.page.tabs: gr.update(selected="restore")}

    def explain(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """As `open_record`, and the page to the Learn tab."""
        return self.open_record(values, request, event) | {self.page.tabs: gr.update(selected="learn")}

    def open_link(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """The settings in the link by which the page was called; the browser adds a record that has its picture."""
        session = self.host.sessions.of(request.session_hash)
        try:
            settings = snippets.read_link(_text(event, "query"), self.host.prior_name)
            if settings is None:
                return {self.page.tabs: gr.skip()}
            self._check_offered(settings.prior)
            record = self._with_picture(settings, event)
            updates = self._opened(session, values, settings, request, record, by_link=True)
        except RedguiError as error:
            raise gr.Error(f"This link cannot be opened: {error} Nothing was changed.", print_exception=False) from None
        if settings.picture and record is None:
            gr.Info(PICTURE_MISSING, title="Settings opened, picture missing", duration=None)
        return updates

    # ---- a page that was reloaded

    def come_back(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """The page was reloaded: picture, settings and run of before, which goes on if it had not ended."""
        sessions, before, waited = self.host.sessions, sent_text(event, "page") or "", 0.0
        while (session := sessions.reopen(before, request.session_hash)) is None:
            if not sessions.is_open(before) or waited > PATIENCE:
                return {self.keeper: {"unknown": True}}  # so that a link may be opened
            waited += LOOK
            time.sleep(LOOK)
        state, layout = session.state(Restoring), self.restore.layout
        run = state.played
        if session.own and (run is None or state.superseded):
            mine = Bringing(self.restore.editing).brought(session, values)
            return {**mine, self.form.picture: self.form.file(session)}
        if run is None or state.superseded:
            return {self.form.picture: self.form.file(session), **self.restore.editing.load_page(values, request)}
        while run.playing:
            time.sleep(LOOK)
        size = ways.longest(run.fitting) if run.fitting is not None else None
        settings = replace(run.record().settings, sampler=run.now, size=size) if run.last else None
        if settings and session.own and isinstance(settings.H, Inpaint) and settings.H.kind == "mask":
            settings = replace(settings, given=False)  # which is so by itself, and not where a person has said so
        try:
            updates = self._opened(session, values, settings, request, None) if settings else {}
        except RedguiError as error:
            gr.Warning(f"The settings of before cannot be shown: {error}")
            updates = {}
        updates[self.form.picture] = self.form.file(session)
        if state.interrupted and run.last:
            return updates | self.restore.get_ready_again(request)
        return updates | outcome.ended(layout, LiveBoard(run, state.number), "")

    def go_on(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """The run that a reload has interrupted."""
        state = self.host.sessions.of(request.session_hash).state(Restoring)
        if state.interrupted:
            state.interrupted = False
            yield from self.restore.go_on(values, request)

    # ---- the run of a record

    def start(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """The run of the record that was opened last, with what was changed in mid-run."""
        record = self.host.sessions.of(request.session_hash).state(Kept).opened
        yield from self.restore.replay(values, request, record)

    def _opened(self, session: Session, values: Values, settings: Settings, request: gr.Request, record: Record | None,
                by_link: bool = False) -> Updates:  # fmt: skip
        """Values of all controls. Raises RedguiError, and then nothing has changed."""
        form, run = self.form, session.state(Restoring).played
        if run is not None and run.playing:
            raise RedguiError("A run is in progress, and would take its knobs. Stop it first.")
        form.load_prior({form.prior: settings.prior})
        moved = form.show(settings)
        then = {**values, **moved}
        before, own = form.source(session), session.own
        picture: Any = gr.skip()
        session.own = own and not (settings.example or record)  # of another's picture the settings say whether it is given
        try:
            if settings.example:
                path = api.resolve(f"example:{settings.example}")
                picture, session.source = str(path), images.read(path)
            elif record is not None:
                picture = session.source = images.to_pil(record.picture())
            if isinstance(settings.H, Inpaint) and settings.H.kind == "mask":
                h, w = form.fitted(session, then).size
                then[form.mask] = components.mask_value(None, settings.H.drawn(h, w), session.version)
            problem, sampler = form.build_problem(session, then).problem, form.build_sampler(then)
            if sampler != settings.sampler:
                raise KnobError(f"{sampler.label} has knobs there that the Restore tab does not offer; use the command line.")
            if record is not None and not by_link and not record.begins_with(problem, sampler, settings.particles):
                raise RecordError("the Restore tab cannot make this very measurement again; use `python -m redgui replay`.")
        except RedguiError:
            session.source, session.own = before, own
            raise
        # The presets of the samplers that are not opened follow the degradation; no later event finds anything to retune.
        retuned = self.restore.editing.retuned(session, then)
        return {**retuned, **moved, form.picture: picture, **self.restore.editing.load_page(then, request)}

    def _record(self, event: gr.EventData) -> Record:
        """The record that the browser sent, where this host can play it. Raises RedguiError."""
        return self.host.limits.record(Record.from_json(_text(event, "record")))

    def _with_picture(self, settings: Settings, event: gr.EventData) -> Record | None:
        """The record that the browser has for the picture of a link, where it truly has that picture."""
        if not settings.picture or not sent(event).get("record"):
            return None
        record = self._record(event)
        return record if picture_number(record) == settings.picture else None

    def _check_offered(self, prior: str) -> None:
        """A link may come from anybody: it makes the server read no folder and fetch nothing that is not listed."""
        listed = (card.name for card in priors.PRIORS if card.name != "empirical")
        known = {self.host.prior_name, *listed, *priors.bundled()}

        def model(name: str) -> str | None:  # whatever it is told; one in closed form has its size in its name
            return None if name.startswith(("gaussian", "empirical")) else priors.conditioned(name)[0]

        if prior not in known and (model(prior) is None or model(prior) not in map(model, known)):
            raise LinkError(
                f"its prior {prior[:60]!r} is not listed here. Choose it by hand, or open the record.json of the run."
            )

    # ---- wiring

    def wire(self) -> None:
        """Registers all events of the tab."""
        restore, view = self.restore, self.view
        inputs: Any = self.form.inputs
        layout = restore.layout
        opened = [self.page.tabs, self.form.picture, layout.measurement, layout.taken, layout.weights, *inputs]
        view.upload(self.inspect, None, view, **WITH_TOASTS)
        view.select(self.open_record, inputs, opened, **WITH_TOASTS)
        explained = view.expand(self.explain, inputs, opened, **WITH_TOASTS)
        explained.success(self.learn.open_tab, self.learn.inputs, self.learn.opened, **SILENT)
        taken = view.submit(self.open_record, inputs, opened, **WITH_TOASTS)
        ready = taken.success(restore.get_ready, inputs, restore.layout.outcome, **SILENT)
        back = self.keeper.submit(self.come_back, inputs, [*opened, *restore.layout.outcome, self.keeper], **SILENT)
        on = restore.follow(back, self.go_on, inputs | {restore.layout.more})
        for over in (*restore.over, restore.follow(ready, self.start, inputs), on):
            over.then(self.keep, None, self.keeper, **WITH_TOASTS)
        self.keeper.select(self.open_link, inputs, opened, **WITH_TOASTS)


def history_tab(restore: RestoreTab, keeper: gr.HTML, learn: LearnTab) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("History", id="history"):
        HistoryTab(restore, keeper, components.history_view("history", container=False, padding=False), learn).wire()


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
