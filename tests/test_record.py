"""Records: what they say comes back unchanged, their replay has the same pixels, and bad ones say what is wrong."""

import dataclasses
import json
from collections.abc import Callable

import pytest
import torch

from redgui import api, images
from redgui.errors import RedguiError
from redgui.knobs import KnobError
from redgui.operators import build
from redgui.priors import GaussianPrior
from redgui.runs import cores
from redgui.runs.problem import Problem
from redgui.runs.record import MAX_BYTES, Change, Record, RecordError, Tuner, pixels_sha256
from redgui.runs.stream import Measured, Stop, controlled, measured, solve
from redgui.samplers import RedDiff, Sampler

PRIOR = GaussianPrior(size=16, std=0.4)
SAMPLER = RedDiff(steps=8, lr=1 / 30, lam=0.1 + 0.2)
Control = Callable[[Measured], Sampler | None]


def made(operator: str = "inpaint", sampler: Sampler = SAMPLER, changes: dict[int, dict] | None = None, stop: int | None = None,
         particles: int = 1, given: bool = False, sigma_y: float = 0.1) -> tuple[Record, list[Measured]]:  # fmt: skip
    """A run, as an app would make it, and its record: `changes` after steps, stopped after step `stop`."""
    picture = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(2))))
    H = build(operator)
    problem = (Problem.given if given else Problem.simulate)(picture, H, sigma_y, 11)
    now = sampler

    def control(step: Measured) -> Sampler | None:
        nonlocal now
        if step.i == stop:
            raise Stop
        if step.i in (changes or {}):
            now = dataclasses.replace(now, **changes[step.i])
            return now
        return None

    steps = list(controlled(measured(solve(problem, PRIOR, sampler, particles), problem), control))
    noted = tuple(Change(after, knobs) for after, knobs in (changes or {}).items())
    return Record.of(picture, problem, PRIOR, sampler, steps[-1], noted), steps


def replayed(record: Record) -> list[Measured]:
    record = Record.from_json(record.to_json())
    return list(record.replay(GaussianPrior(size=16, std=0.4)))


def test_json_and_back_is_the_same_record():
    record, _ = made(changes={2: {"lr": 1 / 3}}, particles=2)
    assert Record.from_json(record.to_json()) == record
    body = json.loads(record.to_json())
    assert (body["format"], body["version"]) == ("redgui-record", 1)
    assert body["sampler"]["knobs"]["lam"] == 0.1 + 0.2  # every digit
    assert body["prior"] == "gaussian:size=16,std=0.4"
    assert set(body["made_with"]) == {"redgui", "torch", "python"}
    assert record.settings.sampler == SAMPLER
    assert build("inpaint") == record.settings.H


def test_a_record_from_before_fits_and_threads_is_read():
    body = json.loads(made()[0].to_json())
    assert body.pop("fit") == "crop"
    assert body.pop("threads") == 1
    settings = Record.from_json(json.dumps(body)).settings
    assert (settings.fit, settings.threads) == ("crop", None)


def test_how_many_pictures_went_through_the_network_together_is_kept():
    record, _ = made()
    assert "sizes" not in json.loads(record.to_json())
    record = dataclasses.replace(record, sizes=((2, 5), (1, 3)))
    assert json.loads(record.to_json())["sizes"] == [[2, 5], [1, 3]]
    assert Record.from_json(record.to_json()) == record
    assert Record.from_json(altered(sizes=None)).sizes is None


def test_a_replay_takes_as_many_threads_as_the_run_and_leaves_the_rest_alone():
    with cores.limited(3):
        record = made()[0]
    assert record.settings.threads == 3
    seen = []
    result, _ = api.replay(record, watch=lambda step: seen.append(cores.number()))
    assert set(seen) == {3}
    assert result.record.settings.threads == 3
    assert cores.number() == 1


def test_the_picture_in_a_record_is_exact():
    picture = images.to_tensor(images.to_pil(PRIOR.sample(1)))
    problem = Problem.simulate(picture, build("denoise"))
    record = Record.of(picture, problem, PRIOR, SAMPLER, Measured(0, 1, 1.0, picture))
    assert torch.equal(record.picture(), picture)


@pytest.mark.parametrize(
    "run",
    [
        dict(),
        dict(operator="superres:factor=2", particles=3),
        dict(given=True, operator="inpaint:kind=random,seed=4"),
        dict(sigma_y=0.0),
        dict(changes={2: {"lr": 0.3, "weighting": "const"}, 5: {"lam": 1.0}}),
        dict(changes={1: {"lr": 0.2}}, stop=4),
        dict(stop=0),
        dict(changes={3: {"steps": 20}}),
        dict(changes={7: {"steps": 13}}),
        dict(changes={7: {"steps": 13, "lr": 0.01}, 9: {"lr": 0.5}}, stop=10),
        dict(changes={4: {"steps": 3}}),
        dict(changes={2: {"order": "random"}, 4: {"optimizer": "sgd"}}),
        dict(sampler=dataclasses.replace(SAMPLER, steps=300, compat=True), stop=6),
        dict(sampler=dataclasses.replace(SAMPLER, order="random", sigma0=0.05, init="denoised", final="denoised"), particles=2),
    ],
    ids=["plain", "particles", "given", "noiseless", "tuned", "tuned and stopped", "stopped at once", "more steps",
         "beyond the end", "beyond the end, tuned, stopped", "fewer steps", "other order and optimizer", "compat",
         "every random knob"],
)  # fmt: skip
def test_a_replay_has_the_same_pixels(run):
    record, steps = made(**run)
    again = replayed(record)
    assert again[-1].i == steps[-1].i == record.steps - 1
    assert [s.sigma for s in again] == [s.sigma for s in steps]
    assert all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(again, steps, strict=True))
    assert record.reproduces(again[-1])
    assert not record.reproduces(dataclasses.replace(again[-1], x0_hat=again[-1].x0_hat + 0.1))


def test_a_change_is_needed_for_the_same_pixels():
    record, _ = made(changes={2: {"lr": 0.3}})
    assert not record.reproduces(replayed(dataclasses.replace(record, changes=()))[-1])


def test_two_changes_after_the_same_step_both_count():
    tuner = Tuner(SAMPLER, (Change(3, {"lr": 0.2}), Change(3, {"lam": 2.0}), Change(1, {"steps": 9})))
    assert tuner(0) is None
    assert tuner(1) == dataclasses.replace(SAMPLER, steps=9)
    assert tuner(3) == dataclasses.replace(SAMPLER, steps=9, lr=0.2, lam=2.0)


def test_the_interface_replays_a_file(tmp_path):
    record, steps = made()
    path = tmp_path / "record.json"
    path.write_text(record.to_json())
    result, same = api.replay(path)
    assert same
    assert result.figures["psnr"] == pytest.approx(record.result["psnr"])
    assert torch.equal(result.restored, steps[-1].x0_hat)
    assert result.record.result["pixels_sha256"] == record.result["pixels_sha256"]


def test_a_digest_depends_on_every_particle():
    x = torch.zeros(2, 3, 4, 4)
    other = x.clone()
    other[1, 2, 3, 3] = 0.1
    assert pixels_sha256(x) != pixels_sha256(other)
    assert pixels_sha256(x) == pixels_sha256(x + 1e-4)  # of the 8-bit pixels


# ---- bad records ----


def altered(**changes) -> str:
    """A good record's JSON with fields changed, or dropped where the value is `...`."""
    body = json.loads(made()[0].to_json()) | changes
    return json.dumps({key: value for key, value in body.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not valid JSON"),
        ("{'steps': 3}", "not valid JSON"),
        ("[1, 2]", "not a redgui record"),
        ("null", "not a redgui record"),
        ('{"steps": 3}', "not a redgui record"),
        ("[" * 100_000, "JSON"),
        ('{"seed": ' + "9" * 5000 + "}", "JSON"),  # once a ValueError of Python's own
        (" " * (MAX_BYTES + 1), "at most"),
    ],
    ids=["empty", "not JSON", "a list", "null", "no format", "nested", "huge number", "huge"],
)
def test_what_is_no_record_is_one_clear_error(text, told):
    with pytest.raises(RecordError, match=told):
        Record.from_json(text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(format="other"), "format"),
        (dict(version=2), "Update redgui"),
        (dict(version=...), "version None"),
        (dict(colour="blue"), "'colour'"),
        (dict(seed=...), "lacks the field 'seed'"),
        (dict(seed="1"), "'seed' has the wrong type: str"),
        (dict(seed=True), "'seed' has the wrong type: bool"),
        (dict(sigma_y=True), "'sigma_y' has the wrong type: bool"),  # once taken for 1
        (dict(sigma_y=None), "'sigma_y'"),
        (dict(sigma_y=float("nan")), "sigma_y lies in 0 to 2"),
        (dict(sigma_y=10**400), "sigma_y lies in 0 to 2"),  # once an OverflowError
        (dict(given=1), "'given'"),
        (dict(particles=0), "out of range"),
        (dict(particles=10**9), "out of range"),
        (dict(steps=0), "out of range"),
        (dict(seed=-1), "out of range"),
        (dict(fit="zoom"), "fit is one of crop, pad, stretch, native, face; got 'zoom'"),
        (dict(fit=None), "'fit' has the wrong type"),
        (dict(threads=0), "threads lie in 1 to 1024; got 0"),
        (dict(threads=True), "'threads' has the wrong type: bool"),
        (dict(sizes=3), "'sizes' has the wrong type: int"),
        (dict(sizes=[[1, 2], [3]]), "[pictures, calls] or [pictures, calls, threads], whole numbers from 1; got [3]"),
        (dict(sizes=[[0, 2]]), "whole numbers from 1; got [0, 2]"),
        (dict(sizes=[[1, True]]), "whole numbers from 1"),
        (dict(sizes=[[4, 2, 0]]), "whole numbers from 1; got [4, 2, 0]"),
        (dict(sizes=[[4, 2, 9999]]), "1024 threads; got 2 calls on 9999 threads"),
        (dict(sizes=[[4, 2, 2, 2]]), "whole numbers from 1"),
        (dict(sizes=[[1, 9_999_999], [2, 2]]), "10000000 calls in all, and 1024 threads; got 10000001"),
        (dict(operator="inpaint"), "'operator'"),
        (dict(changes={}), "'changes'"),
        (dict(changes=[3]), "a change in a record"),
        (dict(changes=[{"after": 1}]), "a change in a record"),
        (dict(changes=[{"after": "1", "knobs": {}}]), "a change in a record"),
        (dict(changes=[{"after": True, "knobs": {}}]), "a change in a record"),
        (dict(changes=[{"after": 1, "knobs": 5}]), "a change in a record"),  # once a TypeError in mid-run
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_says_where(changes, told):
    with pytest.raises(RecordError) as caught:
        Record.from_json(altered(**changes))
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(sampler={"name": "reddif", "knobs": {}}), "did you mean 'reddiff'"),
        (dict(sampler={"name": 5, "knobs": {}}), "no sampler 5"),
        (dict(sampler={"name": "reddiff"}), "the record's sampler is"),
        (dict(sampler={"name": "reddiff", "knobs": [1]}), "the record's sampler is"),
        (dict(sampler={"name": "reddiff", "knobs": {"speed": 1}}), "no knob 'speed'"),
        (dict(sampler={"name": "reddiff", "knobs": {"lr": 1e9}}), "lr lies in"),
        (dict(operator={"name": "inpaint", "knobs": {"kind": "hole"}}), "kind is one of"),
        (dict(operator={"name": "blur", "knobs": {"size": 31}}), "at most 15"),
        (dict(image="not base64!"), "image cannot be read"),
        (dict(image=""), "image cannot be read"),
        (dict(image="aGVsbG8="), "image cannot be read"),
        (dict(image="é"), "image cannot be read"),
        (dict(changes=[{"after": 6, "knobs": {"speed": 1}}]), "does not have: speed"),
        (dict(changes=[{"after": 6, "knobs": {"lr": "fast"}}]), "lr is a number"),
        (dict(device="abacus"), "device"),
        (dict(precision="fp4"), "precision"),
        (dict(prior="gaussian:sise=3"), "did you mean 'size'"),
        (dict(prior="nowhere"), "no prior 'nowhere'"),
    ],
    ids=str,
)
def test_a_record_that_names_what_there_is_not_is_refused_before_anything_runs(changes, told):
    seen = []
    with pytest.raises(RedguiError) as caught:
        api.replay(Record.from_json(altered(**changes)), watch=seen.append)
    assert told in str(caught.value)
    assert seen == []


def test_an_unknown_knob_is_a_knob_error():
    with pytest.raises(KnobError):
        Record.from_json(altered(operator={"name": "denoise", "knobs": {"x": 1}}))


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(RecordError, match="cannot be read"):
        Record.read(tmp_path / "nothing.json")
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(RecordError, match="cannot be read"):
        Record.read(tmp_path / "picture.json")
