"""What forms, past Gradio: a fetch has what has changed since the last one, and Gradio tells little of what is fetched."""

import asyncio
import threading
import time

import pytest
from wire import Served

from redgui.ui.host import feed
from redgui.ui.host.feed import Feed


def since(of: Feed, at: int) -> dict:
    return asyncio.run(of.since(at))


def test_a_fetch_has_what_has_changed_since_the_last():
    one = Feed()
    one.show({"i": 1, "text": "same", "frames": {"a": "A", "b": "B"}, "none": {}})
    whole = {"at": 1, "parts": [["i", 1], ["text", "same"], ["frames", "a", "A"], ["frames", "b", "B"], ["none", {}]]}
    assert since(one, 0) == whole
    one.show({"i": 2, "text": "same", "frames": {"a": "A", "b": "C"}, "none": {}})
    one.show({"i": 3, "text": "same", "frames": {"a": "A", "b": "C", "d": "D"}, "none": {}})
    assert since(one, 1) == {"at": 3, "parts": [["i", 3], ["frames", "b", "C"], ["frames", "d", "D"]]}
    assert since(one, 2) == {"at": 3, "parts": [["i", 3], ["frames", "d", "D"]]}
    newest = dict(map(tuple, (part for part in since(one, 0)["parts"] if len(part) == 2)))
    assert newest == {"i": 3, "text": "same", "none": {}}


def test_a_fetch_waits_for_news_and_for_no_longer_than_they_may_take(monkeypatch):
    one = Feed()
    threading.Timer(0.2, one.show, [{"i": 1}]).start()
    assert since(one, 0) == {"at": 1, "parts": [["i", 1]]}
    monkeypatch.setattr(feed, "WAIT", 0.05)
    assert since(one, 1) == {"at": 1, "parts": []}
    assert not one._waiting
    feeds = feed.Feeds()
    monkeypatch.setattr(feed, "WAIT", 60.0)
    with feeds.open() as two:
        assert feeds.get(two.name) is two
        fetched = threading.Thread(target=since, args=(two, 0))
        fetched.start()
        while not two._waiting:
            time.sleep(0.001)
    fetched.join(30)  # long before it would have given up by itself
    assert not fetched.is_alive()
    assert feeds.get(two.name) is None


def test_gradio_tells_everything_to_a_page_that_does_not_fetch_and_little_to_one_that_does(monkeypatch):
    one = Feed()
    assert all(one.show({"i": i}) for i in range(5))
    since(one, 0)
    assert not any(one.show({"i": i}) for i in range(5, 10))
    monkeypatch.setattr(feed, "TELL", 0.0)
    assert one.show({"i": 10})  # now and then
    monkeypatch.setattr(feed, "TELL", 60.0)
    assert not one.show({"i": 11})
    monkeypatch.setattr(feed, "LATELY", 0.0)
    assert one.show({"i": 12})  # it has stopped to fetch


@pytest.mark.parametrize("after", ["?after=0", "?after=-1", "?after=x", "?after=999999999999999999999", ""])
def test_who_does_not_know_a_name_gets_nothing(home: Served, after):
    answer = home.http.get(f"{feed.PATH}somebody{after}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_feed_is_behind_the_gate(home: Served):
    with home.host.feeds.open() as one:
        one.show({"frame": "a picture"})
        path = f"{feed.PATH}{one.name}?after=0"
        assert home.http.get(path).json() == {"at": 1, "parts": [["frame", "a picture"]]}
        assert home.http.get(path).headers["cache-control"] == "no-store"
        assert home.http.get(path, headers={"host": "evil.example"}).status_code == 403
        assert home.http.get(path, headers={"origin": "http://evil.example"}).status_code == 403
    assert home.http.get(path).status_code == 204
