"""The cards above the Restore tab: a click sets everything to a task and shows its finished result at once."""

from typing import Any

import gradio as gr
import torch

from redgui import images, knobs, presets, tasks
from redgui.operators import Inpaint
from redgui.tasks import Task, TaskError
from redgui.ui.parts import components, views
from redgui.ui.parts.wiring import QUIET, Values, sent_text
from redgui.ui.restore.handlers import Actions
from redgui.ui.restore.outcome import idle

FINISHED = "A finished example, made with these very settings. Press Run to watch it form."
UNFINISHED = "Press Run: these settings have no finished result yet."


def task_strip() -> Any:
    """The cards of all tasks with a finished result, inside the block that is open."""
    return components.task_cards("tasks", value={"tasks": [_card(task) for task in tasks.TASKS if _stored(task)]})


def wire(strip: Any, actions: Actions, everything: set[Any]) -> None:
    """Has a click on a card open its task. `everything`: the components whose values make problem and sampler."""

    def choose(values: Values, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        return open_task(actions, _named(event), values, request)

    shown = [actions.picture, actions.measurement, actions.live, actions.result, actions.film]
    buttons = [actions.run, actions.stop, actions.resume]
    strip.select(choose, everything, [*everything, *shown, *buttons], **QUIET)


def open_task(actions: Actions, task: Task | None, values: Values, request: gr.Request) -> dict[Any, Any]:
    """All controls at the task's setting, and its finished result where a run's would be; a run in progress is ended."""
    if task is None:
        return {actions.measurement: gr.skip()}
    session = actions.sessions.of(request.session_hash)
    session.task = task.name  # first, so that a run in progress shows nothing more
    session.stop()
    session.run = None
    session.runs += 1
    session.source = images.read(task.example)

    H, sampler, particles = task.build_operator(), task.build_sampler(), task.particles()
    # The presets belong to these settings already: nothing is to be tuned again when the controls report their change.
    session.tuned_for = (H.name, getattr(H, "kind", None), task.sigma_y)
    session.particles_given = particles
    settings = {"sigma_y": task.sigma_y, "seed": task.seed, "particles": particles}
    updates = {
        actions.operator: H.name, actions.sampler: sampler.name, actions.prior: tasks.PRIOR, actions.given: False,
        actions.fit: "crop",
        **{part: getattr(H, name) for name, part in actions.operators[H.name].parts.items()},
        **{part: settings[name] for name, part in actions.setting.parts.items()},
        **_tuned(actions, H, task.sigma_y),
        **{part: getattr(sampler, name) for name, part in actions.samplers[sampler.name].parts.items()},
    }  # fmt: skip
    editor, measurement, ways = actions._refit(session, {**values, **updates})
    updates |= {actions.picture: str(task.example), actions.measurement: measurement, actions.fit: ways}
    updates[actions.mask] = gr.update(value=editor, visible=(H.name == Inpaint.name) or "hidden")
    _, _, run, stop, resume = idle()
    live, result = _finished(task, session.runs)
    return updates | {
        actions.live: live, actions.result: result, actions.film: None, actions.run: run, actions.stop: stop,
        actions.resume: resume,
    }  # fmt: skip


def _tuned(actions: Actions, H: Any, sigma_y: float) -> dict[Any, Any]:
    """The presets of all samplers, so that another one chosen next is tuned for the task, too."""
    found = {}
    for name, group in actions.samplers.items():
        defaults = {k.name: k.default for k in knobs.knobs(group.cls)}
        wanted = {**defaults, **presets.preset(name, H.name, getattr(H, "kind", None), sigma_y)}
        found |= {part: wanted[knob] for knob, part in group.parts.items()}
    return found


def _finished(task: Task, number: int) -> tuple[Any, Any]:
    """The live view with the restored picture, and the result as after a run; none where the setting has changed since."""
    problem = task.problem()
    if not _stored(task):
        return views.blank(number, "idle", UNFINISHED, problem.start()), None
    stored = tasks.finished(task)
    restored = images.to_tensor(images.read(stored.restored))
    live = views.blank(number, "idle", FINISHED, restored)
    before, png = views.sources(problem, restored), images.data_url(restored)
    cards = [card for card in views.figures(stored.figures, problem) if card["name"] != "seconds"]  # those of another machine
    result = {
        "run": number, "w": restored.shape[-1], "h": restored.shape[-2], "before": before[0], "befores": before,
        "after": {"name": "restored", "src": png}, "figures": cards, "gallery": [],
        "downloads": [{"name": f"{task.name}.png", "text": "Picture (PNG)", "href": png}],
    }  # fmt: skip
    return live, result


def _stored(task: Task) -> bool:
    """Whether there is a result of the setting as it is now."""
    try:
        return tasks.finished(task).setting == task.setting()
    except TaskError:
        return False


def _card(task: Task) -> dict[str, Any]:
    """What the strip shows of a task."""
    stored = tasks.finished(task)
    note = f"{stored.figures['psnr_measurement']:.1f} → {stored.figures['psnr']:.1f} dB with {task.build_sampler().label}."
    pictures = {"before": stored.measurement, "after": stored.restored}
    small = {key: images.data_url(_thumbnail(path), "jpeg", quality=82) for key, path in pictures.items()}
    return {"name": task.name, "label": task.label, "about": task.about, "note": note, **small}


def _thumbnail(path: Any) -> torch.Tensor:
    """A picture at the size of the restored one, pixel by pixel."""
    picture = images.to_tensor(images.read(path))
    return torch.nn.functional.interpolate(picture, (64, 64), mode="nearest") if picture.shape[-1] < 64 else picture


def _named(event: gr.EventData) -> Task | None:
    """The task that an event of the browser is about."""
    name = sent_text(event, "name")
    return next((task for task in tasks.TASKS if task.name == name), None)
