"""The page in a real browser: widths, colours, filters, paper, and that nothing hostile runs."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from matinee.report import render_board, render_page, render_study

_spec = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
chromium = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(chromium)

pytestmark = pytest.mark.browser

EVIL = '<script>document.title="taken"</script><img src="http://127.0.0.1:9/x" onerror="document.title=\'taken\'">'


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def path(tmp_path_factory, contents):
    rows = contents.analysis["mistakes"]["all"]
    rows = [{**rows[0], "text": f"Needle {EVIL}", "id": "evil"}, *rows[1:]]
    analysis = {**contents.analysis, "mistakes": {**contents.analysis["mistakes"], "all": rows}}
    names = ("a label with quite a long name", f"positive {EVIL}")
    path = tmp_path_factory.mktemp("page") / "report.html"
    page = render_page(replace(contents, analysis=analysis, label_names=names, name=f"run {EVIL}"))
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_nothing_complains(browser, path, width, dark):
    browser.open(path, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    said = [event for event in browser.events if event.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]
    assert said == []


def test_nothing_runs_and_nothing_is_fetched(browser, path):
    browser.open(path)
    assert browser.run("document.title").startswith("run <script>")
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert asked == [path.as_uri()]


def test_no_word_is_cut_by_its_cell(browser, path):
    """On a phone, what does not fit scrolls inside its own box."""
    browser.open(path, width=360)
    script = """[...document.querySelectorAll("main *")].filter((each) => {
      const box = each.getBoundingClientRect();
      return box.width && box.right > 361 && !each.closest(".scroll");
    }).map((each) => each.outerHTML.slice(0, 80))"""
    assert browser.run(script) == []


@pytest.fixture(scope="module", params=["study", "board"])
def experiment(request, tmp_path_factory):
    """Return the page of a search and of a leaderboard, with something hostile in their names."""
    spec = importlib.util.spec_from_file_location("experiments", Path(__file__).with_name("experiments.py"))
    experiments = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiments)
    path = tmp_path_factory.mktemp("experiment") / f"{request.param}.html"
    render = {"study": render_study, "board": render_board}[request.param]
    path.write_text(render(getattr(experiments, request.param)(data=f"data {EVIL}")), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, True), (768, False), (1280, False)])
def test_pages_of_experiments_fit_and_fetch_nothing(browser, experiment, width, dark):
    browser.open(experiment, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.title").startswith("data <script>")
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert asked == [experiment.as_uri()]
    assert not [e for e in browser.events if e.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]
    cut = """[...document.querySelectorAll("main *")].filter((each) => {
      const box = each.getBoundingClientRect();
      return box.width && box.right > innerWidth + 1 && !each.closest(".scroll");
    }).map((each) => each.outerHTML.slice(0, 80))"""
    assert browser.run(cut) == []


def test_a_telephone_gets_the_narrow_charts(browser, experiment):
    shown = """[...document.querySelectorAll(".broad, .narrow")].filter((each) => each.offsetParent)
      .map((each) => each.className)"""
    for width, kind in ((360, "narrow"), (1280, "broad")):
        browser.open(experiment, width=width)
        assert set(browser.run(shown)) == {kind}


SHOWN = '[...document.querySelectorAll("[data-mistake]")].filter((each) => each.offsetParent).length'


def set_field(browser, name, value):
    browser.run(
        f'(() => {{ const field = document.querySelector("[name={name}]"); field.value = "{value}";'
        'field.dispatchEvent(new Event("input", { bubbles: true })); })()'
    )


def test_search_and_filters(browser, path, contents):
    browser.open(path)
    n_all = browser.run('document.querySelectorAll("[data-mistake]").length')
    assert browser.run('document.getElementById("shown").textContent') == f"{n_all} on this page"
    set_field(browser, "search", "needle nowhere")
    assert browser.run(SHOWN) == 0
    assert browser.run('document.getElementById("none").offsetParent !== null')
    set_field(browser, "search", "TITLE needle")
    assert browser.run(SHOWN) == 1
    set_field(browser, "search", "")
    set_field(browser, "kind", "uncertain")
    uncertain = contents.analysis["mistakes"]["kinds"]["uncertain"]
    assert browser.run(SHOWN) == len(uncertain)
    browser.run('document.querySelector("#filters button").click()')
    browser.run("new Promise((done) => setTimeout(done, 20))")
    assert browser.run('document.getElementById("shown").textContent') == f"{n_all} on this page"


def test_without_scripts_it_is_a_plain_list(browser, path):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path)
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
        assert browser.run('document.getElementById("filters").offsetParent === null')
        assert browser.run(SHOWN) >= 3
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints(browser, path, tmp_path):
    browser.open(path, dark=True)
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run('getComputedStyle(document.querySelector("nav")).display') == "none"
    browser.send("Emulation.setEmulatedMedia", media="")
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.run('document.querySelector("#settings details").open') is False
