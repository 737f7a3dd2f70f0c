"""What is taken away: films, figures and tables for a paper, and a notebook that makes the run again."""

import io
import json

import numpy as np
import pytest
import torch
from commands import FAST
from PIL import Image
from taking import taken
from test_views import played

from redgui import api, figures, images, snippets
from redgui.cli import main
from redgui.runs import movie
from redgui.runs.film import Film
from redgui.ui.parts import views
from redgui.ui.restore.outcome import LiveBoard

SIDE = 32


@pytest.fixture(scope="module")
def filmed():
    film = Film()
    result = api.restore(
        "example:face-06", prior=f"gaussian:size={SIDE}", sampler="reddiff:steps=5,data_steps=0,lam=0.1",
        operator="superres:factor=4", device="cpu", sigma_y=0.05, watch=film.remember,
    )  # fmt: skip
    return film, result


# ---- films ----


def test_a_film_has_the_measurement_beside_every_iterate(filmed):
    film, result = filmed
    pictures = movie.frames(film.frames, result.problem)
    assert len(pictures) == 5
    assert {p.size for p in pictures} == {pictures[0].size}
    assert all(side % 2 == 0 for side in pictures[0].size)
    side = 192  # 32 pixels, six times as large
    measured = [p.crop((10, 10, 10 + side, 10 + side)).tobytes() for p in pictures]
    assert len(set(measured)) == 1
    last = pictures[4].crop((20 + side, 10, 20 + 2 * side, 10 + side)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    off = np.asarray(last, float) - images.to_uint8(result.film[-1])
    assert np.abs(off).mean() < 4  # a JPEG of it
    captions = [p.crop((20 + side, 10 + side, p.width, p.height)).tobytes() for p in pictures]
    assert len(set(captions)) == 5  # each has a sigma of its own


def test_webp_plays_all_frames_and_holds_the_last(filmed):
    film, result = filmed
    played = Image.open(io.BytesIO(movie.webp(movie.frames(film.frames, result.problem))))
    assert played.n_frames == 5
    times = []
    for k in range(5):
        played.seek(k)
        played.load()
        times.append(played.info["duration"])
    assert times == [83] * 4 + [1500]


def test_mp4_is_written_where_its_package_is_and_asked_for_where_not(filmed, monkeypatch):
    film, result = filmed
    pictures = movie.frames(film.frames, result.problem)
    monkeypatch.setattr(movie, "find_spec", lambda name: None)
    with pytest.raises(movie.MovieError, match="pip install 'av"):
        movie.checked("run.mp4")
    monkeypatch.undo()
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(movie.mp4(pictures))) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 5 + movie.HELD - 1
    off = np.asarray(frames[0].to_image(), float) - np.asarray(pictures[0], float)
    assert np.abs(off).mean() < 6


def test_the_command_line_writes_a_film(run, tmp_path, capsys):
    status, _, _ = run("restore", "example:face-06", *FAST, "--film", tmp_path / "run.webp", "--out", tmp_path / "out")
    assert status == 0
    assert Image.open(tmp_path / "run.webp").n_frames == 5
    assert main(["restore", "example:face-06", *FAST, "--film", "run.gif", "--out", str(tmp_path / "none")]) == 2
    assert "a film is written as .webp or .mp4; got 'run.gif'" in capsys.readouterr().err


def test_a_page_makes_the_film_of_its_run_when_it_is_asked_for():
    of = played(steps=4)
    value = views.result(of, 1)
    asked = [entry for entry in value["downloads"] if entry.get("asked")]
    assert [entry["name"] for entry in asked] == ["run.webp", *["run.mp4"] * movie.has_mp4()]
    films = taken(LiveBoard(of, 1), {"downloads": asked})
    assert Image.open(io.BytesIO(films["run.webp"])).n_frames == len(of.film()) == 4


# ---- figures and tables ----


def test_the_enlarged_part_is_where_pictures_differ_most():
    one = np.zeros((32, 48, 3), np.uint8)
    other = one.copy()
    other[20:28, 36:44] = 200
    assert figures.parted([one, one, other]) == (20, 36, 8)
    assert figures.parted([]) == (0, 0, 0)


def test_a_comparison_is_the_same_bytes_each_time_and_takes_any_sizes():
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    panels = [figures.Panel("original", x), figures.Panel("y", x[..., ::4, ::4]), figures.Panel("failed", None, "error"),
              *(figures.Panel(f"s{k}", -x, "20.00 / 0.100") for k in range(5))]  # fmt: skip
    made = figures.comparison(panels)
    insets = [len(axis.child_axes) for axis in made.axes[:8]]
    assert insets == [1, 0, 0, 1, 1, 1, 1, 1]
    for kind in figures.KINDS:
        assert figures.encode(figures.comparison(panels), kind) == figures.encode(figures.comparison(panels), kind)


def test_a_heat_map_has_a_number_in_every_cell_that_has_one():
    values = np.array([[20.0, 21.5, np.nan], [22.25, 19.0, 18.0]])
    made = figures.heat_map(values, ("lr", ["0.1", "0.3"]), ("lam", ["0.1", "0.2", "0.5"]), "PSNR, dB")
    assert [t.get_text() for t in made.axes[0].texts] == ["20.00", "21.50", "22.25", "19.00", "18.00"]
    assert figures.encode(made, "pdf").startswith(b"%PDF")
    figures.encode(figures.heat_map(np.full((1, 1), np.nan), ("lr", ["1"]), ("", [""]), "PSNR"), "svg")


def test_a_latex_table_marks_the_best_and_escapes_what_people_write():
    text = figures.latex(["sampler", "PSNR"], [["50% & more_σ", "20.1"], ["b", "19"]], {(0, 1)}, "a {b}")
    assert r"50\% \& more\_$\sigma$ & \textbf{20.1} \\" in text
    assert r"\caption{a \{b\}}" in text
    assert r"\begin{tabular}{lr}" in text


# ---- a notebook ----


def test_a_notebook_makes_the_very_pixels_again(filmed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    book = json.loads(snippets.notebook(filmed[1].record))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    names: dict = {}
    for cell in book["cells"]:
        assert cell["id"]
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert "the very pixels of the record: True" in capsys.readouterr().out
    assert Image.open(tmp_path / "run.webp").n_frames == 5
