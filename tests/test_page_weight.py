"""How much a browser is sent before it can show anything: the configuration that the page carries in itself."""

import json
import shutil
import subprocess

import pytest

from redgui.ui import build
from redgui.ui.parts import components

MOST = 630_000  # characters of JSON: settings and events of all components, the pictures on the cards, the finished example
MOST_SCRIPT = 180_000  # the one script of the page
STUB = 100  # of a component's own script, which only mounts it


def test_the_page_is_light_and_its_script_is_there_once():
    config = build(device="cpu").get_config_file()
    assert len(json.dumps(config)) <= MOST
    stubs = [part["props"]["js_on_load"] for part in config["components"] if part["props"].get("js_on_load")]
    assert len(stubs) > 40
    assert max(map(len, stubs)) <= STUB
    assert len(components.HEAD) <= MOST_SCRIPT


def test_the_script_of_the_page_defines_every_part_in_one_global():
    assert components.HEAD.count("window.redgui = ") == 1
    assert components.HEAD.count("</script>") == 1, "a script that says so itself would end there"
    for name, path in components.PARTS.items():
        assert f"\n{name}(element, props, trigger, watch) {{\n" in components.HEAD
        assert (components.UI / f"{path}.js").is_file()
    written = {str(path.relative_to(components.UI).with_suffix("")) for path in components.UI.glob("*/*.js")}
    assert written == {*components.SHARED, *components.PARTS.values()}, (
        "a script that reaches no page, or one that is not there"
    )


@pytest.mark.skipif(not shutil.which("node"), reason="node is not here to read the script")
def test_the_script_of_the_page_can_be_read(tmp_path):
    script = tmp_path / "page.js"
    script.write_text(components.HEAD.removeprefix("<script>").removesuffix("</script>"))
    subprocess.run(["node", "--check", str(script)], check=True)


def test_no_script_is_longer_than_a_person_reads():
    long = {path.name: count for path in components.UI.glob("*/*.js") if (count := len(path.read_text().splitlines())) > 300}
    assert not long
