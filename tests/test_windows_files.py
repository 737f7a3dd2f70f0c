"""Pictures with small holes from a file to a file: windows are solved, all else stays to the bit, records bring them back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from made import scratched
from PIL import Image
from test_tiled import photograph

from redgui import api, fitting, images, priors, windows
from redgui.operators.inpaint import Inpaint, of_mask
from redgui.priors import Counted
from redgui.priors.base import Prior
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.rounds import Job, played
from redgui.runs.shared import Shared
from redgui.runs.stream import measured, solve
from redgui.samplers import DPS, RedDiff


@pytest.fixture(scope="module")
def photos() -> Prior:
    return priors.load("photos", "cpu", "fp32")


@pytest.fixture
def damaged(tmp_path, monkeypatch) -> dict[str, Any]:
    """A picture with two scratches as files; a picture of this size counts as large."""
    monkeypatch.setattr(windows, "SHOWN", 300 * 300)
    mask = scratched(301, 403, (150, 100, 190, 130), (160, 180, 200, 190))
    image = images.to_pil(photograph(301, 403))
    Image.composite(Image.new("RGB", image.size, "white"), image, Image.fromarray(mask)).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return dict(image=tmp_path / "photo.png", mask=tmp_path / "mask.png", operator="given:of=inpaint")


def test_of_a_large_picture_the_part_with_the_holes_is_worked_on_and_the_rest_stays_to_the_bit(damaged, photos):
    result = api.restore(**damaged, prior=photos, sampler="reddiff:steps=2")
    h, w = result.restored.shape[-2:]
    assert h * w < 0.5 * 301 * 403
    assert result.figures["size"] == f"{w}x{h}, a part of 403x301"
    assert result.full is not None
    before, after = (np.asarray(Image.open(damaged["image"])), np.asarray(result.full))
    hole = np.asarray(Image.open(damaged["mask"]))
    assert np.array_equal(after[~hole], before[~hole])
    assert (after[hole] != before[hole]).any(-1).mean() > 0.9
    again, same = api.replay(Record.from_json(result.record.to_json()))
    assert same
    assert torch.equal(again.restored, result.restored)


def test_a_part_of_a_picture_that_was_made_smaller_is_that_of_the_whole(damaged):
    image = Image.open(damaged["image"]).resize((1007, 751))
    fitted = fitting.plan((751, 1007), (64, 64), "native", multiple=8, longest=600)
    hole = scratched(*fitted.size, (150, 100, 190, 130), (160, 180, 200, 190))
    part_of, H = windows.closer(fitted, of_mask(hole), 8)
    (h, w), whole = part_of.size, np.asarray(fitted.apply(image)).astype(int)
    assert h * w < 0.5 * hole.size
    top, left = next(
        (top, left) for top in range(0, 448, 8) for left in range(0, 600, 8)
        if np.array_equal(hole[top : top + h, left : left + w], H.hole(h, w))
    )  # fmt: skip
    assert np.abs(np.asarray(part_of.apply(image)).astype(int) - whole[top : top + h, left : left + w]).max() <= 8
    assert part_of.working == f"{w}x{h}, resized from {round(w * 1007 / 600)}x{round(h * 1007 / 600)} of 1007x751"


def test_a_part_at_the_border_has_what_is_mirrored_there(damaged, photos):
    mask = scratched(301, 403, (0, 290, 40, 300), width=6)
    Image.fromarray(mask).save(damaged["mask"])
    result = api.restore(**damaged, prior=photos, sampler="reddiff:steps=1")
    before, after = (np.asarray(Image.open(damaged["image"])), np.asarray(result.full))
    assert np.array_equal(after[~mask], before[~mask])
    h, w = result.restored.shape[-2:]
    shown, fitted = images.to_uint8(result.picture), fitting.for_prior(Image.open(damaged["image"]), photos)
    whole = np.asarray(fitted.apply(Image.open(damaged["image"])))  # 304x408: three rows and five columns are mirrored
    assert whole.shape[:2] == (304, 408)
    assert np.array_equal(shown, whole[304 - h :, :w])


def test_records_from_before_there_were_windows_are_replayed_as_they_were_made(damaged, photos):
    result = api.restore(**damaged, prior=photos, sampler="reddiff:steps=1")
    text = result.record.to_json()
    assert '"area": "holes"' in text
    older = Record.from_json(text.replace(',\n   "area": "holes"', ""))
    H = older.settings.H
    assert isinstance(H, Inpaint)
    assert H.area == "whole"


def test_calls_of_windows_that_were_shared_are_in_the_record_and_bring_its_bits_back(photos):
    """Two runs with windows of one shape share their calls, as do a whole picture's."""
    x = photograph(160, 240)
    problems = [Problem.simulate(x, of_mask(scratched(160, 240, line))) for line in ((20, 20, 30, 30), (180, 120, 190, 130))]
    shared = [Shared(photos) for _ in problems]
    last: dict[int, Any] = {}

    def turns(k: int) -> Iterator[None]:
        for step in solve(problems[k], shared[k], RedDiff(steps=2, sigma_start=1.0)):
            last[k] = step
            yield

    for _ in played([Job(turns(0)), Job(turns(1))], 8):
        pass
    for k, each in enumerate(shared):
        assert each.together() == ((2, 2),)
        *_, again = solve(problems[k], Shared(photos, each.together()), RedDiff(steps=2, sigma_start=1.0))
        assert torch.equal(again.x0_hat, last[k].x0_hat)


def test_a_gradient_through_a_network_goes_through_each_window(photos):
    problem = Problem.simulate(photograph(160, 240), of_mask(scratched(160, 240, (20, 20, 30, 30), (180, 120, 190, 130))))
    counted = Counted(photos)
    *_, last = measured(solve(problem, counted, DPS(steps=2)), problem, counted)
    assert (last.nfe, last.backward) == (2, 2)
