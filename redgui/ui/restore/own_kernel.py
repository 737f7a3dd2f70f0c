"""A blur's kernel from a person's own file, on the page: what is uploaded is kept as text in the operator, and no file is."""

from typing import Any

import gradio as gr

from redgui.errors import RedguiError
from redgui.operators import kernels
from redgui.ui.host.uploads import discard, uploaded
from redgui.ui.parts.controls import Control
from redgui.ui.parts.wiring import WITH_TOASTS, Updates


def draw(parts: dict[str, Control]) -> dict[str, Control]:
    """A button that takes a file, in the block that is open, and the control of `taps`.

    Args:
        parts: the blur's other controls, whose kind becomes `file`.
    """
    button = gr.UploadButton("Kernel from a file", file_types=["image", ".npy"], size="sm", elem_id="blur-kernel-file")
    taps, kind = gr.Textbox("", visible="hidden", elem_id="blur-taps"), parts["kind"]

    def read(file: Any) -> Updates:
        path = (file or {}).get("path")
        try:
            text = kernels.encode(kernels.read(uploaded(path)))
        except RedguiError as error:
            gr.Warning(str(error), title="This kernel cannot be read")
            return {kind: gr.skip()}
        finally:
            discard(str(path))  # the text is all that is kept
        return {kind: "file", taps: text}

    button.upload(read, button, [kind, taps], **WITH_TOASTS)
    return {"taps": taps}
