"""The benchmark: nothing is counted twice, nothing depends on batching, and every row can be run again."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from redgui import bench, cli, knobs, operators, presets, priors, report
from redgui.bench import BenchError
from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.samplers import SAMPLERS, RedDiff

SIDE = 16


@pytest.fixture(scope="module")
def prior() -> Prior:
    return priors.load(f"gaussian:size={SIDE}")


@pytest.fixture(scope="module")
def shown() -> list[bench.Picture]:
    generator = torch.Generator().manual_seed(0)
    return [bench.Picture(f"p{k}", torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1) for k in range(5)]


def figures(rows):
    """What must be the same on every machine: all but the time."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def one_by_one(folder):
    return sorted(((row["key"], row["psnr"]) for row in bench.read(folder)), key=str)


def test_a_killed_run_goes_on_where_it_was(prior, shown, tmp_path):
    asked = (["inpaint", "denoise"], ["reddiff:steps=3", "ddrm:steps=2"])
    whole = bench.bench(shown, prior, *asked, sigmas_y=(0, 0.1), out=tmp_path / "whole", batch=2)

    class Killed(Exception):
        pass

    def kill(done, total, what):
        if done >= 9:
            raise Killed

    with pytest.raises(Killed):
        bench.bench(shown, prior, *asked, sigmas_y=(0, 0.1), out=tmp_path / "cut", batch=2, watch=kill)
    lines = tmp_path / "cut" / "rows-0.jsonl"
    before = len(bench.read(tmp_path / "cut"))
    assert 0 < before < 40
    lines.write_text(lines.read_text() + '{"key": "a line that was being wri')
    lines.write_text(lines.read_text() + "\n")
    counted = []
    again = bench.bench(
        shown, prior, *asked, sigmas_y=(0, 0.1), out=tmp_path / "cut", batch=2, watch=lambda d, t, w: counted.append((d, t))
    )
    assert counted[0] == (before, 40)
    assert counted[-1] == (40, 40)
    assert len(bench.read(tmp_path / "cut")) == 40
    assert figures(again) == figures(whole)
    counted.clear()
    bench.bench(shown, prior, *asked, sigmas_y=(0, 0.1), out=tmp_path / "cut", watch=lambda *seen: counted.append(seen))
    assert counted == [], "everything is there: nothing runs"


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_row_does_not_depend_on_the_batch(batch, prior, shown, tmp_path):
    asked = (["blur"], ["reddiff:steps=4", "dps:steps=3", "rsd:steps=2"])
    rows = bench.bench(shown, prior, *asked, out=tmp_path / "a", batch=batch)
    alone = bench.bench(shown, prior, *asked, out=tmp_path / "b", batch=2)
    assert [row["psnr"] for row in rows] == pytest.approx([row["psnr"] for row in alone], abs=1e-4)


def test_processes_share_the_jobs_out(prior, shown, tmp_path, monkeypatch):
    asked = (["inpaint"], ["reddiff:steps=3", "ddrm:steps=2"])
    whole = bench.bench(shown, prior, *asked, out=tmp_path / "one", batch=1)
    monkeypatch.setattr(bench, "_wait", lambda world: None)
    for rank in (1, 0):
        monkeypatch.setattr(bench, "_processes", lambda rank=rank: (rank, 2))
        rows = bench.bench(shown, prior, *asked, out=tmp_path / "two", batch=1)
        if rank == 1:
            assert 0 < len(bench.read(tmp_path / "two")) < 10
    assert one_by_one(tmp_path / "one") == one_by_one(tmp_path / "two")
    assert figures(rows) == figures(whole)


def test_every_row_carries_its_record(prior, shown, tmp_path):
    bench.bench(shown, prior, ["superres:factor=2"], ["ddrm:steps=3"], sigmas_y=[0.1], out=tmp_path, batch=1)
    by_name = {picture.name: picture for picture in shown}
    for row in bench.read(tmp_path):
        record = bench.record_of(row, by_name[row["picture"]])
        *_, last = record.replay(prior)
        assert last.psnr == pytest.approx(row["psnr"], abs=0.2)  # the record's picture has 8 bits, the benchmark's has floats
        assert record.seed == row["seed"]


def test_means_and_standard_errors(prior, shown, tmp_path):
    (row,) = bench.bench(shown, prior, ["denoise"], ["reddiff:steps=3"], sigmas_y=[0.2], seeds=2, out=tmp_path)
    each = [r["psnr"] for r in bench.read(tmp_path)]
    assert len(each) == row["n"] == 10
    assert row["psnr"] == pytest.approx(np.mean(each))
    assert row["psnr_error"] == pytest.approx(np.std(each, ddof=1) / 10**0.5)
    assert len({r["seed"] for r in bench.read(tmp_path)}) == 10, "noise of its own for every picture and repetition"
    assert row["nfe"] == 3
    assert row["backward"] == 0
    wanted = {"psnr", "ssim", "psnr_measurement", "residual", "nfe", "backward", "seconds", "steps", "prior", "operator",
              "sampler", "seed", "device", "precision", "n"}  # fmt: skip
    assert wanted <= set(row)


def test_all_samplers_and_only_those_that_fit(prior, shown, tmp_path):
    jobs = list(bench.jobs(shown[:1], ["inpaint", "phase"], ["all"]))
    by_operator = {name: {job.sampler.name for job in jobs if job.H.name == name} for name in ("inpaint", "phase")}
    assert by_operator["inpaint"] == {cls.name for cls in SAMPLERS}
    assert "ddrm" not in by_operator["phase"]
    assert all(job.particles == (4 if job.sampler.coupled or job.H.ambiguous else 1) for job in jobs)
    with pytest.raises(BenchError, match="none of ddrm takes any of phase"):
        bench.bench(shown, prior, ["phase"], ["ddrm"], out=tmp_path)


def test_a_run_that_diverges_is_a_row_that_says_so(prior, shown, tmp_path, monkeypatch):
    def nan(self, prior, H, y, sigma_y, *, generator):
        for step in original(self, prior, H, y, sigma_y, generator=generator):
            step.x0_hat[1:] = float("nan")
            yield step

    original = RedDiff.__call__
    monkeypatch.setattr(RedDiff, "__call__", nan)
    (row,) = bench.bench(shown, prior, ["denoise"], ["reddiff:steps=2"], out=tmp_path, batch=5)
    assert (row["n"], row["failed"]) == (1, 4)
    assert "(4 failed)" in report.table([row])


def test_pictures_come_from_folders_zips_and_the_examples(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as pack:
        pack.write(tmp_path / "a.png", "val/a.png")
        pack.write(tmp_path / "b.png", "val/b.png")
        pack.write(tmp_path / "c.png", "train/c.png")
    assert [p.name for p in bench.pictures(tmp_path, SIDE, SIDE)] == ["a", "b", "c"]
    packed = bench.pictures(tmp_path / "pack.zip", SIDE, SIDE)
    assert [p.name for p in packed] == ["a", "b"]
    torch.testing.assert_close(packed[0].x, bench.pictures(tmp_path, SIDE, SIDE)[0].x)
    assert len(bench.pictures("examples", SIDE, SIDE, limit=2)) == 2
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_text("not a zip")
    for wrong in ("empty", "no.zip", "missing"):
        with pytest.raises(RedguiError):
            bench.pictures(tmp_path / wrong, SIDE, SIDE)


def test_command_line(tmp_path, capsys):
    command = ["bench", "--limit", "2", "--prior", f"gaussian:size={SIDE}", "--operators", "inpaint", "hdr", "--samplers",
               "reddiff:steps=3", "ddrm:steps=2", "--sigma-y", "0", "0.1", "--out", str(tmp_path)]  # fmt: skip
    assert cli.main(command) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [(row["operator"], row["sigma_y"], row["sampler"].partition(":")[0]) for row in rows] == [
        ("inpaint", 0.0, "reddiff"), ("inpaint", 0.0, "ddrm"), ("inpaint", 0.1, "reddiff"), ("inpaint", 0.1, "ddrm"),
        ("hdr", 0.0, "reddiff"), ("hdr", 0.1, "reddiff"),
    ]  # fmt: skip
    table = (tmp_path / "table.md").read_text()
    assert table.count("pseudo-inverse") == 4
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(rows)
    sheet = Image.open(tmp_path / "sheet-inpaint-0.1.png")
    assert sheet.size == (report.LABEL + 2 * (report.TILE + 2), 4 * (report.TILE + 2))
    assert (tmp_path / "budget-hdr-0.png").stat().st_size > 5000
    for wrong in (["--limit", "0"], ["--operators", "nope"], ["--samplers", "nope"], ["--images", str(tmp_path / "nope")]):
        assert cli.main([*command, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_presets_know_about_noise(monkeypatch):
    table = {("ddrm", "*"): {"steps": 1}, ("ddrm", "*@noisy"): {"steps": 2}, ("ddrm", "blur"): {"steps": 3},
             ("ddrm", "inpaint:box@noisy"): {"steps": 4}}  # fmt: skip
    monkeypatch.setattr(presets, "PRESETS", table)
    wanted = {
        ("denoise", 0.0): 1,
        ("denoise", 0.1): 2,
        ("blur", 0.0): 3,
        ("blur", 0.1): 3,
        ("inpaint", 0.0): 1,
        ("inpaint", 0.1): 4,
    }
    for (name, sigma_y), steps in wanted.items():
        assert presets.sampler_for("ddrm", operators.build(name), sigma_y).steps == steps
    assert presets.sampler_for("ddrm:steps=9", operators.build("blur"), 0.1).steps == 9


@pytest.mark.parametrize("key", presets.PRESETS, ids=":".join)
def test_every_preset_can_be_built(key):
    sampler, operator = key
    cls = knobs.find(SAMPLERS, sampler, "sampler")
    knobs.build(cls, presets.PRESETS[key])
    name, _, kind = operator.removesuffix("@noisy").partition(":")
    if name != "*":
        assert cls.accepts(operators.build(f"{name}:kind={kind}" if kind else name))
