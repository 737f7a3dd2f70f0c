"""What a command says: progress bars on stderr, and figures as one line of JSON on stdout."""

import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterator
from typing import Any

DEVICES = "auto|cpu|cuda|cuda:N|mps|xpu"  # as `redgui.devices` knows them, which is not loaded for a help text


def figures_json(figures: dict[str, Any]) -> str:
    """One line of JSON; nan and inf are null."""
    return json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()})


@contextlib.contextmanager
def spoken() -> Iterator[None]:
    """Within, what the library tells of what it read is a line on stderr each."""
    log, handler = logging.getLogger("redgui"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("redgui: %(message)s"))
    level, passes = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = passes


class Bar:
    """A progress bar on stderr that is a watcher of Steps; it appears with the first, so that errors before it stand alone."""

    bar: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, step: Any) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(unit="step", file=sys.stderr, leave=False, dynamic_ncols=True)
        self.bar.total = step.n
        psnr = f", {step.psnr:.2f} dB" if step.psnr is not None else ""
        self.bar.set_postfix_str(f"sigma {step.sigma:.3g}{psnr}", refresh=False)
        self.bar.update()

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


class JobsBar:
    """A progress bar on stderr over a process's share of a benchmark, with the time left at the rate of this run."""

    bar: Any = None

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.share = rank, f"process {rank + 1} of {world}" if world > 1 else None

    def __enter__(self) -> "JobsBar":
        return self

    def __call__(self, done: int, total: int, what: str) -> None:
        from tqdm import tqdm

        if self.bar is not None and (total != self.bar.total or done < self.bar.n):  # the next stage
            self.bar.close()
            self.bar = None
        if self.bar is None:  # `initial`: what an earlier run has done says nothing about the speed of this one
            self.bar = tqdm(total=total, initial=done, unit="picture", desc=self.share, position=self.rank,
                            file=sys.stderr, leave=False, dynamic_ncols=True)  # fmt: skip
        self.bar.n = done
        self.bar.set_postfix_str(what)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
