"""Knobs, records and checkpoints that cannot be, by every way in: one clear error, nothing lost, no code run."""

import base64
import copy
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad import BOMB, GOOD, JSON, QUICK, Code, one_line, png
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import Served, files_in

from redgui import api, knobs, presets, priors
from redgui.cli import main
from redgui.errors import RedguiError
from redgui.operators import OPERATORS, Denoise, Inpaint
from redgui.runs.record import Record
from redgui.samplers import SAMPLERS
from redgui.ui.history.entries import entry
from redgui.ui.history.tab import Kept
from redgui.ui.host.limits import HOME

# ---- knobs


EVERY = [(cls, k) for cls in (*SAMPLERS, *OPERATORS) for k in knobs.knobs(cls)]


@settings(QUICK, max_examples=150)
@given(st.sampled_from(EVERY), JSON)
def test_any_json_for_a_knob_is_within_its_bounds_or_refused_in_a_line(of, value):
    cls, k = of
    try:
        got = getattr(knobs.build(cls, {k.name: value}), k.name)
    except RedguiError as error:
        one_line(error)
        return
    assert isinstance(got, k.kind)
    assert not k.choices or got in k.choices
    assert k.kind not in (int, float) or k.lo is None or got >= k.lo
    assert k.kind not in (int, float) or k.hi is None or got <= k.hi


@QUICK
@given(st.sampled_from([*(cls.name for cls in (*SAMPLERS, *OPERATORS)), "given", ""]), st.text(max_size=30))
def test_any_text_for_a_spec_is_one_or_refused_in_a_line(name, text):
    for read in (api.parse_operator, lambda spec: presets.sampler_for(spec, Denoise(), 0.0)):
        try:
            read(f"{name}:{text}")
        except RedguiError as error:
            one_line(error)


def test_messages_stay_short_whatever_was_sent():
    for wrong in ("x" * 10**6, ["x" * 10**6], 10**300):
        for name in ("kind", "fraction", "seed", "text"):
            with pytest.raises(RedguiError) as caught:
                knobs.build(Inpaint, {name: wrong})
            one_line(caught.value)
    for spec in ("x" * 10**6, "inpaint:" + "x" * 10**6, "inpaint:" + "x" * 10**6 + "=1"):
        with pytest.raises(RedguiError) as caught:
            api.parse_operator(spec)
        one_line(caught.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"operator": "nothing"}, "there is no degradation 'nothing'"),
        ({"operator": {"a": 1}}, "Degradation is a dropdown"),
        ({"operator": None}, "there is no degradation 'None'"),
        ({"seed": float("nan")}, "seed is a finite number"),
        ({"seed": -1}, "seed lies in"),
        ({"sigma-y": "much"}, "sigma_y is a number, or a part such as 12.75/255; got 'much'"),
        ({"sigma-y": [1]}, "slider of the page"),
        ({"sigma-y": 1e9}, "sigma_y lies in 0 to 1"),
        ({"fit": "zoom"}, "a picture is fitted by"),
        ({"given": "yes"}, "checkbox of the page"),
        ({"prior": "x" * 9000}, "there is no prior"),  # once "File name too long"
        ({"prior": 7}, "there is no prior '7'"),
        ({"inpaint-fraction": True}, "slider of the page"),
        ({"inpaint-kind": "hole"}, "kind is one of"),
    ],
    ids=str,
)
def test_on_the_page_a_value_that_cannot_be_is_one_error_and_the_page_goes_on(home: Served, changed, told):
    page = home.page()
    for handler, where in (("get_ready", "live"), ("preview", "measurement")):
        found = page.call(handler, shows=where, **changed)
        shown = found.outputs.get(where) or {}
        assert told in one_line(found.error or shown.get("message") or shown.get("caption")), handler
    good = page.call("preview", shows="measurement")
    assert good.error is None
    assert good.outputs["measurement"]["src"]


@settings(QUICK, max_examples=8)
@given(st.sampled_from(["operator", "fit", "seed", "sampler", "inpaint-kind", "inpaint-seed", "prior", "mask", "given"]), JSON)
def test_any_json_for_a_control_is_an_outcome_or_an_error_in_a_line(home: Served, name, value):
    page = home.page()
    for handler, where in (("get_ready", "live"), ("choose_sampler", "")):
        found = page.call(handler, shows=where, **{name: value})
        if found.error is not None:
            one_line(found.error)


def test_a_run_that_cannot_be_leaves_the_run_before_it_to_be_gone_on_with(home: Served):
    page = home.page()
    page.values = {"reddiff-steps": 3}
    assert page.call("start", shows="live").outputs["live"]["status"] == "done"
    for steps in (0, float("nan"), "x", 10**9, None):
        wrong = page.call("start", shows="live", **{"reddiff-steps": steps})
        assert "steps" in one_line(wrong.error or wrong.outputs["live"]["message"])
    for more in (-5, float("nan"), "many", True, [1]):
        wrong = page.call("go_on", shows="live", more=more)
        assert one_line(wrong.error or wrong.outputs["live"]["message"])
    again = page.call("go_on", shows="live", more=10).outputs["live"]
    assert (again["status"], again["i"]) == ("done", 13)


# ---- records


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [*([at] if at else []), *(place for key, part in inner for place in places(part, (*at, key)))]


def put(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The JSON value with another one at a path."""
    changed = copy.deepcopy(body)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


@settings(QUICK, max_examples=80)
@given(st.sampled_from(places(GOOD)), JSON)
def test_any_json_anywhere_in_a_record_is_read_or_refused_in_a_line(at, value):
    try:
        found = HOME.record(Record.from_json(json.dumps(put(GOOD, at, value))))
        json.dumps(entry(found, found.problem(), None))
    except RedguiError as error:
        one_line(error)


BAD_RECORDS = [
    ("{", "not valid JSON"),
    (json.dumps(GOOD | {"version": 2}), "is of version 2; this redgui reads version 1. Update redgui."),
    (json.dumps(GOOD | {"colour": 1}), "a field 'colour' that this redgui does not know"),
    (json.dumps(GOOD | {"image": base64.b64encode(BOMB).decode()}), "400 million pixels"),
    (json.dumps(GOOD | {"image": base64.b64encode(png(9, 9)).decode()}), "cannot be read"),
    (json.dumps(GOOD | {"changes": [{"after": 0, "knobs": {"lr": "NaN"}}]}), "lr"),
]


@pytest.mark.parametrize(("text", "told"), BAD_RECORDS, ids=lambda part: part[:20])
def test_a_record_that_cannot_be_is_one_error_by_every_way_and_changes_nothing(home: Served, tmp_path, capsys, text, told):
    (tmp_path / "record.json").write_text(text)
    assert main(["replay", str(tmp_path / "record.json"), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert told in err
    page = home.page()
    before = page.call("preview").outputs["measurement"]
    assert told in one_line(page.call("inspect", event={"record": text}).outputs["history"]["error"])
    opened = page.call("open_record", event={"record": text})
    assert told in one_line(opened.error or "")
    assert opened.outputs == {}
    assert home.host.sessions.of(page.key).state(Kept).opened is None
    assert page.call("preview").outputs["measurement"] == before


# ---- checkpoints


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network in diffusers format."""
    folder = tmp_path_factory.mktemp("prior")
    UNet2DModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, down_block_types=("DownBlock2D",), norm_num_groups=4,
        up_block_types=("UpBlock2D",), add_attention=False,
    ).save_pretrained(folder / "unet")  # fmt: skip
    DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder


def copied(prior: Path, to: Path) -> Path:
    for file in files_in(prior):
        place = to / file.relative_to(prior)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    return to


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"conv_in.weight": Code(folder / "trace")}, folder / "unet/diffusion_pytorch_model.bin")


def pickled_as_safetensors(folder: Path) -> None:
    torch.save({"conv_in.weight": Code(folder / "trace")}, folder / WEIGHTS)


def cut_off(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:3000])


def huge_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 2**62) + b"{}")


def other_shapes(folder: Path) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"block_out_channels": [16]}))


@pytest.mark.parametrize("spoil", [pickled, pickled_as_safetensors, cut_off, huge_header, other_shapes])
def test_weights_that_cannot_be_are_one_error_by_every_way_and_run_no_code(home: Served, prior, tmp_path, capsys, spoil):
    folder = copied(prior, tmp_path / "prior")
    spoil(folder)
    assert main(["restore", "example:face-06", "--prior", str(folder), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "cannot be read" in one_line(err.rstrip("\n"))
    page = home.page()
    chosen = page.call("choose_prior", prior=str(folder))
    assert "cannot be read" in one_line(chosen.toasts[0])
    assert chosen.outputs["prior"] == "gaussian:size=16"  # the page is back at what works
    data = ["example:face-06", "blur", 0.0, 0, str(folder), None, False, "crop", None, False, False, None, "gaussian"]
    answer = page.call("degrade", data=data)
    assert "cannot be read" in one_line(answer.error or "")
    assert not (folder / "trace").exists()


@settings(QUICK, max_examples=25)
@given(st.data(), JSON)
def test_any_json_anywhere_in_a_configuration_is_a_prior_or_an_error_in_a_line(prior, data, value):
    file = data.draw(st.sampled_from(["unet/config.json", "scheduler/scheduler_config.json"]))
    good = (prior / file).read_text()
    key = data.draw(st.sampled_from(sorted(json.loads(good))))
    (prior / file).write_text(json.dumps(json.loads(good) | {key: value}))
    try:
        priors._load.cache_clear()
        loaded = priors.load(str(prior), "cpu", "fp32")
        api.restore(np.full((16, 20, 3), 0.3), prior=loaded, operator="denoise", sampler="reddiff:steps=1", device="cpu")
    except RedguiError as error:
        one_line(error)
    finally:
        (prior / file).write_text(good)
