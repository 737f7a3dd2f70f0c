"""The named endpoints of the app for `gradio_client` and, with `launch(mcp_server=True)`, for MCP: see docs/api.md.

    /list       what there is: samplers, operators and priors with their knobs
    /degrade    the measurement of a picture
    /restore    the restoration, streamed as it forms

They take the specs of the command line and give what `redgui.api` gives. A picture comes as `example:NAME`, as a file that the
client uploads (`handle_file`), or as a `data:` URL; the server opens no path of its own and fetches no address.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api as endpoint

from redgui import api, files, images, knobs, metrics, reading
from redgui.errors import RedguiError
from redgui.fitting import Way
from redgui.priors import Prior
from redgui.runs import cores, zero_gpu
from redgui.runs.known_noise import AUTO
from redgui.runs.settings import Settings
from redgui.ui.calls.restoration import Restoration, clean
from redgui.ui.host.host import Host
from redgui.ui.host.limits import Limits
from redgui.ui.host.queue import LOOK, Line, threaded
from redgui.ui.host.uploads import DATA, CallError, data_of, discard, uploaded, written
from redgui.ui.parts.controls import SETTING

Picture = str | dict[str, Any]  # example:NAME or a data: URL; or a file, as gradio writes it (FileData)


def add_endpoints(host: Host) -> None:
    """Adds the endpoints to the block that is open."""
    limits = host.limits

    def restore(
        picture: Picture,
        operator: str = "inpaint",
        sampler: str = "reddiff",
        sigma_y: float | str | None = None,
        seed: int = 0,
        particles: int | None = None,
        prior: str | None = None,
        mask: Picture | None = None,
        given: bool = False,
        fit: Way = "crop",
        size: int | None = None,
        as_file: bool = False,
        mask_keep: bool = False,
        raw: bool = False,
        kernel: Picture | None = None,
        noise: str = "gaussian",
    ) -> Iterator[tuple[Any, ...]]:
        """Degrades a picture and restores it with a diffusion model, or restores one that is already damaged.

        Yields the picture so far (a large one smaller), its figures and null a few times a second; at last the result, its
        figures and the record that reproduces it. A picture that is not of the prior's size is given back at its own size.

        Args:
            picture: example:NAME, an uploaded file, or a data: URL.
            operator: the degradation, NAME:knob=value,... as /list has them, such as superres:factor=4.
            sampler: the method, NAME:knob=value,..., such as reddiff:steps=100; other knobs come from the presets.
            sigma_y: standard deviation of the noise, the picture spanning -1 to 1; a text a/b where it spans 0 to b; auto:
                measured in a picture that is given; null: 0, and auto where it is given to be denoised.
            noise: its model, NAME:knob=value,...: gaussian, poisson:photons=30, speckle:looks=16, outliers:share=0.02.
            seed: of the noise and of the sampler.
            particles: runs in one batch; null: as many as suit sampler and operator.
            prior: the diffusion model; null: the one that the app was started with.
            mask: a picture that is white, or painted at all, where there is to be filled in; makes the operator an inpainting.
            given: the picture is itself the measurement; there is no original.
            fit: how a picture of another shape is brought to what the prior takes.
            size: longest side of the fit native; null: the picture's own, within what this host takes.
            as_file: the result as a PNG file that the server keeps for an hour at most, instead of a data: URL.
            mask_keep: the mask says what is kept instead.
            raw: the result as the sampler left it, without the measured pixels that an inpainting without noise keeps exactly.
            kernel: a picture or an uploaded .npy file of a blur's own kernel, for blur:kind=file.
        """
        said = dict(operator=operator, sampler=sampler, sigma_y=sigma_y, seed=seed, noise=noise, particles=particles,
                    given=given, fit=fit, size=size)  # fmt: skip
        settings, source, drawn, notes = asked(host, picture, mask, host.prior_named(prior), said, mask_keep, kernel)
        device, precision = zero_gpu.device_there(settings.device, settings.precision)
        job = Restoration(replace(settings, device=device, precision=precision), source, drawn, limits, raw is True)
        for png, figures, record in zero_gpu.stream(job):
            yield (written(png) if as_file and record else images.file_url(png)), figures | noted(notes), record

    def degrade(
        picture: Picture,
        operator: str = "inpaint",
        sigma_y: float | str | None = None,
        seed: int = 0,
        prior: str | None = None,
        mask: Picture | None = None,
        given: bool = False,
        fit: Way = "crop",
        size: int | None = None,
        as_file: bool = False,
        mask_keep: bool = False,
        kernel: Picture | None = None,
        noise: str = "gaussian",
    ) -> tuple[Picture, dict[str, Any]]:
        """The measurement of a picture as a picture, and the PSNR of its pseudo-inverse.

        Args:
            picture: example:NAME, an uploaded file, or a data: URL.
            operator: the degradation, NAME:knob=value,... as /list has them.
            sigma_y: standard deviation of the noise, the picture spanning -1 to 1; a text a/b where it spans 0 to b; auto:
                measured in a picture that is given; null: 0, and auto where it is given to be denoised.
            noise: its model, NAME:knob=value,...: gaussian, poisson:photons=30, speckle:looks=16, outliers:share=0.02.
            seed: of the noise.
            prior: the diffusion model, which says how large pictures are; null: the one that the app was started with.
            mask: a picture that is white, or painted at all, where there is to be filled in; makes the operator an inpainting.
            given: the picture is itself the measurement.
            fit: how a picture of another shape is brought to what the prior takes.
            size: longest side of the fit native; null: the picture's own, within what this host takes.
            as_file: the measurement as a PNG file that the server keeps for an hour at most, instead of a data: URL.
            mask_keep: the mask says what is kept instead.
            kernel: a picture or an uploaded .npy file of a blur's own kernel, for blur:kind=file.
        """
        said = dict(operator=operator, sigma_y=sigma_y, noise=noise, seed=seed, given=given, fit=fit, size=size)
        loaded = host.prior_named(prior)
        settings, source, _, notes = asked(host, picture, mask, loaded, said, mask_keep, kernel)
        settings, _, fitted = api.fitted_to(loaded, settings, source)
        problem = cores.apart(lambda: settings.problem(fitted))
        found, truth = images.encode(problem.H.picture(problem.y)), problem.x_true
        psnr = None if truth is None else float(metrics.psnr(problem.aligned(problem.start()), truth))
        figures = {name: settings.figures()[name] for name in ("operator", "sigma_y", "noise", "seed", "prior")}
        figures = clean({"psnr_measurement": psnr, **figures}) | noted(notes)
        return (written(found) if as_file else images.file_url(found)), figures

    def listing() -> dict[str, Any]:
        """Samplers, operators, priors and examples with their knobs, bounds and defaults."""
        return api.listing()

    once = tuple[Picture, dict[str, Any], dict[str, Any] | None]  # what one yield of /restore holds
    # Of these calls one at a time: it stands in line among the pages, the others wait in the queue, which tells clients.
    endpoint(streaming(restore, once, host.queue), api_name="restore", concurrency_limit=1)
    endpoint(spoken(degrade), api_name="degrade", concurrency_limit=2)
    endpoint(listing, api_name="list", concurrency_limit=None)


def spoken(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with a RedguiError in its words for the client; any other error is no client's business."""

    @wraps(call)
    def told(*given: Any) -> Any:
        try:
            return call(*given)
        except RedguiError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return told


def streaming(call: Callable[..., Iterator[Any]], once: Any, line: Line) -> Callable[..., AsyncIterator[Any]]:
    """The same for a generator, in its turn. `once`: the type of one yield, which gradio takes for the type of its outputs."""

    @wraps(call)
    async def told(*given: Any) -> AsyncIterator[Any]:
        try:
            place = line.join("call")
            try:
                while line.ahead(place):
                    await asyncio.sleep(LOOK)
                async with aclosing(threaded(call(*given))) as items:
                    async for item in items:
                        yield item
            finally:
                line.leave(place)
        except RedguiError as error:
            raise gr.Error(str(error), print_exception=False) from None

    told.__signature__ = inspect.signature(call).replace(return_annotation=once)  # type: ignore[attr-defined]
    return told


def noted(notes: tuple[str, ...]) -> dict[str, Any]:
    """Among the figures: what a person should know about how picture and mask were read."""
    return {"notes": list(notes)} if notes else {}


# ---- arguments, which may be any JSON


def asked(
    host: Host, picture: Any, mask: Any, prior: Prior, said: dict[str, Any], mask_keep: Any = False, kernel: Any = None
) -> api.Asked:
    """`redgui.api.settled` of a call, within the bounds of the page and of this host. Raises RedguiError."""
    for name, k in SETTING.items():
        if said.get(name) is not None and (name, said[name]) != ("sigma_y", AUTO):
            knobs.coerce(k, said[name], Settings.name)
    if not isinstance(said["given"], bool):
        raise CallError(f"given is true or false; got {str(said['given'])[:40]!r}.")
    if type(said["size"]) is int:
        host.limits.size(said["size"])
    if said.get("fit") == "native" and said["size"] is None:
        said = {**said, "size": host.limits.side}
    source = read(picture, host.limits, images.read)
    hole = None if mask is None else read(mask, host.limits, reading.read_hole)
    operator = said["operator"]
    if isinstance(operator, str):
        if said["given"] and operator.partition(":")[0].strip() != "given":
            operator = f"given:of={operator.replace(':', ',', 1)}"
        taps = None if kernel is None else content(kernel)
        said = {**said, "operator": files.told(operator, taps, paths=False)}
    return api.settled(source, hole, prior, said, mask_keep)


def read(picture: Any, limits: Limits, by: Callable[..., Any]) -> Any:
    """The picture or the mask of a call. Raises ImageError, KnobError or CallError."""
    source = content(picture)
    try:
        return by(source, most=limits.pixels)
    except images.ImageError:
        if isinstance(picture, dict):  # of no use to anybody
            discard(picture["path"])
        raise


def content(picture: Any) -> Path | bytes:
    """Where the bytes of a picture of a call are, or the bytes themselves."""
    if isinstance(picture, dict):
        return uploaded(picture.get("path"))
    if isinstance(picture, str) and picture.startswith("example:"):
        return api.resolve(picture)
    if not isinstance(picture, str) or not picture.startswith(DATA):
        raise CallError("a picture is example:NAME, an uploaded file (handle_file of gradio_client), or a data:image/ URL; "
                        f"got {str(picture)[:40]!r}. No path or address is opened by the server.")  # fmt: skip
    return data_of(picture)
