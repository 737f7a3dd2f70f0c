"""Runs as a person meets them: the Restore tab with the bundled prior, in a real browser."""

import functools
import json
import re
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.editor import picture
from browser.pages import within
from browser.restoring import LONG, SIDE, Restore
from redgui import cli, images, tasks
from redgui.operators import OPERATORS, Inpaint
from redgui.runs.record import Record
from redgui.samplers.reddiff import WEIGHTINGS
from redgui.ui.host.uploads import same
from redgui.ui.parts import views
from redgui.ui.restore.state import Restoring


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


def test_run_with_nothing_touched(open_tab):
    requests = []
    tab = open_tab(before=lambda page: page.on("request", lambda request: requests.append(request)))
    expect(tab.canvas).to_have_attribute("data-view", "result")  # a finished example, with its film
    expect(tab.result).to_contain_text(f"{tasks.finished(tasks.TASKS[0]).figures['psnr']:.2f} dB")
    expect(tab.film.locator(".rg-film-caption")).to_contain_text("step 100 ·")
    assert tab.restoring.played is None
    places = ("#mask .rg-mask-stage", "#live .rg-bar", "#weights", "#knobs-reddiff", "#run")

    def boxes() -> list[dict]:
        return [tab.page.locator(place).first.bounding_box() for place in places]

    before = boxes()
    opened = len(requests)
    tab.part("run").click()
    tab.reach(3)
    expect(tab.stage).to_be_visible()
    expect(tab.result).to_be_hidden()
    expect(tab.film).to_be_hidden()
    expect(tab.part("run")).to_be_disabled()
    assert boxes() == before
    expect(tab.live).to_have_attribute("data-status", "done")
    assert boxes() == before
    expect(tab.result.locator(".rg-compare")).to_be_visible()
    assert tab.live.get_attribute("data-i") == tab.live.get_attribute("data-n") == "100"
    assert int(tab.live.get_attribute("data-frames")) >= 3
    expect(tab.part("continue")).to_have_text("Continue")
    expect(tab.part("continue")).to_be_enabled()
    expect(tab.part("stop")).to_be_disabled()

    psnr = float(tab.figure("PSNR").removesuffix(" dB"))
    of_measurement = float(re.search(r"([\d.]+) dB", tab.caption.inner_text())[1])
    assert psnr > of_measurement + 2
    assert int(tab.film.get_attribute("data-frames")) >= 10
    expect(tab.film.locator(".rg-film-caption")).to_contain_text("step 100 ·")
    hosts = {urlsplit(request.url).hostname for request in requests if not request.url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    while_running = [request.url for request in requests[opened:]]
    assert not [url for url in while_running if "upload" in url or "/file=" in url]


def test_tuned_stopped_gone_on_with_and_replayed(open_tab, tmp_path, capsys):
    tab = open_tab()
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    tab.reach(5)
    run = tab.restoring.played
    asked, tune, stop = {}, run.tune, run.stop

    def last() -> int:
        return run.last.i

    run.tune = lambda sampler: (asked.setdefault("tune", last()), tune(sampler))
    run.stop = lambda: (asked.setdefault("stop", last()), stop())
    tab.type("reddiff-lr", 0.2)
    within(lambda: run.changes, "the learning rate of the run")
    assert run.changes[0].knobs == {"lr": 0.2}
    assert asked["tune"] <= run.changes[0].after <= asked["tune"] + 1
    expect(tab.live.locator(".rg-mark-text").first).to_have_text("lr 0.2")
    expect(tab.live.locator(".rg-plot").first.locator(".rg-mark")).to_have_count(1)

    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")
    assert last() <= asked["stop"] + 1
    assert not run.playing
    assert tab.live.get_attribute("data-i") == str(last() + 1)
    shown = views.live(run, tab.restoring.number, "stopped")["frame"]
    expect(tab.live.locator(".rg-live-image")).to_have_attribute("src", shown)
    expect(tab.film.locator(".rg-film-caption")).to_contain_text(f"step {last() + 1} ·")
    expect(tab.part("continue")).to_have_text("Continue (rest)")
    before = last()

    tab.part("continue").click()
    tab.reach(before + 4)
    assert tab.restoring.played is run
    tab.type("reddiff-steps", 30)  # the run gets shorter: as many steps, or one more if they are made already
    expect(tab.live).to_have_attribute("data-status", "done")
    assert tab.live.get_attribute("data-i") == tab.live.get_attribute("data-n")
    ended = last() + 1
    assert before < ended < LONG
    tab.choose("more", "+10 steps")
    tab.part("continue").click()
    expect(tab.live).to_have_attribute("data-i", str(ended + 10))
    expect(tab.live).to_have_attribute("data-status", "done")

    saved = tab.download("record.json", tmp_path)
    restored = tab.download("restored.png", tmp_path)
    record = Record.read(saved)
    assert record.steps == ended + 10
    assert [set(change.knobs) for change in record.changes] == [{"lr"}, {"steps"}, {"steps"}]
    assert cli.main(["replay", str(saved), "--out", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["same_pixels"] is True
    again = Image.open(tmp_path / "again" / "restored.png")
    np.testing.assert_array_equal(np.asarray(again), np.asarray(Image.open(restored)))


def test_closing_the_page_ends_the_run(open_tab, app):
    tab = open_tab()
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    tab.reach(3)
    run = tab.restoring.played
    assert run.playing
    tab.page.close()
    within(lambda: not run.playing, "the end of the run")
    within(lambda: tab.key not in app.sessions, "the end of the session")
    i = run.last.i
    time.sleep(0.3)
    assert run.last.i == i < LONG - 1


def test_a_reload_in_mid_run_finds_the_run_and_its_settings_and_it_goes_on(open_tab, app):
    tab = open_tab()
    tab.type("reddiff-steps", 60)
    tab.type("reddiff-lam", 0.7)
    stroke = tab.editor.stroke([(20, 20), (40, 30)], 5)
    tab.expect_preview_of(stroke | Inpaint().hole(SIDE, SIDE))
    tab.run("running")
    tab.reach(3)
    run, before = tab.restoring.played, tab.key
    tab.page.reload()
    now = within(lambda: [key for key, session in app.sessions.items() if session.state(Restoring).played is run], "the run")
    assert now != [before]
    expect(tab.live).to_have_attribute("data-status", "done")
    assert run.finished
    assert run.last.n == 60
    assert not run.changes
    for name, value in (("reddiff-steps", "60"), ("reddiff-lam", "0.7")):
        expect(tab.part(name).locator("input[type=number]")).to_have_value(value)
    tab.expect_preview_of(stroke | Inpaint().hole(SIDE, SIDE))
    tab.open("History")
    expect(tab.page.locator("#history .rg-run")).to_have_count(1)


def test_two_people_do_not_see_each_others_work(open_tab, tmp_path):
    picture(80, 120).save(tmp_path / "mine.png")
    one, two = open_tab(), open_tab()
    assert one.key != two.key
    two.uploaded(tmp_path / "mine.png")
    stroke = one.editor.stroke([(20, 20), (40, 30)], 5)
    other = two.edited(80, 120).stroke([(30, 50), (50, 50)], 3)  # at its own size, under an empty mask
    one.type("reddiff-lr", 0.3)
    two.type("reddiff-lam", 0.7)
    one.type("reddiff-steps", LONG)
    two.type("reddiff-steps", 4)
    one.run("running")
    two.run("done")  # both at once
    one.part("stop").click()
    expect(one.live).to_have_attribute("data-status", "stopped")
    np.testing.assert_array_equal(one.hole(), one.restoring.played.problem.H.hole(SIDE, SIDE))
    records = []
    for tab, drawn in ((one, stroke), (two, other)):
        box = Inpaint().hole(SIDE, SIDE) if tab is one else False  # what was painted on
        np.testing.assert_array_equal(tab.hole(), box | drawn)
        (tmp_path / tab.key).mkdir()
        records.append(Record.read(tab.download("record.json", tmp_path / tab.key)))
    assert [record.settings.sampler.lr == 0.3 for record in records] == [True, False]
    assert [record.settings.sampler.lam == 0.7 for record in records] == [False, True]
    assert records[0].image != records[1].image
    assert records[1].steps == 4
    assert same(two.session.source, images.read(tmp_path / "mine.png"))
    assert not same(one.session.source, two.session.source)


def test_every_degradation_runs(open_tab):
    tab = open_tab()
    tab.type("reddiff-steps", 3)
    for operator in [*OPERATORS[::-1], Inpaint]:
        if tab.chosen("operator").input_value() == operator.label:
            continue
        tab.choose("operator", operator.label)
        for other in OPERATORS:
            group = tab.page.locator(f"#knobs-{other.name}").first
            expect(group).to_be_visible(visible=other is operator and group.locator("input").count() > 0)
        expect(tab.editor.canvas).to_be_visible(visible=operator is Inpaint)
        tab.run()
        problem = tab.restoring.played.problem
        assert problem.H.name == operator.name
        expect(tab.picture).to_have_attribute("src", images.data_url(problem.H.picture(problem.y)))
        assert tab.figure("PSNR").endswith(" dB")
    expect(tab.part("inpaint-fraction")).to_be_visible()
    expect(tab.part("inpaint-side")).to_be_hidden()  # belongs to another kind of mask
    expect(tab.part("inpaint-text")).to_be_hidden()


def test_weightings_are_drawn(open_tab):
    tab = open_tab()
    plot = tab.page.locator("#weights .rg-weights")
    exponent = tab.part("reddiff-exponent")
    for weighting in ("const", "posterior", "power", "linear"):
        tab.choose("reddiff-weighting", weighting)
        expect(plot).to_have_attribute("data-chosen", weighting)
        expect(exponent).to_be_visible(visible=weighting == "power")
        assert plot.get_attribute("data-curves") == str(len(WEIGHTINGS) + 2 + (weighting == "power"))


def test_particles_and_the_dice(open_tab, tmp_path):
    tab = open_tab()
    seed = tab.part("seed").locator("input")
    tab.page.locator("#seed-dice").click()
    expect(seed).not_to_have_value("0")
    tab.type("particles", 3)
    tab.type("reddiff-steps", 4)
    tab.run()
    record = Record.read(tab.download("record.json", tmp_path))
    assert record.settings.particles == 3
    assert record.settings.seed == int(seed.input_value())
    names = tab.result.locator("figcaption")
    expect(names).to_have_text(["mean", "spread (std)", "particle 1", "particle 2", "particle 3"])
    sources = [tile.get_attribute("src") for tile in tab.result.locator(".rg-gallery img").all()]
    assert len(set(sources)) == 5
