"""What the server keeps for each open page: its picture, and the state of each tab. Nothing is shared between pages.

A page is known by the hash that gradio's page makes up for itself, its secret: who has none gets a session for one call.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from PIL import Image

from redgui.runs.watch import Playable
from redgui.ui.host.uploads import discard

RELOAD_SECONDS = 20.0  # a page that closed and comes back within this time was reloaded
KEEP_SECONDS = 3600.0  # a page that closed without telling is forgotten after this long without a sign of life
MOST = 2000

P = TypeVar("P", bound=Playable)
S = TypeVar("S")


@dataclass
class Playing(Generic[P]):
    """The state of a tab that plays something, now or when its turn comes.

    Attributes:
        played: the current or most recent run. Another thread may replace it.
        board: it, as its view was last given it; it makes the files that a person asks for.
        number: how many runs the page has asked for on this tab.
        stop_wanted: it is to stop, before its turn too.
        interrupted: the page was closed while it was played.
    """

    played: P | None = None
    board: Any = None
    number: int = 0
    stop_wanted: bool = False
    interrupted: bool = False

    @property
    def progress(self) -> float | None:
        """The share that has been made; None where nothing is played."""
        played = self.played
        return played.progress if played is not None and played.playing else None

    def stop(self) -> None:
        """Stops what is in progress, or what waits for its turn."""
        self.stop_wanted = True
        played = self.played
        if played is not None:
            played.stop()


@dataclass
class Session:
    """One open page.

    Attributes:
        source: the person's picture, upright RGB.
        own: the person has brought it: an upload, or a result that is gone on with.
        file: the file that the page shows, and the picture that was read from it.
        files: all files that were uploaded and read.
        version: of the picture in the mask editor.
        seen: when the page last gave a sign of life.
        gone: the page is closed.
        states: the state of each tab, by its class.
    """

    source: Image.Image | None = None
    own: bool = False
    file: tuple[str, Image.Image] | None = None
    files: set[str] = field(default_factory=set)
    version: int = 0
    seen: float = field(default_factory=time.monotonic)
    gone: bool = False
    states: dict[type, Any] = field(default_factory=dict)

    def state(self, kind: type[S]) -> S:
        """A tab's state, made on first use."""
        return self.states.setdefault(kind, kind())

    @property
    def players(self) -> list[Playing[Any]]:
        """The states of the tabs that play something."""
        return [state for state in list(self.states.values()) if isinstance(state, Playing)]

    def stop(self) -> None:
        """Stops whatever the page plays, on all of its tabs."""
        for state in self.players:
            state.stop()


class Sessions:
    """Sessions by the hash that gradio gives to a page."""

    def __init__(self, most: int = MOST) -> None:
        self.forget: Callable[[str], None] = lambda key: None  # what others keep for a page that is gone
        self.own: set[str] = set()  # files that the app itself shows: an example that somebody uploads is the same file
        self._sessions: dict[str, Session] = {}
        self._closed: dict[str, Session] = {}  # what was played there may be gone on with, should the page come back
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

    def close(self, key: str | None) -> None:
        """A page was closed, or is being reloaded: stops what it plays, and forgets it unless it comes back (`reopen`)."""
        with self._lock:
            session = self._sessions.get(key or "")
            if key and session is not None and any(state.played for state in session.players):
                self._closed[key] = self._sessions.pop(key)
                for state in session.players:
                    state.interrupted = state.progress is not None
                session.gone = True
                timer = threading.Timer(RELOAD_SECONDS, self._expire, (key,))
                timer.daemon = True
                timer.start()
        if session is not None and session.gone:
            session.stop()
            self.forget(key or "")
        else:
            self.drop(key)

    def is_open(self, key: str) -> bool:
        """Whether there is a page of this key that has not closed."""
        return key in self._sessions

    def reopen(self, before: str, key: str | None) -> Session | None:
        """What the page `key` was before it was reloaded; None where that is not known, or not closed yet."""
        with self._lock:
            session = self._closed.pop(before, None) if key else None
            if session is None or key is None:
                return None
            fresh = self._sessions.get(key)
            session.version = max(session.version, fresh.version if fresh else 0)
            session.gone, session.seen = False, time.monotonic()
            self._sessions[key] = session
            return session

    def drop(self, key: str | None) -> None:
        """Forgets a page that is gone, stops what it plays and deletes what it had uploaded."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
            if session is not None:
                self.empty(session)
        if session is not None:
            session.gone = True
            session.stop()
        self.forget(key or "")

    def _expire(self, key: str) -> None:
        """A page that was closed has not come back."""
        with self._lock:
            session = self._closed.pop(key, None)
            if session is not None:
                self.empty(session)

    def __len__(self) -> int:
        return len(self._sessions)

    def _forget(self, now: float) -> None:
        """Forgets pages that show no sign of life, and the oldest where there are too many; none that plays something."""
        by_age = sorted(self._sessions.items(), key=lambda item: item[1].seen)
        for key, session in by_age:
            busy = any(state.progress is not None for state in session.players)
            if not busy and (now - session.seen > KEEP_SECONDS or len(self._sessions) > self.most):
                self.empty(self._sessions.pop(key))

    def empty(self, session: Session) -> None:
        """Deletes the uploads of a page; the same file uploaded by two pages is one file on the disk."""
        others = (*self._sessions.values(), *self._closed.values())
        elsewhere = {path for other in others if other is not session for path in other.files}
        for path in session.files - elsewhere - self.own:
            discard(path)
        session.files.clear()
