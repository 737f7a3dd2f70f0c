"""Noise on the page: its kind and knobs beside sigma_y, and sigma_y measured in a picture that is already damaged."""

import io

import numpy as np
import pytest
from PIL import Image
from wire import Served, Wire

from redgui import bundled, images
from redgui.runs.settings import Settings
from redgui.ui.parts.controls import SETTING
from redgui.ui.restore.noise import MEASURED

PRIOR = "gaussian:size=64"


def noisy(sigma: float) -> bytes:
    face = np.asarray(images.read(images.folder(bundled.EXAMPLES)[0]), dtype=float)
    face = face + sigma * np.random.default_rng(0).standard_normal(face.shape)
    file = io.BytesIO()
    Image.fromarray(face.clip(0, 255).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def opened(home: Served, sigma: float, **values: object) -> Wire:
    """A page with an uploaded picture of 64x64 with noise of sigma grey levels."""
    page = home.page()
    page.values = {"prior": PRIOR, **values}
    path = page.upload("noisy.png", noisy(sigma)).json()[0]
    found = page.call("open_picture", picture={"path": path, "meta": {"_type": "gradio.FileData"}})
    assert found.error is None
    page.values |= {"uploaded": found.outputs}
    return page


def test_the_noise_of_a_damaged_picture_is_filled_in_and_said_to_be_measured(home: Served):
    page = opened(home, 25.0, operator="denoise")
    shown = page.call("measure", shows="sigma-y", given=True).outputs["sigma-y"]
    assert shown["info"] == MEASURED
    assert shown["value"] == pytest.approx(50 / 255, rel=0.1)
    # a person's own number stays, and is not said to be measured
    assert page.call("say", shows="sigma-y", given=True).outputs["sigma-y"]["info"] == SETTING["sigma_y"].help
    page.call("measure", shows="sigma-y", given=True)
    back = page.call("measure", shows="sigma-y", given=False, **{"sigma-y": shown["value"]}).outputs["sigma-y"]
    assert (back["value"], back["info"]) == (0.0, SETTING["sigma_y"].help)


def test_another_damaged_picture_is_measured_as_it_is_opened(home: Served):
    page = opened(home, 12.0, operator="denoise", given=True)
    assert page.values["uploaded"]["sigma-y"]["value"] == pytest.approx(24 / 255, rel=0.12)


def test_a_kind_of_noise_shows_its_knobs_and_its_measurement(home: Served):
    page = opened(home, 0.0, operator="denoise")
    plain = page.call("preview", shows="measurement").outputs["measurement"]
    few = page.call("choose", shows="measurement", noise="poisson", **{"poisson-photons": 5}).outputs
    assert few["knobs-poisson"]["elem_classes"] == ["rg-knobs"]
    assert "rg-off" in few["knobs-outliers"]["elem_classes"]

    def decibels(caption: str) -> float:
        return float(caption.split(" has ")[1].split(" dB")[0])

    assert decibels(plain["caption"]) > decibels(few["measurement"]["caption"]) + 20
    wrong = page.call("preview", shows="measurement", noise="poisson", operator="phase").outputs["measurement"]
    assert "Choose the noise gaussian" in wrong["caption"]
    wrong = page.call("preview", shows="measurement", noise="pink").outputs["measurement"]
    assert "there is no noise 'pink'" in wrong["caption"]


def test_a_damaged_picture_is_not_denoised_for_nothing(home: Served):
    page = opened(home, 25.0, operator="denoise", given=True)
    said = page.call("preview", shows="measurement", **{"sigma-y": 0}).outputs["measurement"]
    assert "it would come back as it is" in said["caption"]
    assert "it would come back as it is" in page.call("get_ready", shows="live", **{"sigma-y": 0}).outputs["live"]["message"]
    assert page.call("preview", shows="measurement", **{"sigma-y": 0.2}).outputs["measurement"]["src"]


@pytest.mark.parametrize("text", ["12.75/255", "6554/65535", "0.1", "1e-1"])
def test_noise_in_the_units_of_a_file_moves_to_the_slider_as_the_command_line_reads_it(home: Served, text):
    page = opened(home, 25.0, operator="denoise", given=True)
    found = page.call("take", shows="sigma-y", **{"sigma-y-part": text}).outputs
    assert found["sigma-y"]["value"] == Settings.read({"operator": "denoise", "sigma_y": text}).sigma_y
    assert found["sigma-y"]["info"] == SETTING["sigma_y"].help  # measured no more
    assert found["sigma-y-part"] == ""


@pytest.mark.parametrize("text", ["", "much", "12.75/", "1/0", "300/255", "-1/255", "nan/255", "1/2/3", "12,75/255"])
def test_noise_that_is_none_is_a_toast_and_the_slider_stays(home: Served, text):
    found = home.page().call("take", shows="sigma-y", **{"sigma-y-part": text})
    assert found.error is None
    assert len(found.toasts) == 1
    assert "sigma_y" in found.toasts[0]
    assert not isinstance(found.outputs.get("sigma-y"), (int, float))
    assert "value" not in (found.outputs.get("sigma-y") or {})
