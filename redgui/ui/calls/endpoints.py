"""The named endpoints of the app for `gradio_client` and, with `launch(mcp_server=True)`, for MCP: see docs/api.md.

    /list       what there is: samplers, operators and priors with their knobs
    /degrade    the measurement of a picture
    /restore    the restoration, streamed as it forms

They take the specs of the command line and give what `redgui.api` gives. A picture comes as `example:NAME`, as a file that the
client uploads (`handle_file`), or as a `data:` URL; the server opens no path of its own and fetches no address.
"""

import asyncio
import base64
import binascii
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.events import api as endpoint

from redgui import api, fitting, images, knobs, metrics
from redgui.errors import RedguiError
from redgui.runs import zero_gpu
from redgui.runs.problem import Problem
from redgui.runs.watch import compute
from redgui.ui.calls.restoration import Restoration, clean
from redgui.ui.host.host import Host
from redgui.ui.host.limits import Limits
from redgui.ui.host.queue import LOOK, Line, threaded
from redgui.ui.host.uploads import CallError, discard, uploaded, written
from redgui.ui.parts.controls import Setting

Picture = str | dict[str, Any]  # example:NAME or a data: URL; or a file, as gradio writes it (FileData)
Fit = Literal["crop", "pad", "stretch", "native"]
LONGEST = 56_000_000  # characters of a data: URL: the 40 MB of an upload


def add_endpoints(host: Host) -> None:
    """Adds the endpoints to the block that is open."""
    limits = host.limits

    def restore(
        picture: Picture,
        operator: str = "inpaint",
        sampler: str = "reddiff",
        sigma_y: float = 0.0,
        seed: int = 0,
        particles: int | None = None,
        prior: str | None = None,
        mask: Picture | None = None,
        given: bool = False,
        fit: Fit = "crop",
        size: int | None = None,
        as_file: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Degrades a picture and restores it with a diffusion model, or restores one that is already damaged.

        Yields the picture so far, its figures and null a few times a second; at last the result, its figures and the record
        that reproduces it. A picture that is not of the prior's size is given back at its own size.

        Args:
            picture: example:NAME, an uploaded file, or a data: URL.
            operator: the degradation, NAME:knob=value,... as /list has them, such as superres:factor=4.
            sampler: the method, NAME:knob=value,..., such as reddiff:steps=100; other knobs come from the presets.
            sigma_y: standard deviation of the noise, the picture spanning -1 to 1.
            seed: of the noise and of the sampler.
            particles: runs in one batch; null: as many as suit sampler and operator.
            prior: the diffusion model; null: the one that the app was started with.
            mask: a picture that is white where it is to be filled in; makes the operator an inpainting.
            given: the picture is itself the measurement; there is no original.
            fit: how a picture of another shape is brought to what the prior takes.
            size: longest side of the fit native; null: 256.
            as_file: the result as a PNG file that the server keeps for an hour at most, instead of a data: URL.
        """
        setting = settled(sigma_y, seed, particles)
        wanted = dict(
            image=read(picture, limits), mask=None if mask is None else mask_of(mask, limits),
            operator=degradation(operator, given),
            sampler=text(sampler, "sampler"), sigma_y=setting.sigma_y, seed=setting.seed, fit=text(fit, "fit"),
            size=limited(size, limits), particles=None if particles is None else setting.particles,
        )  # fmt: skip
        there = zero_gpu.device_there(host.device, host.precision)
        job = Restoration(wanted, host.prior_named(prior).name, *there, limits)
        for png, figures, record in zero_gpu.stream(job):
            yield (written(png) if as_file and record else images.file_url(png)), figures, record

    def degrade(
        picture: Picture,
        operator: str = "inpaint",
        sigma_y: float = 0.0,
        seed: int = 0,
        prior: str | None = None,
        mask: Picture | None = None,
        given: bool = False,
        fit: Fit = "crop",
        size: int | None = None,
        as_file: bool = False,
    ) -> tuple[Picture, dict[str, Any]]:
        """The measurement of a picture as a picture, and the PSNR of its pseudo-inverse.

        Args:
            picture: example:NAME, an uploaded file, or a data: URL.
            operator: the degradation, NAME:knob=value,... as /list has them.
            sigma_y: standard deviation of the noise, the picture spanning -1 to 1.
            seed: of the noise.
            prior: the diffusion model, which says how large pictures are; null: the one that the app was started with.
            mask: a picture that is white where it is to be filled in; makes the operator an inpainting.
            given: the picture is itself the measurement.
            fit: how a picture of another shape is brought to what the prior takes.
            size: longest side of the fit native; null: 256.
            as_file: the measurement as a PNG file that the server keeps for an hour at most, instead of a data: URL.
        """
        setting, source, how = settled(sigma_y, seed, None), read(picture, limits), text(fit, "fit")
        loaded, painted, longest = host.prior_named(prior), None, limited(size, limits)
        if mask is not None:
            painted, _ = fitting.read_mask(mask_of(mask, limits), fitting.for_prior(source, loaded, how, longest))
        H, is_given = api.parse_operator(degradation(operator, given), painted)
        fitted = fitting.for_prior(source, loaded, how, longest, H, is_given)
        H.check_size(*fitted.solved)
        pose = Problem.given if is_given else Problem.simulate
        problem = compute(lambda: pose(images.to_tensor(fitted.apply(source)), H, setting.sigma_y, setting.seed))
        found, truth = images.encode(H.picture(problem.y)), problem.x_true
        psnr = None if truth is None else float(metrics.psnr(problem.aligned(problem.start()), truth))
        figures = {"psnr_measurement": psnr, "operator": knobs.spec(H), "sigma_y": problem.sigma_y, "seed": problem.seed}
        return (written(found) if as_file else images.file_url(found)), clean(figures | {"prior": loaded.name})

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


# ---- arguments, which may be any JSON


def settled(sigma_y: Any, seed: Any, particles: Any) -> Setting:
    """Noise, seed and particles within the bounds that they have on the page. Raises KnobError."""
    return knobs.build(Setting, {"sigma_y": sigma_y, "seed": seed, "particles": 1 if particles is None else particles})


def text(value: Any, name: str) -> str:
    """A text, or a CallError."""
    if not isinstance(value, str):
        raise CallError(f"{name} is a text; got {str(value)[:40]!r}.")
    return value


def whole(value: Any) -> int | None:
    """A whole number or None."""
    if value is None or type(value) is int:
        return value
    raise CallError(f"size is a whole number or null; got {str(value)[:40]!r}.")


def degradation(operator: Any, given: Any) -> str:
    """The operator's spec, as `given:of=...` where the picture is already damaged."""
    spec = text(operator, "operator")
    if not isinstance(given, bool):
        raise CallError(f"given is true or false; got {str(given)[:40]!r}.")
    name, colon, settings = spec.partition(":")
    return f"given:of={name}{',' if colon else ''}{settings}" if given and name.strip() != "given" else spec


def limited(size: Any, limits: Limits) -> int | None:
    """A longest side within this host's, or None. Raises CallError or LimitError."""
    return None if whole(size) is None else limits.size(size)


def read(picture: Any, limits: Limits) -> Any:
    """The picture of a call, upright RGB. Raises ImageError, KnobError or CallError."""
    source = content(picture)
    try:
        return images.read(source, limits.pixels)
    except images.ImageError:
        if isinstance(picture, dict):  # of no use to anybody
            discard(picture["path"])
        raise


def mask_of(mask: Any, limits: Limits) -> Path | bytes:
    """Where the bytes of a mask of a call are, or the bytes themselves, once they are known to be a picture. As `read`."""
    read(mask, limits)
    return content(mask)


def content(picture: Any) -> Path | bytes:
    """Where the bytes of a picture of a call are, or the bytes themselves."""
    if isinstance(picture, dict):
        return uploaded(picture.get("path"))
    if isinstance(picture, str) and picture.startswith("example:"):
        return api.resolve(picture)
    if not isinstance(picture, str) or not picture.startswith("data:image/"):
        raise CallError("a picture is example:NAME, an uploaded file (handle_file of gradio_client), or a data:image/ URL; "
                        f"got {str(picture)[:40]!r}. No path or address is opened by the server.")  # fmt: skip
    head, comma, body = picture.partition(",")
    if not comma or not head.endswith(";base64") or len(body) > LONGEST:
        raise CallError(f"a data: URL is data:image/png;base64,... of at most {LONGEST} characters; got {picture[:40]!r}.")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise CallError(f"the data: URL is not valid base64: {picture[:40]!r}.") from None
