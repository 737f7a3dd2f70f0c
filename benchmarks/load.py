"""Many people at once: the app in a process of its own on loopback, and pages without a browser that all press Run.

    python benchmarks/load.py [--clients 50] [--runs 200] [--prior gaussian:size=32]

1. CLIENTS people, each with a picture, mask, seed and knobs of their own, press Run at the same moment. `first_answer` is the
   time until a person is told something: a place in line or the first iterate. A run has crossed over when its record is
   not that of the same run alone in this process, or does not replay here to the very pixels that the page shows.
2. RUNS visits, ten at a time: a page is opened, runs and is closed. The resident size of the app after 20 and after all.
3. A page that is closed in mid-run, and one whose connection just drops, at 0.2 s an iteration: seconds and iterations until
   the network is called no more, what it takes to notice included.

The last line is one JSON object; sizes are in MiB, times in seconds.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import checkout  # noqa: F401
import torch
from person import Person
from visitor import RefusedError, Visitor

from redgui import priors
from redgui.priors import Prior

PACE = 0.2  # seconds of an iteration whose page goes away
LONG = 1000  # steps: such a run does not end by itself


# ---- the app in a process of its own


class App:
    """The app, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], url: str):
        self.process, self.url = process, url

    def ask(self, what: str, *more: Any) -> dict[str, Any]:
        """pace SECONDS: how long an iteration lasts at least; look: calls of the network, sessions, places in line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, *more, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    @property
    def resident(self) -> float:
        """MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@contextmanager
def served(prior: str, threads: int | None = None) -> Iterator[App]:
    """The app on a free port of loopback, with so many CPU threads; None: as at home."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="redgui-load-") as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(port), "--prior", prior],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        try:
            assert process.stdout
            process.stdout.readline()
            yield App(process, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def serve(prior: str, port: int) -> None:
    """The app, answering `App.ask` on its standard input."""
    from redgui.ui import build, launch

    loaded = priors.load(prior, "cpu")
    calls, pace, plain = [0], [0.0], type(loaded).denoise

    def denoise(self: Prior, x: torch.Tensor, sigma: Any) -> torch.Tensor:
        calls[0] += 1
        threading.Event().wait(pace[0])
        return plain(self, x, sigma)

    type(loaded).denoise = denoise  # type: ignore[method-assign]
    demo = build(prior, device="cpu")
    launch(demo, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, ssr_mode=False)
    print("served", flush=True)
    for line in sys.stdin:
        what, *more = line.split()
        if what == "pace":
            pace[0] = float(more[0])
        host = demo.host
        print(json.dumps({"calls": calls[0], "sessions": len(host.sessions), "line": len(host.queue)}), flush=True)


# ---- the three parts


async def crowd(app: App, clients: int, prior: Prior) -> dict[str, Any]:
    """All press Run at once."""
    people = [Person(k, prior.picture_shape[-1]) for k in range(clients)]
    ready, first, done, told, shown, refused = asyncio.Barrier(clients), [], [], [], [], []  # type: ignore[var-annotated]

    async def visit(person: Person) -> None:
        async with Visitor(app.url) as visitor:
            await visitor.open()
            await person.settle(visitor)
            await ready.wait()
            began, heard = time.monotonic(), None
            try:
                async for name, value in visitor.run():
                    if heard is None and (name == "place" or value.get("status") == "running"):
                        heard = time.monotonic() - began
            except RefusedError as error:
                refused.append(str(error))
                return
            if visitor.shown["live"]["status"] != "done":
                refused.append(visitor.shown["live"]["message"])
                return
            first.append(heard)
            done.append(time.monotonic() - began)
            told.append(len(visitor.places))
            shown.append((person, dict(visitor.shown)))

    await asyncio.gather(*map(visit, people))
    for text in sorted(set(refused)):
        print(f"refused: {text}")
    crossed = 0
    for person, values in shown:  # not before all are served: it takes time
        if wrong := person.crossed(values, prior):
            print(f"crossed: person {person.number}: {', '.join(wrong)}")
            crossed += 1
    return {
        "clients": clients, "served": len(done), "refused": len(refused), "told_their_place": sum(n > 0 for n in told),
        "first_answer_median": round(median(first), 2), "first_answer_max": round(max(first), 2),
        "done_median": round(median(done), 2), "done_max": round(max(done), 2), "crossed": crossed,
    }  # fmt: skip


async def visits(app: App, runs: int, side: int) -> dict[str, Any]:
    """Ten at a time, each a page that is opened, runs and is closed."""

    async def visit(number: int) -> None:
        person = Person(number, side, steps=5)
        async with Visitor(app.url) as visitor:
            await visitor.open()
            await person.settle(visitor)
            await visitor.press()
            assert visitor.shown["live"]["status"] == "done", visitor.shown["live"]

    resident = {}
    for at in range(0, runs, 10):
        await asyncio.gather(*(visit(k) for k in range(at, min(at + 10, runs))))
        if at + 10 in (20, runs) or (at + 10) % 60 == 0:
            for _ in range(100):  # until the last page that was closed is forgotten
                if not app.ask("look")["sessions"]:
                    break
                await asyncio.sleep(0.1)
            resident[min(at + 10, runs)] = round(app.resident, 1)
            print(f"after {at + 10} runs: {resident[min(at + 10, runs)]} MiB")
    return {"runs": runs, "resident_after_20": resident[20], "resident_after_all": resident[runs],
            "resident_ratio": round(resident[runs] / resident[20], 3)}  # fmt: skip


@asynccontextmanager
async def in_mid_run(app: App, side: int) -> AsyncIterator[tuple[Visitor, asyncio.Task[None]]]:
    """A page whose run has made its first iterations, PACE each."""
    async with Visitor(app.url) as visitor:
        await visitor.open()
        await Person(1, side, LONG).settle(visitor)
        await asyncio.to_thread(app.ask, "pace", PACE)
        running = asyncio.create_task(visitor.press())
        while (visitor.shown.get("live") or {}).get("i", 0) < 3:
            await asyncio.sleep(PACE / 4)
        yield visitor, running
        running.cancel()


async def gone(app: App, side: int) -> dict[str, Any]:
    """How soon nobody computes any more for a page that is gone."""
    found: dict[str, Any] = {"iteration": PACE}
    for how in ("closed", "dropped"):
        async with in_mid_run(app, side) as (visitor, running):
            before, began = app.ask("look")["calls"], time.monotonic()
            running.cancel()  # the connection that brings the pictures
            if how == "closed":
                await visitor.leave()
            while app.ask("look")["line"]:
                await asyncio.sleep(PACE / 20)
            found[f"{how}_seconds"] = round(time.monotonic() - began, 2)
            await asyncio.sleep(3 * PACE)
            found[f"{how}_iterations"] = app.ask("look")["calls"] - before
    app.ask("pace", 0)
    return {"gone": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument(
        "--prior", default="gaussian:size=32", help="a closed-form one, so that the app itself is what is loaded"
    )
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        return serve(chosen.prior, chosen.serve)
    if chosen.runs % 10 or chosen.runs < 20:
        parser.error(f"--runs is a multiple of 10 from 20 on; got {chosen.runs}.")
    torch.set_num_threads(1)
    prior = priors.load(chosen.prior, "cpu")
    side = prior.picture_shape[-1]
    found: dict[str, Any] = {}
    with served(chosen.prior, threads=1) as app:
        found |= asyncio.run(visits(app, chosen.runs, side))
        found |= asyncio.run(gone(app, side))
    with served(chosen.prior, threads=1) as app:
        found |= asyncio.run(crowd(app, chosen.clients, prior))
    cores = os.cpu_count() or 1
    print(json.dumps(found | {"prior": chosen.prior, "cores": cores, "load_per_core": round(os.getloadavg()[0] / cores, 2)}))
    return None


if __name__ == "__main__":
    main()
