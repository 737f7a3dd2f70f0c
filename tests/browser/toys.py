"""A page of the components alone: editors of several sizes, a run of pictures that mean nothing, and its plots."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import numpy as np
import torch
from PIL import Image

from browser.editor import SEEN, box, picture
from redgui import images
from redgui.knobs import knob
from redgui.operators import Operator, build
from redgui.priors import GaussianPrior
from redgui.reading import read_hole, share
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.samplers import Sampler, Step
from redgui.ui.host.uploads import data_of
from redgui.ui.parts import components, views
from redgui.ui.parts.wiring import sent

SIZES = {"square": (64, 64), "tall": (80, 48), "large": (256, 256), "odd": (37, 255)}  # h, w
ORDERS: dict[str, object] = {}  # what a click on "set" sends to the editor


def frame_of(level: int) -> str:
    return images.data_url(Image.new("RGB", (64, 64), (level, 80, 120)))


def live_value(i: int, n: int, run: int = 1, status: str = "running", psnr: bool = True) -> dict:
    steps = list(range(1, i + 1))
    return {
        "run": run, "status": status, "message": "", "frame": frame_of(20 * i), "w": 64, "h": 64, "i": i, "n": n,
        "sigma": 80 / i, "left": 0.1 * (n - i), "rate": 10.0, "sigma_y": 0.05, "marks": [{"i": 2, "text": "lr 0.5"}],
        "series": components.series_text({
            "i": steps, "sigma": [80 / k for k in steps], "data": [100 / k for k in steps], "prior": [0.01 * k for k in steps],
            "psnr": [10 + k for k in steps] if psnr else None, "residual": [1 / k for k in steps],
        }),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Toy(Sampler):
    """A sampler with a scalar that nothing else knows of."""

    name, label, paper, about = "toy", "Toy", "none", "starts from noise and stays there"
    needs = Operator
    steps: int = knob(6, 1, 100, help="steps")

    def __call__(self, prior, H, y, sigma_y, *, generator):
        for i in range(self.steps):
            yield Step(i, self.steps, 1.0, torch.zeros(len(y), *prior.shape), {"surprise": torch.full((len(y),), 10.0**i)})


def surprising() -> dict:
    """The live view of a run of the toy."""
    prior = GaussianPrior(size=16)
    picture = prior.sample(1, torch.Generator().manual_seed(3)).clamp(-1, 1)
    run = Run(picture, Problem.simulate(picture, build("denoise"), 0.1), prior, Toy())
    list(run.play())
    return views.live(run, 8, "done")


def streamed() -> Iterator[dict]:
    """A run of ten steps, which waits at its second until somebody has painted."""
    for i in range(1, 11):
        until = time.monotonic() + 30
        while i == 3 and not SEEN.get("beside") and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        yield live_value(i, 10, run=7, status="done" if i == 10 else "running")


FILM = {
    "frames": [{"src": frame_of(40 * k), "i": 10 * k, "sigma": 8 / k, "psnr": 20.0 + k} for k in range(1, 6)],
    "w": 64,
    "h": 64,
}
SIGMA = np.geomspace(0.01, 100, 30)
CURVES = [{"name": "linear", "values": SIGMA.tolist()}, {"name": "constant", "values": [1.0] * 30}]
WEIGHTS = {"sigma": SIGMA.tolist(), "curves": CURVES, "chosen": "linear", "now": 2.0}


def heard(editor: gr.HTML, name: str) -> None:
    """Keeps what the editor sends. A stroke may follow the last one faster than the answer: the newest must arrive."""
    keep = SEEN.setdefault
    editor.input(lambda value: keep(name, []).append(value), editor, None, show_progress="hidden", trigger_mode="always_last")


def given(value: dict, event: gr.EventData) -> dict:
    """What the server makes of a mask's file."""
    hole = read_hole(data_of(sent(event)["file"]))
    return components.mask_value(None, hole, value["version"]) | {"said": share(hole)}


def demo() -> gr.Blocks:
    with gr.Blocks() as blocks, gr.Tabs():
        for name, (h, w) in SIZES.items():
            with gr.Tab(name):
                with gr.Group():
                    value = components.mask_value(picture(h, w), np.zeros((h, w), bool), 1)
                    editor = components.mask_editor(name, value=value)
                shown = gr.Checkbox(True, label=f"show {name}")
                kind = gr.Button(f"set {name}")
            heard(editor, name)
            editor.upload(given, editor, editor, show_progress="hidden")
            kind.click(lambda name=name: ORDERS[name], None, editor, show_progress="hidden")
            shown.change(lambda on: gr.update(visible=on), shown, editor, show_progress="hidden")
        with gr.Tab("run"):
            live = components.live_view()
            film = components.film_strip()
            weights = components.weights_plot(value=WEIGHTS)
            beside = components.mask_editor("beside", value=components.mask_value(picture(64, 64), box(64, 64), 1))
            empty = components.mask_editor("empty")
            go = gr.Button("go")
            other = gr.Button("other")
            surprise = gr.Button("surprise")
        go.click(streamed, None, live, show_progress="hidden").then(lambda: FILM, None, film)
        other.click(lambda: {**WEIGHTS, "chosen": "constant", "now": None}, None, weights)
        surprise.click(surprising, None, live, show_progress="hidden")
        heard(beside, "beside")
        heard(empty, "empty")
    return blocks
