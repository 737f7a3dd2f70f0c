"""The benchmark: nothing is counted twice, nothing depends on batching, and every row can be run again."""

import csv
import importlib.util
import io
import json
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redgui import bench, cli, priors
from redgui.bench import BenchError, loop, report, run
from redgui.cli import output
from redgui.errors import RedguiError
from redgui.metrics import perceptual
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


def test_what_is_run_again_is_run_in_the_batch_that_it_was_in(prior, shown, tmp_path, monkeypatch):
    # A batched convolution rounds differently in another batch, so that rows would depend on where a run was cut.
    batches = []
    monkeypatch.setattr(loop, "run", lambda prior, part: batches.append([job.index for job in part]) or run(prior, part))
    bench.bench(shown, prior, ["denoise"], ["ddrm:steps=2"], batch=3, out=tmp_path)
    assert batches == [[0, 1, 2], [3, 4]]
    rows = (tmp_path / "rows-0.jsonl").read_text().splitlines(keepends=True)
    left = "".join(rows[:1] + rows[2:])[:-1]  # one is lost, and the last has no end: it may be half a line
    (tmp_path / "rows-0.jsonl").write_text(left)
    bench.bench(shown, prior, ["denoise"], ["ddrm:steps=2"], batch=3, out=tmp_path)
    assert batches[2:] == [[0, 1, 2], [3, 4]]
    again = (tmp_path / "rows-0.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in again] == [0, 2, 3, 1, 4], "and is not counted twice"


def test_every_row_carries_its_record(prior, shown, tmp_path):
    bench.bench(shown, prior, ["superres:factor=2"], ["ddrm:steps=3"], sigmas_y=[0.1], out=tmp_path, batch=1)
    by_name = {picture.name: picture for picture in shown}
    for row in bench.read(tmp_path):
        record = bench.record_of(row, by_name[row["picture"]])
        *_, last = record.replay(prior)
        assert last.psnr == pytest.approx(row["psnr"], abs=0.2)  # the record's picture has 8 bits, the benchmark's has floats
        assert record.settings.seed == row["seed"]


def test_means_and_standard_errors(prior, shown, tmp_path):
    (row,) = bench.bench(shown, prior, ["denoise"], ["reddiff:steps=3"], sigmas_y=[0.2], seeds=2, out=tmp_path)
    each = [r["psnr"] for r in bench.read(tmp_path)]
    assert len(each) == row["n"] == 10
    assert row["psnr"] == pytest.approx(np.mean(each))
    for key in ("psnr", "ssim", "residual"):
        spread = np.std([r[key] for r in bench.read(tmp_path)], ddof=1)
        assert row[f"{key}_error"] == pytest.approx(spread / 10**0.5)
    assert len({r["seed"] for r in bench.read(tmp_path)}) == 10, "noise of its own for every picture and repetition"
    assert row["nfe"] == 3
    assert row["backward"] == 0
    wanted = {"psnr", "ssim", "psnr_measurement", "residual", "nfe", "backward", "seconds", "steps", "prior", "operator",
              "sampler", "seed", "device", "precision", "n"}  # fmt: skip
    assert wanted <= set(row)


def test_all_samplers_and_only_those_that_fit(prior, shown, tmp_path):
    jobs = [job.settings for job in bench.jobs(shown[:1], ["inpaint", "phase"], ["all"])]
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


def test_all_samplers_and_further_settings_stand_together():
    shown = [bench.Picture("one", torch.zeros(1, 3, SIDE, SIDE))]
    run_ = [job.settings.sampler for job in bench.jobs(shown, ["inpaint"], ["all", "dps:steps=1000"])]
    assert [type(sampler) for sampler in run_] == [*SAMPLERS, type(run_[-1])]
    assert (run_[-1].name, run_[-1].steps) == ("dps", 1000)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((["blur"], ["all", "dps"], [0.0]), "--samplers has dps twice"),
        ((["blur"], ["ddrm:steps=2", "ddrm:steps=2"], [0.0]), "--samplers has ddrm:steps=2 twice"),
        ((["blur", "blur"], ["ddrm"], [0.0]), "--operators has blur twice"),
        ((["blur"], ["ddrm"], [0.1, 0, 0.1]), "--sigma-y has 0.1 twice"),
    ],
)
def test_what_is_named_twice_is_told(asked, told):
    shown = [bench.Picture("one", torch.zeros(1, 3, SIDE, SIDE))]
    with pytest.raises(BenchError, match=told):
        list(bench.jobs(shown, *asked))


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
    assert "± " in table
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(rows)
    with (tmp_path / "rows.csv").open(newline="") as file:
        each = list(csv.DictReader(file))
    assert len(each) == 2 * len(rows)
    assert {json.loads(row["record"])["sampler"]["name"] for row in each} == {"reddiff", "ddrm"}
    sheet = Image.open(tmp_path / "sheet-inpaint-0.1.png")
    assert sheet.size == (report.LABEL + 2 * (report.TILE + 2), 4 * (report.TILE + 2))
    assert (tmp_path / "budget-hdr-0.png").stat().st_size > 5000
    for wrong in (["--limit", "0"], ["--operators", "nope"], ["--samplers", "nope"], ["--images", str(tmp_path / "nope")]):
        assert cli.main([*command, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_parquet_has_what_the_csv_has_with_types_and_records(prior, shown, tmp_path):
    from pyarrow import parquet

    asked = (["denoise"], ["reddiff:steps=2", "ddrm:steps=2"])
    each = bench.finished(shown, prior, *asked, sigmas_y=[0.1], out=tmp_path)
    each[0] = {k: v for k, v in each[0].items() if k not in report.bench.rows.MEANS} | {"error": "left the finite numbers"}
    rows = bench.summarise(each)
    report.write(rows, shown, tmp_path, each=each, parquet=True)
    for name, wanted in (("results", rows), ("rows", each)):
        found = parquet.read_table(tmp_path / f"{name}.parquet")
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            texts = list(csv.DictReader(file))
        assert found.column_names == list(texts[0])
        for row, text, original in zip(found.to_pylist(), texts, wanted, strict=True):
            assert {k: "" if v is None else str(v) for k, v in row.items()} == text
            record = original.get("record")
            assert row | {"record": record} == dict.fromkeys(row) | original | {"record": record}
    assert str(found.schema.field("psnr").type) == "double"
    assert str(found.schema.field("nfe").type) == "int64"
    by_name = {picture.name: picture for picture in shown}
    last = found.to_pylist()[-1]
    record = bench.record_of({"record": json.loads(last["record"])}, by_name[last["picture"]])
    *_, step = record.replay(prior)
    assert step.psnr == pytest.approx(last["psnr"], abs=0.2)


def test_parquet_without_pyarrow_is_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else original(name, *more))
    command = [
        "bench",
        "--limit",
        "1",
        "--prior",
        f"gaussian:size={SIDE}",
        "--samplers",
        "ddrm:steps=2",
        "--out",
        str(tmp_path / "b"),
    ]
    assert cli.main([*command, "--parquet"]) == 2
    assert 'pip install "pyarrow>=' in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert cli.main(command) == 0
    assert 'pip install "pyarrow>=' in capsys.readouterr().out, "what was left out is said"
    assert not list((tmp_path / "b").glob("*.parquet"))
    assert 'pip install "pyarrow>=' in (tmp_path / "b" / "table.md").read_text()
    assert cli.main([*command, "--no-parquet"]) == 0
    assert report.PARQUET not in capsys.readouterr().out


def test_the_extras_are_pinned_as_the_messages_say_and_not_installed_by_default():
    root = Path(__file__).resolve().parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f'pip install "{extras["parquet"][0]}"' in report.PARQUET
    assert f'pip install "{extras["metrics"][0]}"' == perceptual.PIP
    assert extras["parquet"][0] in (root / "tests" / "requirements.txt").read_text().splitlines()
    default = (root / "requirements.txt").read_text()
    assert "pyarrow" not in default
    assert "torchmetrics" not in default


def test_the_time_left_is_that_of_this_run_alone(monkeypatch):
    page = io.StringIO()
    monkeypatch.setattr(output.sys, "stderr", page)
    with output.JobsBar() as bar:
        bar(900, 1000, "ddrm")  # 900 were there before
        bar.bar.start_t -= 50
        bar(950, 1000, "ddrm")
        assert bar.bar.format_dict["initial"] == 900
        assert "95%" in str(bar.bar)
        assert "<00:5" in str(bar.bar).replace("00:49", "00:50"), "50 in 50 seconds, 50 are left"
