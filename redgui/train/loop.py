"""The training loop: one process or several under `accelerate launch`, a budget of steps or minutes."""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from redgui import knobs, randomness
from redgui.devices import device_of, generators, has_bf16, home, take_cuda
from redgui.priors import schedulers
from redgui.priors.network import first_time, has_table_of_times
from redgui.schedule import alpha_bar
from redgui.train import data, measure, report, state
from redgui.train.objective import Objective, drawn, network, shares, tensor, timesteps
from redgui.train.recipe import Recipe, TrainError, resumed

EVERY = 20  # steps between readings of the loss


def train(
    paths: list[str], out: str, *, resume: bool = False, device: str = "auto", with_report: bool = True, **given: Any
) -> dict[str, Any]:
    """Trains a prior from zips or folders into the folder `out` and returns its figures.

    Args:
        paths: zips or folders of pictures.
        resume: go on with the run in `out`; settings that are not given are its own.
        device: of `redgui.devices.device_of`; under `accelerate launch` each process has its own GPU.
        with_report: measure on all held-out pictures and draw the pictures of the report at the end.
        given: fields of Recipe.

    Raises:
        TrainError, KnobError, PriorError: see the message.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import broadcast_object_list

    folder = Path(out)
    if resume:
        saved = state.load(folder / "state")
        recipe = resumed(saved["recipe"], given)
    else:
        saved, recipe = None, knobs.build(Recipe, given)
        if (folder / "state" / "checkpoint.pt").exists():
            raise TrainError(f"{out} has a run already; add --resume to continue it, or choose another --out.")
    if not recipe.steps and not recipe.minutes:
        raise TrainError("a training run needs a budget; give --minutes or --steps.")

    where = device_of(device)
    bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and has_bf16(where))
    AcceleratorState._reset_state(reset_partial_state=False)  # a run before in this process may have had another precision
    if where.index is not None:
        take_cuda(where.index)
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no", cpu=where.type == "cpu")
    where, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    if recipe.batch % world:
        raise TrainError(f"--batch {recipe.batch} cannot be shared evenly by {world} processes.")

    net, schedule, size = network(recipe)
    parametrisation = schedulers.read(schedule, first_time(net.config))
    pictures, held = data.find(
        paths, size, scales=recipe.scales, memory=recipe.memory * 2**20, held_out=recipe.held_out, seed=recipe.seed
    )
    fingerprint = [pictures.fingerprint(), held.fingerprint()]
    if saved and saved["pictures"] != fingerprint:
        raise TrainError("the pictures are not those that the run began with; give the same data, or train into another --out.")
    look = held.some(recipe.heldout_pictures)
    objective = Objective(parametrisation, recipe.weighting, has_table_of_times(net))
    levels = shares(alpha_bar(parametrisation.sigmas), recipe.lognormal, recipe.least)

    net.to(where, memory_format=torch.channels_last)  # pyright: ignore  diffusers' wrapper hides the signature
    net.train()
    weights = list(net.parameters())
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=recipe.weight_decay)
    average = state.Average(net, recipe.ema)
    step, spent, curve, watched = 0, 0.0, [], []
    if saved:
        net.load_state_dict(saved["weights"])
        average.load(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent, curve, watched = saved["step"], saved["seconds"], saved["curve"], saved["watched"]
    shadow = report.copy_of(net)  # carries the averaged weights where they are looked at
    model = torch.compile(net) if recipe.compile else net
    model, stepper = accelerator.prepare(model, optimizer)

    def write() -> None:
        """The checkpoint, with a look at held-out pictures before."""
        if not accelerator.is_main_process:
            return
        shadow.load_state_dict(average.weights)
        if len(look) and (not watched or watched[-1][0] != step):
            watched.append([step, measure.losses(shadow, objective, look, where, bf16)])
        content = dict(weights=net.state_dict(), average=average.weights, optimizer=optimizer.state_dict(), step=step)
        kept = dict(recipe=knobs.values(recipe), pictures=fingerprint, seconds=spent, curve=curve, watched=watched)
        state.save(folder / "state", content | kept | dict(schedule=schedule, size=size))

    if not saved and len(look) and accelerator.is_main_process:  # where the curve starts
        watched.append([0, measure.losses(shadow, objective, look, where, bf16)])
    began = time.monotonic() - spent
    last_save, first = time.monotonic(), step
    running, counted = torch.zeros((), device=where), 0
    with (
        stopping() as stop,
        torch.random.fork_rng(generators(where)),
        ThreadPoolExecutor(1) as ahead,
        bar(recipe, step, spent, accelerator.is_main_process) as progress,
    ):
        drawn_by = partial(pictures.batch, turn=recipe.turn)
        batch_of = lambda k: ahead.submit(drawn_by, recipe.seed, k, recipe.batch, recipe.flip, rank, world)  # noqa: E731
        waiting = batch_of(step)
        while True:
            spent = time.monotonic() - began
            halt = bool(stop)
            if world > 1:  # one clock and one decision for all, or their weights would part
                spent = broadcast_object_list([spent])[0]
                halts = accelerator.reduce(torch.tensor(float(halt), device=where))
                halt = isinstance(halts, torch.Tensor) and halts.item() > 0
            share = step / recipe.steps if recipe.steps else spent / (60 * recipe.minutes)
            if halt or share >= 1:
                break
            rate = recipe.lr * min(1, (step + 1) / max(recipe.warmup, 1))
            rate *= recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = rate

            x0 = tensor(waiting.result(), where)
            waiting = batch_of(step + 1)
            generator = drawn(recipe.seed, step, rank, home(where))
            t = timesteps(recipe.batch, levels, generator, rank, world).to(where)
            noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(where)
            torch.manual_seed(randomness.stream_seed(recipe.seed, data.DROPOUT, step * 4096 + rank))
            loss = objective.losses(model, x0, t, noise).mean()
            accelerator.backward(loss)
            if recipe.clip:
                accelerator.clip_grad_norm_(weights, recipe.clip)
            stepper.step()
            stepper.zero_grad()
            step += 1
            average.update(net, step)
            running += loss.detach()
            counted += 1
            if step % EVERY == 0:
                curve.append([step, finite((running / counted).item(), step)])
                running.zero_()
                counted = 0
            progress(step, time.monotonic() - began, curve)
            if time.monotonic() - last_save > 60 * recipe.save_minutes:
                finite(loss.item(), step)
                spent = time.monotonic() - began
                write()
                last_save = time.monotonic()
        if counted:
            curve.append([step, finite((running / counted).item(), step)])
        if step > first:
            finite(loss.item(), step)  # the last step's, which may have been read with none since
        write()
    rate = (step - first) * recipe.batch / max(spent - (saved["seconds"] if saved else 0.0), 1e-9)
    figures = dict(
        steps=step,
        pictures=step * recipe.batch,
        seconds=round(spent, 1),
        pictures_per_second=round(rate, 2),
        loss=curve[-1][1] if curve else None,
        rmse=None,
        parameters=sum(p.numel() for p in weights),
        device=str(where),
        precision="bf16" if bf16 else "fp32",
        stopped="signal" if stop else "budget",
    )
    if accelerator.is_main_process:
        prior = report.export(folder, shadow, schedule, recipe, figures, len(pictures), paths, watched)
        if with_report and not stop:
            figures |= report.report(folder, prior, recipe, figures, pictures, held, paths, curve, watched)
    accelerator.wait_for_everyone()
    return figures


def finite(loss: float, step: int) -> float:
    """Returns the loss, or raises TrainError where it is not finite, before such weights replace a good checkpoint."""
    if not math.isfinite(loss):
        raise TrainError(
            f"the loss is {loss} at step {step}; resume from the last checkpoint or start again with a lower --lr."
        )
    return loss


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that is filled by the first SIGINT or SIGTERM; the second does what it did before."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: Any) -> None:
        caught.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def bar(recipe: Recipe, step: int, spent: float, shown: bool) -> Iterator[Any]:
    """A progress bar over the budget on stderr, written rarely where stderr is a file; yields its update."""
    from tqdm import tqdm

    total, unit, start = (recipe.steps, "step", step) if recipe.steps else (round(recipe.minutes * 60), "s", int(spent))
    live = sys.stderr.isatty()
    with tqdm(total=total, unit=unit, initial=start, file=sys.stderr, disable=not shown, leave=False, dynamic_ncols=live,
              mininterval=1 if live else 30, ncols=None if live else 100) as shown_bar:  # fmt: skip

        def update(step: int, seconds: float, curve: list[list[float]]) -> None:
            loss = f", loss {curve[-1][1]:.4f}" if curve else ""
            shown_bar.set_postfix_str(f"step {step}{loss}", refresh=False)
            shown_bar.update(min(step if recipe.steps else int(seconds), total) - shown_bar.n)

        yield update
