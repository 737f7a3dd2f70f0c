"""The four ways in: Python, command line, HTTP and page, each as one function of a picture, a mask and the words of a run."""

import base64
import contextlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from wire import PRIOR, Served

from redgui import api, cli, images
from redgui.errors import RedguiError
from redgui.operators import Inpaint
from redgui.runs.record import Record

SAMPLER = "reddiff:steps=2"


class RefusedError(Exception):
    """What a way in says of what it does not take."""


@dataclass
class Found:
    """What came of a run.

    Attributes:
        record: of it, with the picture as it was fitted, and the mask.
        said: what was told about the reading, in one text.
        files: restored.png, and restored-raw.png and restored-full.png where they are, as they are taken away.
    """

    record: Record
    said: str
    files: dict[str, Image.Image]

    @property
    def picture(self) -> np.ndarray:
        return images.to_uint8(self.record.picture())

    @property
    def hole(self) -> np.ndarray:
        H = self.record.settings.H
        assert isinstance(H, Inpaint)
        return H.hole(*self.picture.shape[:2])


Way = Callable[..., Found]


def url(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()


def picture_of(data_url: str) -> Image.Image:
    return opened(base64.b64decode(data_url.partition(",")[2]))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


class Ways:
    """The ways in, to an app that is served and a folder that is empty."""

    def __init__(self, served: Served, folder: Path):
        self.served, self.folder = served, folder

    def python(self, picture: bytes, mask: bytes | None = None, mask_keep: bool = False, given: bool = False,
               **said: Any) -> Found:  # fmt: skip
        if given:
            said["operator"] = "given:of=" + said.get("operator", "inpaint").replace(":", ",", 1)
        try:
            result = api.restore(picture, mask=mask, mask_keep=mask_keep, prior=PRIOR, sampler=SAMPLER, device="cpu", **said)
        except RedguiError as error:
            raise RefusedError(str(error)) from None
        names = ("restored.png", "restored-raw.png", "restored-full.png")
        out = result.save(self.folder / "python")
        files = {name: opened((out / name).read_bytes()) for name in names if (out / name).exists()}
        return Found(result.record, "\n".join(result.notes), files)

    def command(self, picture: bytes, mask: bytes | None = None, mask_keep: bool = False, given: bool = False,
                **said: Any) -> Found:  # fmt: skip
        (self.folder / "picture").write_bytes(picture)
        out = self.folder / "command"
        words = ["restore", str(self.folder / "picture"), "--prior", PRIOR, "--sampler", SAMPLER, "--device", "cpu"]
        words += ["--out", str(out)]
        if mask is not None:
            (self.folder / "mask").write_bytes(mask)
            words += ["--mask", str(self.folder / "mask")] + ["--mask-keep"] * mask_keep
        if given:
            said["operator"] = "given:of=" + said.get("operator", "inpaint").replace(":", ",", 1)
        for name, value in said.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        told, answer = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(answer):
            status = cli.main(words)
        lines = [line for line in told.getvalue().splitlines() if line.startswith("redgui: ")]
        if status:
            assert status == 2
            assert len(lines) == 1, lines
            raise RefusedError(lines[0])
        json.loads(answer.getvalue().splitlines()[-1])
        files = {path.name: Image.open(path) for path in out.glob("restored*.png")}
        return Found(Record.read(out / "record.json"), "\n".join(lines), files)

    def http(self, picture: bytes, mask: bytes | None = None, raw: bool = False, **said: Any) -> Found:
        client: Any = self.client()
        call = dict(picture=url(picture), mask=None if mask is None else url(mask), sampler=SAMPLER, prior=PRIOR, **said)
        try:
            shown, figures, record = client.predict(**call, api_name="/restore")
            others = {"restored-raw.png": client.predict(**call, raw=True, api_name="/restore")[0]} if raw else {}
        except AppError as error:
            raise RefusedError(str(error)) from None
        size = images.read(base64.b64decode(record["image"])).size
        name = "restored.png" if picture_of(shown).size == size else "restored-full.png"
        files = {name: picture_of(data) for name, data in {name: shown, **others}.items()}
        return Found(Record.from_json(json.dumps(record)), "\n".join(figures.get("notes", [])), files)

    def client(self) -> Client:
        if not hasattr(self.served, "client"):
            self.served.client = Client(self.served.url, verbose=False)  # type: ignore[attr-defined]
        return self.served.client  # type: ignore[attr-defined]

    def page(self, picture: bytes, mask: bytes | None = None, given: bool = False, operator: str = "inpaint", fit: str = "crop",
             sigma_y: float = 0.0) -> Found:  # fmt: skip
        from redgui.ui.restore.state import Restoring

        page = self.served.page()
        name, _, knobs = operator.partition(":")
        page.values |= {"given": given, "operator": name, "fit": fit, "sigma-y": sigma_y, "prior": PRIOR, "reddiff-steps": 2}
        for knob in filter(None, knobs.split(",")):
            key, _, value = knob.partition("=")
            page.values[f"{name}-{key}"] = int(value) if value.isdecimal() else value
        path = page.upload("picture", picture).json()[0]
        answers = [page.call("open_picture", picture={"path": path})]
        answers[0].outputs.pop("picture", None)
        keep(page, answers[0])
        if mask is None and not given and operator == "inpaint":  # an own picture begins with nothing painted
            page.values["inpaint-kind"] = "box"
        if mask is not None:
            answers.append(page.call("upload_mask", event={"file": url(mask)}))
            keep(page, answers[1])
        toasts = [toast for answer in answers for toast in answer.toasts]
        if not all("w" in (answer.outputs.get("mask") or {}) for answer in answers):  # the editor shows nothing new
            raise RefusedError("\n".join(map(str, toasts)))
        ready = page.call("get_ready", shows="live")
        if ready.outputs.get("live", {}).get("status") == "error" or ready.error:
            raise RefusedError(" ".join(map(str, [*toasts, ready.error or ready.outputs["live"]["message"]])))
        done = page.call("start", shows="live")
        run = self.served.host.sessions.of(page.key).state(Restoring).played
        assert run is not None, done
        links = done.outputs["result"]["downloads"]
        files = {e["name"]: picture_of(e["href"]) for e in links if e["name"].endswith(".png")}
        said = [str(page.values.get("mask", {}).get("said", "")), *map(str, toasts)]
        return Found(run.record(), re.sub("What is transparent.*?\\. ", "", "\n".join(said)), files)


def keep(page: Any, answer: Any) -> None:
    """What a page shows is what it sends with the next event."""
    assert answer.error is None, answer.error
    for name, value in answer.outputs.items():
        if name not in ("mask", "inpaint-kind", "fit") and not name.startswith(("jpeg-", "quantize-")):
            continue
        if isinstance(value, dict) and value.get("__type__") == "update":
            value = value.get("value")
        if value is not None:
            page.values[name] = value
