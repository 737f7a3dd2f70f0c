"""The app: how it is built from its tabs, and how it is served."""

import sys
import threading
from functools import partial
from typing import Any

from redgui.runs import zero_gpu  # first: where GPUs are lent, its package must be imported before CUDA is touched

import gradio as gr  # isort: skip
import torch  # isort: skip
from gradio.themes import Base, Default  # isort: skip
from starlette.middleware import Middleware  # isort: skip

from redgui import bundled, devices, plugins
from redgui.runs import cores, engine
from redgui.runs.batches import Question, denoised
from redgui.ui.calls.endpoints import add_endpoints
from redgui.ui.compare.tab import compare_tab
from redgui.ui.history.tab import history_tab
from redgui.ui.host.feed import FeedRoute
from redgui.ui.host.gate import Gate, for_here_alone, guard
from redgui.ui.host.host import Host
from redgui.ui.learn.tab import learn_tab
from redgui.ui.particles.tab import particles_tab
from redgui.ui.parts.components import HEAD, STYLES, place_teller, run_keeper, shortcut_keys
from redgui.ui.parts.wiring import SILENT
from redgui.ui.restore import telling
from redgui.ui.restore.tab import restore_tab
from redgui.ui.sweep.tab import sweep_tab

HEADER = """<div class="rg-header"><h1>redgui</h1>
<p>Watch diffusion models undo damage<span>: pick a task or paint, press Run, tune while it runs</span>.
<a href="https://arxiv.org/abs/2305.04391" target="_blank" rel="noopener">RED-diff, arXiv 2305.04391</a></p></div>"""

NOT_LOCAL = """redgui: other machines can reach this address. Who does can name folders of this one as priors, without limits.
Start it with --public where strangers come."""


def build(
    prior: str = "faces-64", device: str = "auto", precision: str = "auto", public: bool = False, exact: bool = False
) -> gr.Blocks:
    """The page with its tabs.

    Args:
        prior: the diffusion model that is chosen at the start.
        public: for a host that strangers use: only listed priors, and the limits of `redgui.ui.host.limits.PUBLIC`.
        exact: no run shares a call of the network with another, so that its bits are those of a plain loop.

    Raises:
        PluginError: files of plugins on a public host. Packages that its owner installed are part of it.
    """
    if public and plugins.files():
        raise plugins.PluginError("a public host takes no --plugin; install it there as a package, or leave --public out.")
    devices.checked(device)
    engine.together = 1 if exact else None
    cores.share_out(left=0 if public else 1)  # strangers bring the machines that their browsers run on
    host = Host(prior, *zero_gpu.device_here(device, precision), public)
    with gr.Blocks(title="redgui", fill_width=True, analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        gr.HTML(HEADER, padding=False)
        shortcut_keys()
        keeper = run_keeper("keeper", elem_classes="rg-off")
        place = place_teller("place", elem_classes="rg-off")
        with gr.Tabs() as tabs:
            restore = restore_tab(host, tabs, place)
            compare_tab(restore.page)
            sweep_tab(restore.page)
            particles_tab(restore.page)
            learn = learn_tab(restore.page)
            history_tab(restore, keeper, learn)
        form, layout = restore.form, restore.layout

        def greet(request: gr.Request) -> dict[str, Any]:
            return {"loaded": True, "page": request.session_hash}

        outputs = [*layout.refitted, layout.weights]
        loaded = demo.load(restore.editing.load_page, form.inputs, outputs, **SILENT)
        told = loaded.then(partial(telling.follow, layout), {form.prior}, layout.told.outputs, **SILENT)
        told.then(greet, None, keeper, **SILENT)  # only then may a link or a run from before change the page

        def leave(request: gr.Request) -> None:
            host.sessions.close(request.session_hash)

        demo.unload(leave)
        host.sessions.forget = partial(forget, demo)
        host.sessions.own = {path for block in demo.blocks.values() for path in block.keep_in_cache}
        add_endpoints(host)
    host.limits.show(demo.blocks.values())
    guard(demo.fns.values(), tell=not public)
    # Nothing goes past the queue; runs pass it at once, and wait in a line of our own.
    demo.queue(max_size=host.limits.queue, default_concurrency_limit=8, api_open=False)
    served: Any = demo
    served.host, served.form, served.restore = host, form, restore  # for those who look after the app: tests and the warm-up
    return demo


def launch(demo: Any, **options: Any) -> Any:
    """Serves the app on the loopback address (or GRADIO_SERVER_NAME) and warms the prior up behind it."""
    limits, public = demo.host.limits, demo.host.public
    local = not public and for_here_alone(options)
    if not (public or local):
        print(NOT_LOCAL, file=sys.stderr)
    bounds = dict(local=local, body=limits.body_mb * 2**20, uploads=limits.uploads_mb * 2**20)
    defaults = dict(
        share=False,
        strict_cors=True,
        app_kwargs={"middleware": [Middleware(Gate, **bounds), Middleware(FeedRoute, feeds=demo.host.feeds)]},
        theme=theme(),
        css_paths=list(STYLES),
        head=HEAD,
        footer_links=["api", "settings"],
        allowed_paths=[str(bundled.EXAMPLES)],  # where the app is started elsewhere, they are not below its folder
        run_history=False,
        enable_monitoring=False,
        max_file_size=f"{limits.file_mb}mb",
        state_session_capacity=256,  # pages of which gradio keeps what they show; one more only loses what nobody reads
        max_threads=limits.queue + 40,  # an event that waits in line needs none, but counts as one
        show_error=not public,
        quiet=True,
        _frontend=False,  # or Gradio asks for its page, for three seconds, and gives up on a machine whose cores all compute
    )
    held = options.get("prevent_thread_lock", False) or hasattr(sys, "ps1")  # as Gradio has it
    served = demo.launch(**{**defaults, **options, "prevent_thread_lock": True})
    threading.Thread(target=warm_up, args=(demo.host,), daemon=True, name="warm-up").start()
    if not held:
        demo.block_thread()
    return served


def theme() -> Base:
    """Gradio's default in the app's colours, with the fonts that a machine has: nothing is fetched."""
    sans = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Consolas", "monospace"]
    return Default(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono).set(
        block_label_text_weight="600", block_title_text_weight="600", block_info_text_size="12px",
        # a shade darker than the default, which is too pale to be read on white
        body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500", block_title_text_color="*neutral_700",
        block_label_text_color="*neutral_600",
        # and one that white text can be read on
        button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
        # and boxes that can be seen
        checkbox_border_color="*neutral_400", checkbox_border_color_dark="*neutral_500",
        link_text_color_dark="*secondary_300", link_text_color_visited_dark="*secondary_300",
        link_text_color_active_dark="*secondary_300", link_text_color_hover_dark="*secondary_200",
    )  # fmt: skip


def forget(demo: gr.Blocks, key: str) -> None:
    """Has gradio forget a page, too: it keeps what a page has shown, a megabyte with pictures, up to a count of pages."""
    states = getattr(demo, "state_holder", None)  # there once it is served
    if states is not None:
        states.session_data.pop(key, None)
        states.time_last_used.pop(key, None)


def warm_up(host: Host) -> None:
    """Loads the prior and calls it once, so that the first click does not pay for it."""
    prior = host.prior_named(None)
    question = Question(prior, torch.zeros(1, *prior.shape, device=prior.device), 1.0)
    if zero_gpu.on_zero_gpu():
        denoised(question)  # no fork may have an engine
    else:
        engine.engine().warm(question)
