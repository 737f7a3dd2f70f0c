"""LPIPS and KID: the mathematics on given features, the plumbing with given networks, and what is said where there are none."""

import csv
import importlib.util
import itertools
import json
from pathlib import Path

import PIL.Image
import pytest
import torch
from torch import Tensor

from redgui import bench, cli, images, operators, priors
from redgui.bench import report
from redgui.bench.judge import Judges, features_of, kids, restored
from redgui.metrics import perceptual
from redgui.metrics.perceptual import Missing, Network

SIDE = 16


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def direct(x: list[list[float]], y: list[list[float]]) -> float:
    """Equation 4 of arXiv 1801.01401, term by term."""

    def k(a: list[float], b: list[float]) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    total = sum(k(x[i], x[j]) for i, j in itertools.permutations(range(n), 2)) / (n * (n - 1))
    total += sum(k(y[i], y[j]) for i, j in itertools.permutations(range(m), 2)) / (m * (m - 1))
    return total - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize(("n", "m", "d"), [(7, 7, 5), (6, 9, 3), (2, 2, 1)])
def test_mmd_is_the_formula(n, m, d):
    x, y = features(n, d, 0), features(m, d, 1, 0.5)
    assert float(perceptual.mmd2(x, y)) == pytest.approx(direct(x.tolist(), y.tolist()), rel=1e-6)


def test_mmd_is_unbiased():
    # Of two sets from one distribution the mean is zero, within its own error; the biased estimate is far above it.
    found = torch.stack([perceptual.mmd2(features(10, 4, 2 * s), features(10, 4, 2 * s + 1)) for s in range(400)])
    error = float(found.std() / 20)
    assert abs(float(found.mean())) < 4 * error
    assert error < 0.1


def test_kid_of_everything_is_mmd_and_subsets_scatter_around_it():
    x, y = features(40, 6, 0), features(40, 6, 1, 0.5)
    everything = perceptual.kid(x, y, subset_size=40, subsets=3)
    assert everything.value == pytest.approx(float(perceptual.mmd2(x, y)))
    assert everything.std == pytest.approx(0, abs=1e-9)
    half = perceptual.kid(x, y)
    assert (half.subset_size, half.subsets) == (20, 100)
    assert half.std > 0.05
    assert half.value == pytest.approx(everything.value, abs=4 * half.std / 10)
    assert perceptual.kid(x, y) == half, "the subsets have a seed of their own"
    assert perceptual.kid(features(3000, 2, 0), features(2500, 2, 1), subsets=1).subset_size == 1000
    with pytest.raises(Missing, match="at least 2"):
        perceptual.kid(x[:3], y)


@pytest.fixture
def packages(monkeypatch):
    """A machine where the packages are, of which none is used."""
    monkeypatch.setattr(perceptual, "packages_missing", lambda *names: None)
    monkeypatch.setattr(perceptual, "version", lambda name: "9.8.7")


def test_inception_is_given_8_bit_pictures(packages, monkeypatch, tmp_path):
    given = []

    class Inception(torch.nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            given.append(x)
            return (x.double().mean((2, 3)),)

    monkeypatch.setattr(perceptual, "_inception", Inception)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(Missing, match=r"weights at .*checkpoints"):
        perceptual.inception()
    judge = perceptual.inception(fetch=True)
    assert judge.name == "Inception v3 (2015-12-05), pool 2048, torch-fidelity 9.8.7"
    x = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert judge.call(x).tolist() == [[0, 0, 0], [255, 255, 255]]
    assert given[0].dtype == torch.uint8


def test_weights_that_cannot_be_fetched_are_one_line(packages, monkeypatch, tmp_path, offline):
    def fetched():
        return torch.hub.load_state_dict_from_url("https://example.org/weights.pth", str(tmp_path))

    monkeypatch.setattr(perceptual, "_inception", fetched)
    judges = Judges.named(["lpips", "kid"], torch.device("cpu"), 64, 64)
    ours, line = judges.lines()
    assert ours == "LPIPS: AlexNet v0.1"
    assert line.startswith("KID: n/a: Inception's weights cannot be had: URLError: ")
    assert "\n" not in line


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """They are looked at elsewhere, and take longer than these runs."""
    monkeypatch.setattr(report, "budget_plot", lambda *_: None)


@pytest.fixture(scope="module")
def prior():
    return priors.load(f"gaussian:size={SIDE}")


@pytest.fixture(scope="module")
def shown():
    generator = torch.Generator().manual_seed(0)
    return [bench.Picture(f"p{k}", torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1) for k in range(10)]


def test_a_bench_with_networks(prior, shown, tmp_path):
    calls = []

    def distance(x, x_true):
        calls.append("lpips")
        return (x - x_true).abs().mean((1, 2, 3))

    def mean_colour(x):
        calls.append("kid")
        return x.mean((2, 3)) * 3

    asked = dict(operator_specs=["denoise"], sampler_specs=["reddiff:steps=2", "ddrm:steps=2"], sigmas_y=[0.2], out=tmp_path)
    plain = bench.bench(shown, prior, **asked)
    assert "lpips" not in plain[0]
    assert len(list((tmp_path / "restored").iterdir())) == 2 * bench.SHOWN
    judges = Judges(Network("mean difference 1.0", distance), Network("mean colour 1.0", mean_colour))
    each = bench.finished(shown, prior, judges=judges, **asked)
    lines = (tmp_path / "rows-0.jsonl").read_text().splitlines()
    assert len(lines) == 20, "the networks were asked later, and no run is counted twice"
    assert calls.count("lpips") == 20
    for row in each:
        x = images.to_tensor(images.read(restored(tmp_path, row["key"])))
        truth = images.to_tensor(images.to_pil(shown[row["index"]].x))
        assert row["lpips"] == pytest.approx(float((x - truth).abs().mean()), rel=1e-6)
    rows = bench.summarise(each, kids(tmp_path, each, shown, judges))
    truths = torch.cat([picture.x.mean((2, 3)) * 3 for picture in shown])
    for row, start in zip(rows, (0, 10), strict=True):
        mine = each[start : start + 10]
        assert row["lpips"] == pytest.approx(sum(r["lpips"] for r in mine) / 10)
        assert row["lpips_error"] > 0
        estimates = torch.stack([images.to_tensor(images.read(restored(tmp_path, r["key"]))).mean((2, 3))[0] * 3 for r in mine])
        wanted = perceptual.kid(estimates, truths)
        assert (row["kid"], row["kid_std"]) == pytest.approx((wanted.value, wanted.std))
        assert (row["kid_subset_size"], row["kid_subsets"]) == (5, 100)
        assert (row["lpips_network"], row["kid_features"]) == ("mean difference 1.0", "mean colour 1.0")
    report.write(rows, shown, tmp_path, each=each, judges=judges)
    table = (tmp_path / "table.md").read_text()
    for words in ("| LPIPS | KID × 10³ |", "- LPIPS: mean difference 1.0\n", "- KID: mean colour 1.0\n", "100 subsets of 5\n"):
        assert words in table
    asked_before = len(calls)
    assert bench.bench(shown, prior, judges=judges, **asked) == rows
    assert len(calls) == asked_before, "what is known is not asked again"
    features_of(tmp_path, judges.kid, each[3]["key"]).unlink()  # as if killed before it was written
    other = Judges(Network("mean difference 2.0", distance), judges.kid)
    assert bench.bench(shown, prior, judges=other, **asked)[0]["lpips_network"] == "mean difference 2.0"
    assert len(calls) == asked_before + 20 + 1, "another version of a network is another network"


def test_a_picture_that_was_half_written_when_the_run_was_killed_is_made_again(prior, shown, tmp_path, monkeypatch):
    asked = dict(operator_specs=["denoise"], sampler_specs=["ddrm:steps=2"], sigmas_y=[0.2], out=tmp_path)
    bench.bench(shown, prior, **asked)
    judges = Judges(Network("l", lambda a, b: (a - b).abs().mean((1, 2, 3))))

    save = PIL.Image.Image.save

    def killed(picture, to, *how, **more):
        if not isinstance(to, Path):
            return save(picture, to, *how, **more)
        to.write_bytes(b"half a picture")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PIL.Image.Image, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.bench(shown, prior, judges=judges, **asked)
    (row,) = bench.bench(shown, prior, judges=judges, **asked)
    assert row["lpips"] > 0


def test_two_processes_judge_as_one(prior, shown, tmp_path, monkeypatch):
    judges = Judges(Network("l", lambda a, b: (a - b).abs().mean((1, 2, 3))), Network("f", lambda x: x.mean((2, 3))))
    asked = dict(operator_specs=["denoise"], sampler_specs=["ddrm:steps=2"], sigmas_y=[0.2], judges=judges, batch=4)
    one = bench.bench(shown, prior, **asked, out=tmp_path / "one")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        rows = bench.bench(shown, prior, **asked, out=tmp_path / "two")
        if rank == "1":
            assert rows == []
            assert len((tmp_path / "two" / "judged-1.jsonl").read_text().splitlines()) == 4
    assert [row | {"seconds": 0} for row in rows] == [row | {"seconds": 0} for row in one]


def test_a_machine_without_the_networks_says_so(tmp_path, capsys, monkeypatch, offline):
    original = importlib.util.find_spec
    absent = ("torchvision", "torchmetrics", "torch_fidelity", "pyarrow")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in absent else original(name, *more))
    command = ["bench", "--limit", "2", "--prior", f"gaussian:size={SIDE}", "--operators", "denoise", "--samplers",
               "ddrm:steps=2", "--out", str(tmp_path)]  # fmt: skip
    for asked in ([], ["--metrics", "lpips", "kid"]):
        assert cli.main([*command, *asked]) == 0
        said = capsys.readouterr()
        lacks = f"KID: n/a: KID needs the package torchvision, which is not installed: {perceptual.PIP}"
        small = f"LPIPS: n/a: LPIPS takes pictures of at least 32 pixels; these have {SIDE}x{SIDE}"
        for line in (small, lacks):
            assert line in said.out.splitlines()
            assert f"- {line}" in (tmp_path / "table.md").read_text().splitlines()
            assert (line in said.err.splitlines()) == bool(asked), "who asks for it hears it before the run"
        (row,) = json.loads(said.out.splitlines()[-1])["rows"]
        assert row["lpips"] is row["kid"] is None
        with (tmp_path / "results.csv").open(newline="") as file:
            (cells,) = csv.DictReader(file)
        for key in ("lpips_network", "kid_features"):
            assert row[key] == cells[key]
            assert cells[key].startswith("n/a: ")
    assert cli.main([*command, "--metrics"]) == 0
    assert "LPIPS" not in capsys.readouterr().out
    assert cli.main([*command, "--metrics", "fid"]) == 2
    assert "lpips and kid; got fid" in capsys.readouterr().err


def test_pictures_or_sets_that_are_too_small_say_so(prior, shown, tmp_path):
    judges = Judges(Network("n", lambda *_: 1 / 0, 32), Network("f", lambda x: x.mean((2, 3)))).for_size(SIDE, SIDE)
    assert judges.lines()[0] == "LPIPS: n/a: LPIPS takes pictures of at least 32 pixels; these have 16x16"
    (row,) = bench.bench(shown[:3], prior, ["denoise"], ["ddrm:steps=2"], judges=judges, out=tmp_path)
    assert row["kid"] is None
    notes = report.write([row], shown[:3], tmp_path, judges=judges)
    assert any(note.startswith("KID: n/a: KID needs subsets of at least 2 pictures") for note in notes)
    assert operators.build("denoise").name in (tmp_path / "table.md").read_text()
