"""Where the app runs. On most machines a run is played where the page is served; on a Hugging Face Space with ZeroGPU the
process that serves has no GPU, and what needs one goes, pickled, to a forked worker that is lent one for some seconds.

    for news in stream(job): ...     # a Job is played here, or in such a worker

Facts about ZeroGPU that shape this (the package `spaces`):
  - The serving process must not touch CUDA: its priors are on the CPU, and the worker loads its own, kept while it lives.
  - Arguments and yields are pickled, CUDA tensors cannot be; they travel as bytes here, since torch's own way of sending
    tensors between processes leaves file descriptors behind that a worker which has ended no longer serves.
  - A worker is told to end only between two yields, so a job yields often.
  - The worker is a fork: memory that was shared before goes on being shared. That is how wishes reach it in mid-run.
"""

import importlib.util
import mmap
import os
import pickle
import struct
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Protocol

from redgui.errors import RedguiError

LONGEST = 120.0  # seconds that are asked for at once; a longer run is stopped there and can be gone on with
LEAST = 20.0
MARGIN = 6.0  # for the worker's start
SLOTS, SLOT_BYTES = 64, 4096
HEAD = struct.Struct("<II")  # CRC-32 and length of what follows

Heard = Callable[[], Any]  # the newest wish, None before the first

NOTE = f"""<p class="rg-note rg-lent">This Space lends a GPU to each run, for at most {LONGEST:.0f} seconds; a longer one is
stopped there. Continue repeats the steps made so far, with the same pixels, before it makes new ones. Knobs and Stop act in
mid-run.</p>"""


class HostError(RedguiError):
    """What this host cannot do at the moment; the message says what to do."""


class Job(Protocol):
    """Something to play. It is pickled: no CUDA tensors, no functions of functions.

    Attributes:
        seconds: of a GPU that it is expected to take.
    """

    @property
    def seconds(self) -> float: ...

    def news(self, heard: Heard) -> Iterator[Any]:
        """Plays, and yields what a watcher is to know, often; `heard` gives the newest wish, from any process."""
        ...


def on_zero_gpu() -> bool:
    """Whether GPUs are lent by ZeroGPU."""
    asked = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return asked and importlib.util.find_spec("spaces") is not None


def device_here(device: str, precision: str) -> tuple[str, str]:
    """Device and precision of the priors in the serving process."""
    return ("cpu", "fp32") if on_zero_gpu() else (device, precision)


def device_there(device: str, precision: str) -> tuple[str, str]:
    """Those of the process that plays."""
    return ("auto", "auto") if on_zero_gpu() else (device, precision)


def allowed(seconds: float, longest: float) -> float:
    """For how long a job that needs a GPU for `seconds` may go on, so that it ends by itself before the GPU is taken away."""
    return min(longest, _seconds(b"", seconds) - MARGIN)


def note() -> None:
    """In a tab that plays: what is different on a host that lends its GPUs. Nothing elsewhere."""
    if on_zero_gpu():
        import gradio as gr

        gr.HTML(NOTE, padding=False)


class Wishes:
    """The newest wish of a watcher for a job in another process, in memory that both share. One writes, one reads."""

    _memory = mmap.mmap(-1, SLOTS * SLOT_BYTES) if on_zero_gpu() else None  # before any worker is forked
    _free = list(range(SLOTS))
    _lock = threading.Lock()

    def __init__(self, slot: int):
        self.slot = slot

    @classmethod
    def taken(cls) -> "Wishes":
        """A slot for one job, empty. Raises HostError when all are in use."""
        with cls._lock:
            if not cls._free:
                raise HostError(f"{SLOTS} runs are in progress on this host; try again in a minute.")
            slot = cls._free.pop()
        wishes = cls(slot)
        wishes._write(b"")
        return wishes

    def free(self) -> None:
        """For the next job."""
        with self._lock:
            self._free.append(self.slot)

    def post(self, wish: Any) -> None:
        """Takes the place of the wish before, which may never have been read."""
        self._write(pickle.dumps(wish))

    def newest(self) -> Any:
        """The newest wish; None before the first, and while one is just being written."""
        assert self._memory is not None
        at = self.slot * SLOT_BYTES
        checksum, length = HEAD.unpack_from(self._memory, at)
        body = self._memory[at + HEAD.size : at + HEAD.size + min(length, SLOT_BYTES - HEAD.size)]
        return pickle.loads(body) if length and zlib.crc32(body) == checksum else None

    def _write(self, body: bytes) -> None:
        assert self._memory is not None
        if len(body) > SLOT_BYTES - HEAD.size:
            raise HostError(f"a wish has {len(body)} bytes; at most {SLOT_BYTES - HEAD.size} are passed on.")
        at = self.slot * SLOT_BYTES
        self._memory[at : at + HEAD.size + len(body)] = HEAD.pack(zlib.crc32(body), len(body)) + body


def stream(job: Job, wishes: Wishes | None = None) -> Generator[Any, None, None]:
    """The news of a job, here or from a worker with a GPU. Closing it ends the job within its iteration in progress.

    Raises what the job raises; from a worker RedguiErrors as they are, and gr.Error with the class of any other.
    """
    if not on_zero_gpu():
        with closing(job.news(lambda: None)) as items:  # type: ignore[type-var]
            yield from items
        return
    own = wishes or Wishes.taken()
    try:
        with closing(_lent(pickle.dumps((job, own.slot)), job.seconds)) as items:  # type: ignore[type-var]
            for item in items:
                news = pickle.loads(item)
                if isinstance(news, RedguiError):
                    raise news
                if news is not None:
                    yield news
    finally:
        if wishes is None:
            own.free()


def _seconds(_: bytes, seconds: float) -> int:
    """For how long a GPU is asked: less than LEAST is not worth the worker's start."""
    return round(min(max(seconds, LEAST), LONGEST))


def _work(packed: bytes, seconds: float) -> Iterator[bytes]:
    """In the worker."""
    import torch

    torch.set_num_threads(1)  # the threads of the process that was forked do not exist here, and waiting for them has no end
    job, slot = pickle.loads(packed)
    try:
        with closing(job.news(Wishes(slot).newest)) as items:
            for news in items:
                yield pickle.dumps(news)
    except RedguiError as error:
        yield pickle.dumps(error)


if on_zero_gpu():
    import spaces  # type: ignore[import-not-found]  # before anything initialises CUDA

    _lent = spaces.GPU(duration=_seconds)(_work)
else:
    _lent = _work
