"""The cards above the Restore tab: a click sets everything to a task. It shows its finished result at once; a person's own
picture stays, and waits for Run."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import gradio as gr
import torch

from redgui import images, tasks
from redgui.operators import Inpaint
from redgui.runs.settings import Settings
from redgui.tasks import Task, TaskError
from redgui.ui.parts import components, views
from redgui.ui.parts.wiring import SILENT, Updates, Values, sent_text
from redgui.ui.restore.editing import Editing
from redgui.ui.restore.layout import RestoreLayout
from redgui.ui.restore.state import Restoring

FINISHED = "A finished example, made with these very settings. Press Run to watch it form."
OWN = "Set for your own picture. Press Run."
UNFINISHED = "Press Run: these settings have no finished result yet."


def task_strip() -> gr.HTML:
    """The cards of all tasks with a finished result, inside the block that is open."""
    return components.task_cards("tasks", value={"tasks": [_card(task) for task in tasks.TASKS if _stored(task)]})


def wire(strip: gr.HTML, editing: Editing) -> None:
    """Has a click on a card open its task."""

    def choose(values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        return open_task(editing, _named(event), values, request)

    form, layout = editing.form, editing.layout
    outputs = [*form.inputs, form.picture, layout.measurement, layout.taken, *layout.outcome]
    strip.select(choose, form.inputs, outputs, **SILENT)


def open_task(editing: Editing, task: Task | None, values: Values, request: gr.Request) -> Updates:
    """All controls at the task's setting, on the task's picture with its finished result, or on a person's own; a run in
    progress is ended."""
    form, layout = editing.form, editing.layout
    if task is None:
        return {layout.measurement: gr.skip()}
    session = form.host.sessions.of(request.session_hash)
    state = session.state(Restoring)
    updates = editing.cleared(session)
    if session.own:
        said = dict(operator=task.operator, sampler=task.sampler, sigma_y=task.sigma_y, seed=task.seed)
        settings = replace(Settings.read({**said, "prior": form.prior_name(values)}), fit=values[form.fit])
        picture: Any = gr.skip()
        updates[layout.view] = views.blank(state.number, "idle", f"{task.label}: {OWN}")
    else:
        settings = task.settings()
        session.source, picture = images.read(task.example), str(task.example)
        updates |= _finished(layout, task, state.number)

    # The presets belong to these settings already: nothing is to be tuned again when the controls report their change.
    H = settings.H
    state.tuned_for = (H.name, getattr(H, "kind", None), task.sigma_y, settings.prior)
    state.particles_given, state.prior = settings.particles, settings.prior
    updates |= form.tuned(*state.tuned_for) | form.show(settings)
    if session.own:
        updates[form.longest] = values[form.longest]
    now = {**values, **updates}
    updates |= {form.picture: picture, **editing.refitted(session, now)}
    updates[form.mask] = gr.update(value=updates[form.mask], visible=(H.name == Inpaint.name) or "hidden")
    return updates


def show_first(editing: Editing) -> None:
    """Has every new page begin with the finished result of the task that its controls stand at, if there is one."""
    host, first = editing.form.host, tasks.TASKS[0]
    if (host.prior_name, host.examples[0].stem) == (first.prior, first.picture):
        part: Any
        for part, value in _finished(editing.layout, first, 0).items():
            part.value = value  # in the page itself: it is there before anything is asked of the server


def _finished(layout: RestoreLayout, task: Task, number: int) -> Updates:
    """The live view with the restored picture, the result as after a run, and its film; none where the setting has changed
    since."""
    problem = task.problem()
    if not _stored(task):
        return {layout.view: views.blank(number, "idle", UNFINISHED, problem.start())}
    stored = tasks.finished(task)
    restored = images.to_tensor(images.read(stored.restored))
    live = views.blank(number, "idle", FINISHED, restored)
    befores = views.sources(problem, restored, lambda x: images.data_url(x, "webp"))
    cards = [card for card in views.figures(stored.figures, problem) if card["name"] != "seconds"]  # those of another machine
    result = {
        "run": number, "w": restored.shape[-1], "h": restored.shape[-2], "befores": befores,
        "after": {"name": "restored", "src": images.data_url(restored)}, "figures": cards, "gallery": [],
        "downloads": [{"name": f"{task.name}.png", "text": "Picture (PNG)"}],
    }  # fmt: skip
    return {layout.view: live, layout.result: result, layout.film: _film(task)}


@lru_cache(maxsize=len(tasks.TASKS))
def _film(task: Task) -> dict[str, Any]:
    """The value of the film strip."""
    stored = tasks.finished(task)
    sheet = images.read(stored.film)
    w, h = sheet.width // len(stored.frames), sheet.height
    tiles = [images.data_url(sheet.crop((k * w, 0, (k + 1) * w, h)), "webp", quality=70) for k in range(len(stored.frames))]
    frames = [dict(i=i, sigma=sigma, psnr=psnr, src=src) for (i, sigma, psnr), src in zip(stored.frames, tiles, strict=True)]
    return {"frames": frames, "w": w, "h": h}


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
    small = {key: images.data_url(_thumbnail(path), "webp", quality=70) for key, path in pictures.items()}
    return {"name": task.name, "label": task.label, "about": task.about, "note": note, **small}


def _thumbnail(path: Any) -> torch.Tensor:
    """A picture as small as a card shows it, a coarse one pixel by pixel."""
    picture = images.to_tensor(images.read(path))
    mode = "nearest" if picture.shape[-1] < 48 else "area"
    return torch.nn.functional.interpolate(picture, (48, 48), mode=mode)


def _named(event: gr.EventData) -> Task | None:
    """The task that an event of the browser is about."""
    name = sent_text(event, "name")
    return next((task for task in tasks.TASKS if task.name == name), None)
