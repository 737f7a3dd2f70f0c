"""The History tab in a real browser: runs are kept there, opened, replayed and deleted."""

import base64
import dataclasses
import functools
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.pages import App
from browser.tabs import Tabs, at
from redgui import api, finishing, snippets
from redgui.runs.record import Change, pixels_sha256
from redgui.ui import build, launch

PRIOR = "gaussian:size=16"  # a run of it takes no time
SEED_RUNS = """async (n) => {
  const base = await new Promise((done) => {
    const asked = indexedDB.open("redgui-runs", 1);
    asked.onsuccess = () => done(asked.result);
  });
  const change = base.transaction(["cards", "bodies"], "readwrite");
  for (let k = 0; k < n; k++) {
    const card = { id: `old-${k}`, when: 1e12 + k, title: `Old ${k}`, sampler: "DDRM", knobs: "", psnr: null, ssim: null };
    change.objectStore("cards").put(card);
    change.objectStore("bodies").put({ id: card.id, body: {} });
  }
  await new Promise((done) => (change.oncomplete = done));
  base.close();
}"""
FAILING = """
window.failures = 0;
const put = IDBObjectStore.prototype.put;
IDBObjectStore.prototype.put = function (...given) {
  if (window.failures-- > 0) throw new DOMException("no room", "QuotaExceededError");
  return put.apply(this, given);
};
"""


@pytest.fixture
def tabs(app, open_page):
    """tabs(query, before): the app on a new page."""
    return functools.partial(Tabs, app, open_page)


def test_a_run_survives_reload_and_restart_and_the_server_sees_nothing_of_it(serve, open_page):
    demo = build(prior=PRIOR, device="cpu")
    app = App(serve(demo, launch), demo.host)
    sent = []
    note = lambda page: page.on("request", lambda request: sent.append(request.post_data or ""))  # noqa: E731
    tab = Tabs(app, open_page, before=note)
    tab.see_runs(0)
    expect(tab.history.get_by_text("No runs yet")).to_be_visible()
    tab.run(2)
    tab.see_runs(1)
    run = tab.restoring.played
    card = tab.cards.first
    expect(card).to_contain_text("Inpainting: box")
    expect(card).to_contain_text("RED-diff steps 2")
    expect(card).to_contain_text(f"{run.last.psnr:.2f} dB · SSIM {run.record().result['ssim']:.3f}")
    year = tab.page.evaluate("new Date().toLocaleString([], {dateStyle: 'medium'})")
    expect(card).to_contain_text(year)
    before = card.locator(".rg-run-before")
    expect(before).to_have_css("opacity", "0")
    card.locator(".rg-run-open").hover()
    expect(before).to_have_css("opacity", "1")

    demo.close(verbose=False)
    again = build(prior=PRIOR, device="cpu")
    app = App(serve(again, launch, server_port=int(app.url.rstrip("/").rsplit(":", 1)[1])), again.host)
    tab = Tabs(app, at(tab.page))
    tab.see_runs(1)
    large = tab.show()
    expect(large.locator("h2")).to_have_text("Inpainting: box")
    assert tab.text("command") == snippets.command(run.record())
    assert tab.text("snippet") == snippets.snippet(run.record())
    assert tab.text("link") == app.url + snippets.link(run.record())
    restored = large.locator("a[download='restored.png']").get_attribute("href")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(restored.split(",")[1]))))
    given_back = finishing.finished(run.last.estimate, run.picture, run.problem)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == pixels_sha256(given_back)
    with tab.page.expect_download() as download:
        large.get_by_role("button", name="record.json").click()
    assert Path(download.value.path()).read_text() == run.record().to_json()
    assert not [data for data in sent if "redgui-record" in data]
    large.get_by_role("button", name="Open in Restore").click()
    expect(tab.page.locator("#run")).to_be_visible()
    assert [data for data in sent if "redgui-record" in data]


def test_a_run_that_is_gone_on_with_keeps_its_place(tabs):
    tab = tabs()
    tab.run(3)
    tab.page.locator("#continue").click()
    expect(tab.live).to_have_attribute("data-i", "53")
    tab.ended()
    tab.see_runs(1)
    large = tab.show()
    expect(large).to_contain_text("from step 4 on")
    expect(large).to_contain_text("changed in mid-run")
    assert tab.history.locator("[data-name=command]").count() == 0
    assert tab.text("replay") == "python -m redgui replay record.json"


def test_a_dropped_record_is_replayed_with_its_changes(tabs, tmp_path):
    H = dict(operator="blur:size=5", sigma_y=0.05, prior=PRIOR, device="cpu", precision="fp32")
    record = api.restore("example:face-13", sampler="reddiff:steps=30,lam=0.2", seed=7, **H).record
    record = dataclasses.replace(record, steps=36, changes=(Change(9, {"lr": 0.2}), Change(29, {"steps": 40})))
    *_, last = record.replay(build_prior())
    record = dataclasses.replace(record, result={**record.result, "planned": 40, "pixels_sha256": pixels_sha256(last.x0_hat)})
    tab = tabs()
    tab.see_runs(0)
    tab.drop(record.to_json(), tmp_path)
    large = tab.history.locator(".rg-run-large")
    expect(large).to_contain_text("A record does not hold the restored picture")
    expect(large).to_contain_text("from step 11 on")
    large.get_by_role("button", name="Replay").click()
    expect(tab.live).to_have_attribute("data-i", "36")
    tab.ended("stopped")
    expect(tab.toasts.filter(has_text="The replay has the very pixels of its record")).to_be_visible()
    run = tab.restoring.played
    assert record.reproduces(run.last)
    assert run.record().changes == record.changes
    expect(tab.page.locator("#operator").get_by_role("combobox")).to_have_value("Blur")
    expect(tab.page.locator("#seed input").first).to_have_value("7")
    tab.see_runs(1)


def build_prior():
    from redgui import priors

    return priors.load(PRIOR, "cpu", "fp32")


def test_records_that_cannot_be_opened(tabs, tmp_path):
    tab = tabs()
    tab.see_runs(0)
    good = json.loads(api.restore("example:face-11", sampler="reddiff:steps=1", prior=PRIOR, device="cpu").record.to_json())
    bad = [
        ("{", "not valid JSON"),
        (json.dumps({**good, "version": 2}), "version 2"),
        (json.dumps({"hello": 1}), "not a redgui record"),
        (json.dumps({**good, "image": "AAAA"}), "image cannot be read"),
        (json.dumps({**good, "sampler": {"name": "nothing", "knobs": {}}}), "no sampler"),
        (json.dumps({**good, "sampler": {"name": "reddiff", "knobs": {"lr": 1e9}}}), "lr lies in"),
    ]
    problem = tab.history.locator(".rg-history-problem")
    for text, message in bad:
        tab.drop(text, tmp_path)
        expect(problem).to_contain_text(message)
        expect(problem).to_contain_text("This file cannot be opened")
        expect(tab.history.locator(".rg-run-large")).to_be_hidden()
    # Readable, but not for the controls of the Restore tab: nothing is opened, and nothing runs.
    tab.drop(json.dumps({**good, "particles": 40}), tmp_path)
    expect(problem).to_be_hidden()
    tab.history.get_by_role("button", name="Replay").click()
    expect(tab.toasts).to_contain_text("This run cannot be opened")
    assert tab.restoring.played is None


def test_deleting_and_the_way_back(tabs):
    tab = tabs()
    tab.run(1)
    tab.run(2)
    tab.see_runs(2)
    tab.cards.first.hover()
    tab.cards.first.get_by_role("button", name="Delete this run").click()
    expect(tab.cards).to_have_count(1)
    expect(tab.cards.first).to_contain_text("steps 1")
    tab.history.get_by_role("button", name="Undo").click()
    expect(tab.cards).to_have_count(2)
    expect(tab.cards.first).to_contain_text("steps 2")
    tab.history.get_by_role("button", name="Delete all").click()
    expect(tab.cards).to_have_count(0)
    expect(tab.history.get_by_text("No runs yet")).to_be_visible()
    tab.history.get_by_role("button", name="Undo").click()
    expect(tab.cards).to_have_count(2)
    tab.show(1).get_by_role("button", name="Delete").click()
    expect(tab.cards).to_have_count(1)
    tab = Tabs(tab.app, at(tab.page))
    tab.see_runs(1)


def test_room_for_the_last_runs_only(tabs):
    tab = tabs(before=lambda page: page.add_init_script(FAILING))
    tab.see_runs(0)
    tab.page.evaluate(SEED_RUNS, 24)
    tab.run(1)
    tab.see_runs(24)
    assert "RED-diff" in tab.cards.first.inner_text()
    assert "Old 1" in tab.cards.last.inner_text()
    # The storage is full: older runs make room, and where that is not enough a person is told.
    tab.page.evaluate("window.failures = 3")
    tab.run(2)
    tab.see_runs(22)
    assert "Old 4" in tab.cards.last.inner_text()
    expect(tab.history.locator(".rg-history-problem")).to_be_hidden()
    tab.page.evaluate("window.failures = 1e9")
    tab.run(3)
    tab.open("History")
    expect(tab.history.locator(".rg-history-problem")).to_contain_text("storage is full")


def test_a_browser_that_stores_nothing(tabs):
    forbid = "Object.defineProperty(window, 'indexedDB', {get() { throw new DOMException('not here', 'SecurityError'); }})"
    tab = tabs(before=lambda page: page.add_init_script(forbid))
    tab.run(1)
    tab.open("History")
    expect(tab.history.locator(".rg-history-problem")).to_contain_text("does not let the app store runs")
    expect(tab.page.locator("#result .rg-result")).to_be_attached()


def test_copied_and_narrow(tabs):
    tab = tabs(viewport={"width": 390, "height": 844}, permissions=["clipboard-read", "clipboard-write"])
    tab.run(1)
    tab.see_runs(1)
    tab.show()
    for title, name in (("Link", "link"), ("Command line", "command"), ("Python", "snippet")):
        button = tab.history.get_by_role("button", name=f"Copy: {title}", exact=True)
        button.click()
        expect(button).to_have_text("Copied")
        assert tab.page.evaluate("navigator.clipboard.readText()") == tab.text(name)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    tab.page.keyboard.press("Escape")
    expect(tab.cards).to_be_visible()
    expect(tab.cards.locator(".rg-run-open")).to_be_focused()
