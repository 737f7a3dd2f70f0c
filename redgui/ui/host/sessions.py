"""What the server keeps for each open page: its picture and what runs on it. Nothing is shared between pages.

A page is known by the hash that gradio's page makes up for itself, its secret: who has none gets a session for one call.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.ui.host.kept import Comparison, Particles, Playing, Sweeping
from redgui.ui.host.uploads import discard

KEEP_SECONDS = 3600.0  # a page that closed without telling is forgotten after this long without a sign of life
MOST = 2000


@dataclass
class Session(Playing):
    """One open page; what it plays is the run of its Restore tab."""

    source: Image.Image | None = None  # the person's picture, upright RGB
    file: tuple[str, Image.Image] | None = None  # the file that the page shows, and what was read from it
    files: set[str] = field(default_factory=set)  # all that were uploaded and read
    run: Run | None = None
    task: str | None = None  # whose finished result has taken the place of a run
    version: int = 0  # of the picture in the mask editor
    runs: int = 0
    tuned_for: tuple[str, str | None, float] = ("inpaint", "box", 0.0)  # operator, its kind and sigma_y of the presets shown
    retuned: dict[Any, Any] = field(default_factory=dict)  # controls that the page itself set since the run began -> value
    particles_given: int = 1  # what the page itself chose, so that a person's own choice is left alone
    comparison: Comparison = field(default_factory=Comparison)
    sweeping: Sweeping = field(default_factory=Sweeping)
    particles: Particles = field(default_factory=Particles)
    opened: Record | None = None  # the record whose settings were taken last
    kept: tuple[Run | None, str, int] = (None, "", 0)  # the run that the browser keeps, its key there, and its steps so far
    seen: float = field(default_factory=time.monotonic)
    gone: bool = False  # the page is closed

    @property
    def played(self) -> Run | None:
        return self.run


class Sessions:
    """Sessions by the hash that gradio gives to a page."""

    def __init__(self, most: int = MOST) -> None:
        self.forget: Callable[[str], None] = lambda key: None  # what others keep for a page that is gone
        self.own: set[str] = set()  # files that the app itself shows: an example that somebody uploads is the same file
        self._sessions: dict[str, Session] = {}
        self.most = most
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
        """The session of a page, made on first sight."""
        if not key:
            return Session()
        now = time.monotonic()
        with self._lock:
            if len(self._sessions) > self.most or any(now - s.seen > KEEP_SECONDS for s in self._sessions.values()):
                self._forget(now)
            session = self._sessions.setdefault(key, Session())
            session.seen = now
            return session

    def drop(self, key: str | None) -> None:
        """Forgets a page that was closed, stops its run and deletes what it had uploaded."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
            if session is not None:
                self._empty(session)
        if session is not None:
            session.gone = True
            session.stop()
            session.comparison.stop()
            session.sweeping.stop()
            session.particles.stop()
        self.forget(key or "")

    def __len__(self) -> int:
        return len(self._sessions)

    def _forget(self, now: float) -> None:
        idle = sorted(self._sessions.items(), key=lambda item: item[1].seen)
        for key, session in idle:
            working = (session.run, session.comparison.race, session.sweeping.sweep, session.particles.run)
            busy = any(one is not None and one.playing for one in working)
            if not busy and (now - session.seen > KEEP_SECONDS or len(self._sessions) > self.most):
                self._empty(self._sessions.pop(key))

    def _empty(self, session: Session) -> None:
        """Deletes the uploads of a page that is gone; the same file uploaded by two pages is one file on the disk."""
        elsewhere = {path for other in self._sessions.values() for path in other.files}
        for path in session.files - elsewhere - self.own:
            discard(path)
