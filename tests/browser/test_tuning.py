"""Tuning in mid-run, as a hand does it: what the page itself writes is no change, and one drag is one mark."""

from playwright.sync_api import expect

from browser.pages import within
from browser.restoring import LONG, Restore
from redgui import presets
from redgui.ui.parts import views

PRIOR = "gaussian"
SECONDS_PER_CALL = 0.3  # few pictures a second: a busy machine still has time for the page
DRAG = """async (range) => {
  for (let k = 0; k < 12; k++) {
    range.value = 120 + 10 * k;
    range.dispatchEvent(new Event("input"));
    await new Promise((next) => setTimeout(next, 80));
  }
}"""


def test_a_run_takes_what_a_person_moves_and_one_drag_is_one_mark(app, open_page, slowly, monkeypatch):
    monkeypatch.setattr(views, "DRAG", 60.0)  # a busy machine is slower than a hand
    tab = Restore(app, open_page)
    tab.page.set_default_timeout(90_000)
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    tab.reach(2)
    run = tab.restoring.played
    began = {knob: getattr(run.now, knob) for knob in ("lr", "lam")}
    tuned = presets.preset("reddiff", "quantize")
    assert tuned["lr"] != began["lr"]
    tab.choose("operator", "Quantisation")
    slider = tab.part("reddiff-lr").locator(".rg-slider")
    expect(slider).to_have_attribute("data-value", str(tuned["lr"]))  # the page has set it for the next run
    at = run.last.i
    tab.reach(at + 3)
    assert run.changes == []
    tab.type("reddiff-lam", 0.7)
    within(lambda: run.changes, "the weight of the run")
    assert [change.knobs for change in run.changes] == [{"lam": 0.7}]
    assert run.now.lr == began["lr"]

    slider.locator(".rg-range").evaluate(DRAG)
    within(lambda: run.now.lr == float(slider.get_attribute("data-value")), "the last value of the drag")
    assert len(run.changes) > 2, "the run follows the hand"  # lam, and at least two values of lr
    marks = tab.live.locator(".rg-plot").first.locator(".rg-mark")
    told = [(change.after, run.rows[change.after]["at"], change.knobs) for change in run.changes]
    assert len(views.live(run, 1, "running")["marks"]) == 2, told
    expect(marks).to_have_count(2)
    assert views.live(run, 1, "running")["marks"][1]["text"].startswith("lr ")
    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")
