"""The finished runs that empty tabs show: small, of what there is today, and their figures those of their pictures."""

import json
from urllib.request import urlopen

import pytest
from PIL import Image

from redgui import bundled, images, metrics
from redgui.samplers import build
from redgui.tasks import TASKS
from redgui.ui.parts.finished import example

VIEWS = ("race", "sweep", "ensemble")
MOST = 350_000  # bytes of one: it is sent when its tab is opened


@pytest.mark.parametrize("view", VIEWS)
def test_a_finished_run_is_small_and_of_what_there_is(view):
    found = example(view)
    assert (bundled.FINISHED / f"{view}.json").stat().st_size < MOST
    assert found.prior == TASKS[0].prior
    for key, spec in found.specs.items():
        assert found.sampler(key) == build(spec)
    assert found.sampler("nobody") is None
    assert '"data:image/' in json.dumps(found.value)
    assert "data:image/png" not in json.dumps(found.value), "pictures are WebP"
    moments = json.loads(found.value["moments"])
    assert len(moments) >= 8
    assert len({json.dumps(moment["frames"]) for moment in moments}) == len(moments)  # each is another one
    assert all(set(moment["frames"]) <= set(found.value["frames"]) for moment in moments)


def test_the_figures_are_those_of_the_pictures():
    found, truth = example("race"), TASKS[0].problem().x_true
    order, tiles = json.loads(found.value["order"]), found.value["tiles"]
    assert {one["key"] for one in order} == set(found.specs) == set(tiles)
    for key, tile in tiles.items():
        picture = images.to_tensor(Image.open(urlopen(found.value["frames"][key])))
        gain = float(metrics.psnr(picture, truth)) - json.loads(tile)["psnr"]
        assert gain > -0.01, "a picture that is given back has the pixels that were measured, and is only nearer"
        assert gain < 0.3 or key == "dps", "which does not keep them by itself"
