"""The demo page in a real browser: answers, reasons, files, keys and errors, at every width, and nothing hostile runs."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import random
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from matinee.serving.app import create_app
from matinee.serving.server import address_of, bind


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up by name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).resolve().parent
chromium = _load(HERE.parent / "report" / "chromium.py")
page_server = _load(HERE / "page_server.py")

pytestmark = pytest.mark.browser

EVIL = '<script>document.title="taken"</script><img src="x" onerror="document.title=\'taken\'">'
MANY = tuple(
    f"{place}: a label with a long name, as people make them, and_one_word_that_{'never_' * 12}ends"
    for place in range(12)
)
PRAISE = "A warm and funny film."
COMPLAINT = "Dull, and a waste of time."


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as running:
        running.send("DOM.enable")
        yield running


@pytest.fixture(scope="module")
def running():
    with page_server.PageServer() as server:
        yield server


@pytest.fixture
def server(running):
    running.behaviour = page_server.Behaviour()
    return running


class Page:
    """The page in the browser, and what a reader does with it."""

    def __init__(self, browser, url, downloads):
        self.browser, self.url, self.downloads = browser, url, downloads
        browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def open(self, *, width=1280, dark=False, ready='document.querySelector("#model-note b")'):
        self.browser.open(SimpleNamespace(as_uri=lambda: self.url), width=width, dark=dark)
        self.browser.run("sessionStorage.clear()")
        self.reload(ready=ready, width=width, dark=dark)

    def reload(self, *, ready='document.querySelector("#model-note b")', width=1280, dark=False):
        self.browser.open(SimpleNamespace(as_uri=lambda: self.url), width=width, dark=dark)
        self.until(ready)

    def run(self, script):
        return self.browser.run(script)

    def until(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never: {condition}; {self.run('document.body.innerText')}"
            time.sleep(0.02)

    def text(self, name):
        return self.run(f'document.getElementById("{name}").innerText')

    def seen(self, name):
        return self.run(f'document.getElementById("{name}").checkVisibility()')

    def click(self, selector):
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, text):
        self.run('document.getElementById("text").focus(); document.getElementById("text").select()')
        self.browser.send("Input.insertText", text=text)

    def set(self, name, value, event="input"):
        self.run(
            f'document.getElementById("{name}").value = {json.dumps(value)};'
            f'document.getElementById("{name}").dispatchEvent(new Event("{event}", {{ bubbles: true }}))'
        )

    def answer(self, label):
        shown = 'document.getElementById("verdict").checkVisibility()'
        self.until(f'{shown} && document.getElementById("verdict").innerText === {json.dumps(label)}')

    def explained(self):
        self.until('document.getElementById("why-content").checkVisibility()')

    def says(self, name, part):
        line = f'document.getElementById("{name}")'
        self.until(f"{line}.checkVisibility() && {line}.innerText.includes({json.dumps(part)})")

    def upload(self, path):
        found = self.browser.send("Runtime.evaluate", expression='document.getElementById("file")')
        self.browser.send("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def score(self):
        self.until('document.getElementById("start").checkVisibility()')
        self.click("#start")
        self.until('document.getElementById("download").checkVisibility()')

    def download(self):
        for path in self.downloads.iterdir():
            path.unlink()
        self.click("#download")
        end = time.monotonic() + 10
        while not (new := list(self.downloads.glob("*.csv"))):
            assert time.monotonic() < end, "nothing was downloaded"
            time.sleep(0.02)
        return new[0]

    def marks(self):
        script = """[...document.querySelectorAll("#marked mark")].map((mark) => [
          mark.textContent, mark.className.split(" ")[0], mark.title, getComputedStyle(mark, "::before").content])"""
        return self.run(script)

    def complaints(self):
        return [e for e in self.browser.events if e.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]


@pytest.fixture
def page(browser, server, tmp_path):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    return Page(browser, server.url, downloads)


def write_csv(path, rows, **how):
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as stream:
        csv.writer(stream, **how).writerows(rows)
    return path


def read_csv(path, **how):
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True, **how))


class TestLook:
    @pytest.mark.parametrize("width", [360, 1280])
    @pytest.mark.parametrize("dark", [False, True])
    def test_it_fits_can_be_read_and_nothing_complains(self, page, server, tmp_path, width, dark):
        server.behaviour.labels = MANY
        page.open(width=width, dark=dark)
        self.check(page, width)
        page.type(f"{PRAISE} But dull, {'x' * 200} " + "and on " * 500)
        page.click("#explain")
        page.explained()
        page.set("threshold", 99)
        page.upload(
            write_csv(tmp_path / f"{'name' * 30}.csv", [["id", "text " * 9], *[[n, PRAISE * 5] for n in range(9)]])
        )
        page.until('document.getElementById("start").checkVisibility()')
        self.check(page, width)
        page.click("#view-sentences")
        page.click("#more-labels")
        page.score()
        server.behaviour.forced["/predict"] = [(500, {}, {"error": "It broke.", "code": "internal"})]
        page.click("#judge")
        page.says("text-problem", "It broke.")
        self.check(page, width, expected=1)

    def check(self, page, width, expected=0):
        """Nothing is wider than the window, no text is hard to read, and the console is quiet."""
        outside = """[...document.querySelectorAll("body *")].filter((each) => {
          const box = each.getBoundingClientRect();
          return each.checkVisibility() && box.width > 1 && box.right > %d + 1 && !each.closest(".scroll");
        }).map((each) => each.outerHTML.slice(0, 80))"""
        assert page.run(outside % width) == []
        assert page.run("document.documentElement.scrollWidth") <= width
        page.run("for (const each of document.getAnimations()) if (each instanceof CSSTransition) each.finish()")
        assert page.run(WEAK) == []
        assert len(page.complaints()) == expected, page.complaints()

    def test_every_control_has_a_name(self, page, tmp_path):
        page.open()
        page.type(PRAISE)
        page.click("#explain")
        page.explained()
        page.upload(write_csv(tmp_path / "t.csv", [["text", "n"], [PRAISE, 1]]))
        page.until('document.getElementById("start").checkVisibility()')
        page.browser.send("Accessibility.enable")
        nodes = page.browser.send("Accessibility.getFullAXTree")["nodes"]
        page.browser.send("Accessibility.disable")
        roles = {"button", "checkbox", "combobox", "link", "radio", "slider", "textbox", "region", "navigation"}
        shown = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
        controls = [(role, name) for role, name in shown if role in roles]
        assert {role for role, _ in controls} == roles
        assert [control for control in controls if not control[1]] == []
        assert ("main", "") in shown
        (slider,) = [name for role, name in controls if role == "slider"]
        assert slider == "Answer only when at least 0% sure"

    def test_the_first_key_leads_to_the_text_box(self, page):
        page.open()
        for key, code in (("Tab", 9), ("Enter", 13)):
            for kind, text in (("keyDown", "\r" if key == "Enter" else ""), ("keyUp", "")):
                page.browser.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)
            if key == "Tab":
                assert page.run("document.activeElement.className") == "skip"
                assert page.run("document.activeElement.getBoundingClientRect().left") == 0
        page.until('document.activeElement.id === "text"')

    def test_what_it_says_of_the_model(self, page, server):
        page.open()
        assert page.text("model-note") == (
            "imdb-minilm sorts texts into “negative” and “positive”. Of 2,000 texts it had never seen, "
            "it got 86.8% right (95% interval 85.2% to 88.2%)."
        )
        assert page.seen("report")
        assert page.run("document.title") == "imdb-minilm · matinee"
        server.behaviour.model = {"metrics": None, "card": None, "report": False, "max_length": None}
        page.open()
        assert page.text("model-note").endswith("How often it is right was not measured.")
        assert not page.seen("report")
        assert not page.seen("card-box")

    def test_it_loads_nothing_from_elsewhere(self, page, server):
        page.open()
        page.type(PRAISE)
        page.answer("positive")
        asked = [
            e["params"]["request"]["url"] for e in page.browser.events if e.get("method") == "Network.requestWillBeSent"
        ]
        assert len(asked) >= 6
        assert [url for url in asked if not url.startswith(server.url)] == []


# Texts whose contrast with what lies behind them is below 4.5 (3 where they are large).
WEAK = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
  const behind = (each) => (each ? over(parse(getComputedStyle(each).backgroundColor), behind(each.parentElement)) : [255, 255, 255]);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.checkVisibility() || each.closest(".hidden-text, option")) continue;
    const style = getComputedStyle(each);
    const ground = behind(each);
    const [one, other] = [light(over(parse(style.color), ground)), light(ground)].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) weak.push([contrast.toFixed(2), each.outerHTML.slice(0, 80)]);
  }
  return weak;
})()"""


class TestOneText:
    def test_the_answer_follows_while_typing(self, page, server):
        page.open()
        for letter in PRAISE:
            page.run('document.getElementById("text").focus()')
            page.browser.send("Input.insertText", text=letter)
        page.answer("positive")
        assert server.behaviour.sizes() == [1]
        assert page.text("sure") == "92.1% sure"
        assert page.run('[...document.querySelectorAll("#bars li")].map((bar) => bar.innerText)') == [
            "negative\n7.9%",
            "positive\n92.1%",
        ]
        assert page.run('document.querySelector("#bars .chosen .fill").style.getPropertyValue("--share")').startswith(
            "92.0"
        )
        page.type(COMPLAINT)
        page.answer("negative")
        page.until('document.getElementById("announcement").textContent === "negative, 98.2% sure"')

    def test_a_late_answer_is_dropped(self, page, server):
        """Even where it cannot be called off."""
        page.open()
        page.run(
            "window.fetch = ((fetch) => (path, options) => fetch(path, { ...options, signal: undefined }))(window.fetch)"
        )
        server.behaviour.delays = [0.8, 0.0]
        page.type(COMPLAINT)
        page.click("#judge")
        page.type(PRAISE)
        page.click("#judge")
        page.answer("positive")
        time.sleep(1)
        assert page.text("verdict") == "positive"
        assert server.behaviour.sizes() == [1, 1]
        assert not page.seen("busy")

    def test_a_text_taken_away_takes_its_answer_along(self, page):
        page.open()
        page.type(PRAISE)
        page.answer("positive")
        page.click("#clear")
        assert not page.seen("answer")
        page.click("#judge")
        assert page.text("text-problem") == "Type or paste a text first."

    def test_abstention(self, page, server):
        page.open()
        page.type(PRAISE)
        page.answer("positive")
        page.set("threshold", 95)
        page.answer("uncertain")
        assert (
            page.text("abstained")
            == "Likeliest is “positive”, of which the model is 92.1% sure: less than the 95% you ask for."
        )
        page.set("threshold", 90)
        page.answer("positive")
        assert server.behaviour.sizes() == [1]

    def test_many_labels(self, page, server):
        server.behaviour.labels = MANY
        page.open()
        page.type("Nothing that counts.")
        page.answer(MANY[-1])
        assert page.run('document.querySelectorAll("#bars li").length') == 5
        page.click("#more-labels")
        assert page.run('[...document.querySelectorAll("#bars .name")].map((name) => name.textContent)') == [
            MANY[-1],
            *MANY[:-1],
        ]

    def test_samples_and_the_keyboard(self, page):
        page.open()
        page.click("#samples button:nth-child(2)")
        page.answer("negative")
        page.run(
            'document.getElementById("text").value = "A wonderful thing."; document.getElementById("text").focus()'
        )
        for kind in ("keyDown", "keyUp"):
            page.browser.send("Input.dispatchKeyEvent", type=kind, key="Enter", modifiers=2, windowsVirtualKeyCode=13)
        page.answer("positive")

    def test_half_a_surrogate_pair(self, page, server):
        page.open()
        page.run('document.getElementById("text").value = "warm \\ud83d film"')
        page.click("#judge")
        page.answer("positive")
        assert server.behaviour.requests[-1][1] == {"texts": ["warm \N{REPLACEMENT CHARACTER} film"]}


class TestWhy:
    def test_words_are_marked_by_sign_and_line_and_not_by_colour_alone(self, page):
        page.open()
        page.type("🎬🎬 A wonderful cast, and a dull film.")
        page.click("#explain")
        page.explained()
        assert page.marks() == [
            ["wonderful", "for", "+2.00: speaks for positive", '"+"'],
            ["dull", "against", "−1.90: speaks against positive", '"−"'],
        ]
        assert page.run('document.getElementById("marked").textContent') == "🎬🎬 A wonderful cast, and a dull film."
        lines = 'getComputedStyle(document.querySelector("#marked .{}")).borderBottomStyle'
        assert [page.run(lines.format(name)) for name in ("for", "against")] == ["solid", "dotted"]
        assert page.text("for-words").split() == ["wonderful", "+2.00"]
        assert page.text("against-words").split() == ["dull", "−1.90"]

    def test_the_other_label(self, page, server):
        page.open()
        page.type(PRAISE)
        page.click("#explain")
        page.explained()
        # An explanation may come before the answer; a question about the answer would then be the last.
        page.answer("positive")
        page.set("why-label", "negative", "change")
        page.until('document.getElementById("legend-for").textContent === "negative"')
        assert {mark[1] for mark in page.marks()} == {"against"}
        assert server.behaviour.requests[-1] == ("/explain", {"text": PRAISE, "label": "negative"})

    def test_what_was_not_read(self, page):
        page.open()
        page.type("warm<br />film " * 201)
        page.click("#explain")
        page.explained()
        unread = page.run('[...document.querySelectorAll("#marked .unread")].map((each) => each.textContent)')
        # A tag's name is a word to the stand-in.
        assert len(unread) == 1
        assert unread[0].endswith("film")
        assert page.seen("legend-unread")

    def test_sentences(self, page):
        page.open()
        page.type("It is dull. It is wonderful.")
        page.click("#explain")
        page.explained()
        page.click("#view-sentences")
        assert not page.seen("marked")
        assert page.text("sentences-view").split("\n") == ["−1.90", "It is dull.", "+2.00", "It is wonderful."]

    def test_it_goes_with_the_text(self, page):
        page.open()
        page.type(PRAISE)
        page.click("#explain")
        page.explained()
        page.type(COMPLAINT)
        assert not page.seen("why")

    def test_a_failure_stands_beside_it(self, page, server):
        page.open()
        server.behaviour.forced["/explain"] = [
            (413, {}, {"error": "Explain up to 20,000 characters.", "code": "too_long"})
        ]
        page.type(PRAISE)
        page.click("#explain")
        page.says("why-problem", "Explain up to 20,000 characters.")
        page.answer("positive")
        assert not page.seen("why-content")


class TestHistory:
    def entries(self, page):
        return page.run('[...document.querySelectorAll("#history li")].map((entry) => entry.innerText.split("\\n"))')

    def test_one_entry_for_what_is_typed_on(self, page):
        page.open()
        for text in ("A warm and", PRAISE, PRAISE + " Wonderful."):
            page.type(text)
            page.until(f'document.querySelector("#history .snippet")?.textContent === {json.dumps(text)}')
        page.type(COMPLAINT)
        page.answer("negative")
        shown = [[entry[0], entry[-1]] for entry in self.entries(page)]
        assert shown == [["negative", COMPLAINT], ["positive", PRAISE + " Wonderful."]]

    def test_it_outlives_a_reload_and_is_cleared(self, page):
        page.open()
        page.type(PRAISE)
        page.answer("positive")
        page.reload()
        page.click("#history button")
        page.answer("positive")
        assert page.run('document.getElementById("text").value') == PRAISE
        page.click("#forget")
        assert self.entries(page) == []
        page.reload()
        assert self.entries(page) == []

    @pytest.mark.parametrize("kept", ["{", "3", '[{"text": 1}, null]'])
    def test_what_somebody_else_left_there(self, page, kept):
        page.open()
        page.run(f'sessionStorage.setItem("matinee-history", {json.dumps(kept)})')
        page.reload()
        assert self.entries(page) == []
        assert page.complaints() == []


class TestErrors:
    def test_a_busy_server_is_asked_again(self, page, server):
        page.open()
        server.behaviour.forced["/predict"] = [(429, {"Retry-After": "1"}, {"error": "Busy.", "code": "queue_full"})]
        page.type(PRAISE)
        page.click("#judge")
        page.says("text-problem", "The server is busy; asking again in 1 second.")
        page.answer("positive")
        assert not page.seen("text-problem")

    def test_a_server_that_stays_busy(self, page, server):
        page.open()
        server.behaviour.forced["/predict"] = [
            (503, {"Retry-After": "0.1"}, {"error": "Come back later.", "code": "closing"})
        ] * 9
        page.type(PRAISE)
        page.says("text-problem", "Come back later.")
        assert len(server.behaviour.sizes()) == 4

    def test_an_error_without_words(self, page, server):
        page.open()
        server.behaviour.forced["/predict"] = [(502, {}, "<h1>Bad gateway</h1>"), (200, {}, "no JSON")]
        page.type(PRAISE)
        page.says("text-problem", "The server answered with error 502 and gave no reason.")
        page.click("#judge")
        page.says("text-problem", "The server's answer cannot be read.")
        page.click("#judge")
        page.answer("positive")

    def test_a_server_that_is_gone(self, page, server):
        page.open()
        page.browser.send(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        try:
            page.type(PRAISE)
            page.says("text-problem", "The server does not answer.")
        finally:
            page.browser.send(
                "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
            )


class TestKey:
    OPEN = 'document.getElementById("key-dialog").open'

    def give(self, page, key):
        page.until(self.OPEN)
        page.set("key", key)
        page.click("#key-form .primary")

    def test_it_is_asked_for_and_kept_nowhere(self, page, server):
        server.behaviour.key = "correct-horse"
        page.open(ready=self.OPEN)
        page.click("#key-form .primary")
        assert page.text("key-problem") == "Type or paste the key first."
        self.give(page, "schlüssel")
        assert page.text("key-problem") == "A key has no spaces and no accented letters."
        self.give(page, "wrong")
        page.says("key-problem", "The server did not take this key.")
        self.give(page, "correct-horse")
        page.until('document.querySelector("#model-note b")')
        page.type(PRAISE)
        page.answer("positive")
        kept = page.run("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert "positive" in kept
        assert "correct-horse" not in kept

    def test_what_was_asked_without_it_is_asked_again(self, page, server):
        server.behaviour.key, server.behaviour.delays = "correct-horse", [0.6]
        page.open(ready=self.OPEN)
        page.run(f'document.getElementById("text").value = {json.dumps(PRAISE)}')
        page.click("#judge")
        page.run("new Promise((done) => setTimeout(done, 100))")
        self.give(page, "correct-horse")
        page.answer("positive")
        assert not page.run(self.OPEN)
        assert server.behaviour.sizes() == [1, 1]

    def test_who_has_none_is_asked_again_only_by_a_button(self, page, server):
        server.behaviour.key = "correct-horse"
        page.open(ready=self.OPEN)
        page.click("#key-cancel")
        page.says("about-problem", "This server asks for a key")
        page.type(PRAISE)
        page.says("text-problem", "Send the key.")
        assert not page.run(self.OPEN)
        page.click("#judge")
        self.give(page, "correct-horse")
        page.answer("positive")


class TestHostileText:
    def test_it_is_text_everywhere(self, page, server, tmp_path):
        server.behaviour.labels = ("negative", f"wonderful {EVIL}")
        server.behaviour.model = {"name": f"run {EVIL}", "card": EVIL, "encoder": EVIL}
        page.open()
        page.type(f"wonderful {EVIL}. Dull.")
        page.answer(f"wonderful {EVIL}")
        page.click("#explain")
        page.explained()
        page.upload(write_csv(tmp_path / "evil<img>.csv", [["text", EVIL], [f"warm {EVIL}", EVIL]]))
        page.score()
        assert page.run('document.querySelectorAll("body script, body img").length') == 1
        assert page.run("document.title") == f"run {EVIL} · matinee"
        # The icon in the header is all that was there to load.
        assert page.complaints() == []


class TestFile:
    def test_there_and_back(self, page, server, tmp_path):
        texts = [PRAISE, COMPLAINT, 'She said: "warm",\nand left.', "=HYPERLINK(1)", "  "] * 24
        rows = [[str(n), text, "-1.5"] for n, text in enumerate(texts)]
        path = write_csv(tmp_path / "my reviews.csv", [["id", "review", "=sum"], *rows])
        page.open()
        page.upload(path)
        page.score()
        assert server.behaviour.sizes() == [40, 40, 16]
        assert page.text("progress-text") == "Done: 120 rows; 24 without a text."
        assert page.text("counts").split("\n") == ["negative", "48 (50.0%)", "positive", "48 (50.0%)"]
        got = page.download()
        assert got.name == "my reviews-scored.csv"
        head, *scored = read_csv(got)
        assert head == ["id", "review", "'=sum", "label", "score"]
        assert [row[1] for row in scored] == [text.replace("=H", "'=H") for text in texts]
        assert [row[2] for row in scored] == ["-1.5"] * 120
        assert scored[0][3:] == ["positive", "0.920561"]
        assert scored[1][3] == "negative"
        assert scored[4][3:] == ["", ""]
        assert b"\r\n" in got.read_bytes()

    def test_dropped_with_the_threshold_and_names_that_are_taken(self, page, server):
        page.open()
        page.set("threshold", 95)
        page.run(
            """(() => {
          const files = new DataTransfer();
          const rows = ["\\ufefflabel;text", "1;A warm and funny film.", "2;A wonderful, warm and funny film."];
          files.items.add(new File([rows.join("\\r\\n")], "a.csv"));
          const to = document.getElementById("drop");
          const how = { dataTransfer: files, bubbles: true, cancelable: true };
          for (const kind of ["dragover", "drop"]) to.dispatchEvent(new DragEvent(kind, how));
        })()"""
        )
        page.score()
        assert server.behaviour.requests[-1][1]["abstain_below"] == 0.95
        got = page.download()
        assert got.read_bytes().startswith(b"\xef\xbb\xbf")
        assert read_csv(got, delimiter=";") == [
            ["label", "text", "predicted_label", "score"],
            ["1", PRAISE, "uncertain", "0.920561"],
            ["2", "A wonderful, warm and funny film.", "positive", "0.988456"],
        ]

    def test_another_column_and_no_names(self, page, tmp_path):
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text", "other"], ["dull dull dull dull", "warm"]]))
        page.until('document.getElementById("start").checkVisibility()')
        assert page.text("start") == "Score 1 row"
        page.click("#header")
        assert page.text("start") == "Score 2 rows"
        page.set("column", "1", "change")
        page.score()
        assert [row[2] for row in read_csv(page.download())] == ["label", "negative", "positive"]

    def test_cancel_and_go_on(self, page, server, tmp_path):
        server.behaviour.pause = 0.1
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text"], *[[f"{PRAISE} {n}"] for n in range(500)]]))
        page.until('document.getElementById("start").checkVisibility()')
        page.click("#start")
        page.until('document.getElementById("progress").value > 0')
        page.click("#cancel")
        page.says("progress-text", "Stopped after")
        n_done = page.run('document.getElementById("progress").value')
        assert 0 < n_done < 500
        assert page.text("download") == f"Download {n_done} rows"
        assert len(read_csv(page.download())) == n_done + 1
        server.behaviour.pause = 0.0
        page.click("#go-on")
        page.says("progress-text", "Done: 500 rows.")
        rows = read_csv(page.download())
        assert [row[1] for row in rows[1:]] == ["positive"] * 500

    def test_a_busy_server_and_one_that_breaks(self, page, server, tmp_path):
        busy = (429, {"Retry-After": "1"}, {"error": "Busy.", "code": "queue_full"})
        server.behaviour.forced["/predict"] = [busy, (500, {}, {"error": "It broke.", "code": "internal"})]
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text"], *[[PRAISE]] * 60]))
        page.until('document.getElementById("start").checkVisibility()')
        page.click("#start")
        page.says("progress-text", "The server is busy; asking again in 1 second.")
        page.says("file-problem", "It broke.")
        assert not page.seen("download")
        page.click("#go-on")
        page.says("progress-text", "Done: 60 rows.")
        assert not page.seen("file-problem")

    def test_a_text_that_is_refused_takes_no_other_along(self, page, server, tmp_path):
        server.behaviour.refused = "Unwanted."
        texts = [PRAISE] * 70
        texts[33] = "Unwanted."
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text"], *[[text] for text in texts]]))
        page.score()
        assert page.text("progress-text") == "Done: 70 rows; 1 refused by the server: see the column “error”."
        rows = read_csv(page.download())
        assert rows[0] == ["text", "label", "score", "error"]
        assert rows[34] == ["Unwanted.", "", "", "This text is not wanted here."]
        assert [row[1] for row in rows].count("positive") == 69

    def test_rows_of_a_batch_that_broke_off_count_once(self, page, server, tmp_path):
        broke = (500, {}, {"error": "It broke.", "code": "internal"})
        server.behaviour.forced["/predict"] = [(422, {}, {"error": "Not all of them.", "code": "invalid"}), None, broke]
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text"], *[[PRAISE]] * 50]))
        page.until('document.getElementById("start").checkVisibility()')
        page.click("#start")
        page.says("file-problem", "It broke.")
        page.click("#go-on")
        page.says("progress-text", "Done: 50 rows.")
        assert server.behaviour.sizes() == [50, 25, 25, 50]
        assert page.text("counts").split("\n") == ["positive", "50 (100.0%)"]

    def test_a_server_that_wants_none_of_it_is_not_asked_for_each(self, page, server, tmp_path):
        server.behaviour.refused = "Unwanted."
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["text"], *[["Unwanted."]] * 500]))
        page.until('document.getElementById("start").checkVisibility()')
        page.click("#start")
        page.says("file-problem", "This text is not wanted here.")
        assert server.behaviour.sizes().count(1) < 100
        assert page.seen("go-on")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "This file is empty."),
            (b"\r\n\r\n", "This file is empty."),
            (b"PK\x03\x04abc", "This is a workbook or an archive, not a CSV file: save it as CSV first."),
            (b'text,n\r\nwarm,1\r\n"cold,2\r\n', "The quotes that are opened in line 3 are never closed."),
        ],
    )
    def test_what_is_no_table(self, page, tmp_path, content, message):
        path = tmp_path / "a.csv"
        path.write_bytes(content)
        page.open()
        page.upload(path)
        page.says("file-problem", message)
        assert not page.seen("table")

    @pytest.mark.parametrize(
        ("encoding", "marked"), [("windows-1252", True), ("utf-16", True), ("utf-8", False), ("utf-8-sig", True)]
    )
    def test_encodings(self, page, server, tmp_path, encoding, marked):
        page.open()
        page.upload(write_csv(tmp_path / "a.csv", [["id", "text"], ["1", "Très wonderful"]], encoding=encoding))
        page.score()
        assert server.behaviour.requests[-1][1]["texts"] == ["Très wonderful"]
        assert page.download().read_bytes().startswith(b"\xef\xbb\xbf") == marked


@pytest.fixture
def real(served):
    """The real server, with a classifier that answers by rule, behind a key."""
    config = uvicorn.Config(create_app(served, key="correct-horse"), log_config=None, access_log=False)
    server, listening = uvicorn.Server(config), bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield address_of(listening) + "/"
    server.should_exit = True
    thread.join()
    listening.close()


class TestTheRealServer:
    def test_a_visit(self, browser, real, tmp_path):
        downloads = tmp_path / "downloads"
        downloads.mkdir()
        page = Page(browser, real, downloads)
        page.open(ready=TestKey.OPEN)
        page.set("key", "correct-horse")
        page.click("#key-form .primary")
        page.says("model-note", "reviews sorts texts into “negative” and “positive”.")
        page.type("🎬 A good film, not bad, good.")
        page.answer("positive")
        page.click("#explain")
        page.explained()
        assert [mark[:2] for mark in page.marks()] == [["good", "for"]]
        rows = [[n, "good" if n % 3 else "bad"] for n in range(60)]
        page.upload(write_csv(tmp_path / "a.csv", [["n", "text"], *rows, ["60", "x" * 100_001]]))
        page.score()
        _, *scored = read_csv(page.download())
        assert [row[2] for row in scored[:60]] == ["positive" if n % 3 else "negative" for n in range(60)]
        assert scored[60][2:4] == ["", ""]
        assert "at most 100,000 characters" in scored[60][4]
        page.click("#report")
        end = time.monotonic() + 10
        while not (downloads / "report.html").exists():
            assert time.monotonic() < end, "the report was not saved"
            time.sleep(0.02)
        sent = [e["params"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
        assert [each["request"]["url"] for each in sent if each["type"] == "Document"] == [real]
        # Each 401 and 422 is an entry of the browser's own log.
        said = [event["params"]["entry"]["text"] for event in page.complaints()]
        assert [line for line in said if "401" not in line and "422" not in line] == []

    @pytest.mark.parametrize("dark", [False, True])
    def test_the_reference_fits(self, browser, real, tmp_path, dark):
        page = Page(browser, f"{real}docs", tmp_path)
        page.reload(ready="document.querySelector('h1')", width=360, dark=dark)
        assert page.run("document.documentElement.scrollWidth") <= 360
        assert page.run(WEAK) == []
        assert page.complaints() == []


class TestTables:
    """csv.js by itself."""

    @pytest.fixture
    def call(self, page):
        page.open()

        def call(function, *arguments):
            given = ", ".join(json.dumps(argument) for argument in arguments)
            return page.run(f'import("/static/csv.js").then((csv) => csv.{function}({given}))')

        return call

    def test_it_reads_what_pythons_own_writer_writes(self, call):
        draw = random.Random(0)
        for _ in range(60):
            width, delimiter = draw.randint(1, 5), draw.choice([",", ";", "\t"])
            cells = ["", "a", '"', '""', "a,b", "x;y", "t\tt", "l\nl", "l\r\nl", " ", "é🎬", "'", "=1+1", '"a"b']
            rows = [[draw.choice(cells) for _ in range(width)] for _ in range(draw.randint(1, 8))]
            stream = io.StringIO()
            quoting = draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
            csv.writer(
                stream, delimiter=delimiter, lineterminator=draw.choice(["\n", "\r\n"]), quoting=quoting
            ).writerows(rows)
            text = stream.getvalue() if draw.random() < 0.5 else stream.getvalue().rstrip("\r\n")
            expected = [
                row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row not in ([], [""])
            ]
            assert call("parse", text, delimiter) == expected, text

    def test_pythons_own_reader_reads_what_it_writes(self, call):
        cells = ["", "a", '"', 'say ""', "a,b", "x;y", "t\tt", "l\nl", "l\r\nl", " padded ", "é🎬", "x" * 10_000]
        rows = [cells, cells[::-1]]
        for delimiter in (",", ";", "\t"):
            text = call("format", rows, delimiter)
            assert list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)) == rows

    @pytest.mark.parametrize(
        ("text", "delimiter"),
        [
            ("a,b\n1,2\n", ","),
            ("a;b\n1,5;2,5\n", ";"),
            ("a\tb\n1, or so\t2; or so\n", "\t"),
            ('text;n\n"a, b; c";1\n"d, e, f";2\n', ";"),
            ("text\nwell, yes\nno, no, no\n", ""),
            ("one text only", ""),
            ("", ""),
        ],
    )
    def test_delimiters(self, call, text, delimiter):
        assert call("guessDelimiter", text) == delimiter

    @pytest.mark.parametrize(
        ("rows", "header"),
        [
            ([["id", "text"], ["1", "a"]], True),
            ([["review"], ["a"]], True),
            ([["A warm film."], ["A cold one."]], False),
            ([["1", "a film"], ["2", "another"]], False),
            ([["a", "a"], ["b", "c"]], False),
            ([["a", ""], ["b", "c"]], False),
            ([["x" * 61, "y"], ["b", "c"]], False),
        ],
    )
    def test_headers(self, call, rows, header):
        assert call("guessHeader", rows) == header

    @pytest.mark.parametrize(
        ("rows", "header", "column"),
        [
            ([["id", "Review ", "note"], ["1", "a", "a long remark"]], True, 1),
            ([["id", "what", "n"], ["1", "a long remark", "2"]], True, 1),
            ([["1"], ["2", "longer"]], False, 1),
            ([["id", "x"]], True, 0),
        ],
    )
    def test_columns(self, call, rows, header, column):
        assert call("guessColumn", rows, header) == column

    @pytest.mark.parametrize(
        "cell", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "\n=1", "-", "=", "-1+1", "+1 2", "-1.5=cmd"]
    )
    def test_formulas(self, call, cell):
        assert call("disarm", cell) == f"'{cell}"

    @pytest.mark.parametrize("cell", ["", "a", "-1.5", "+3", "-1,5", "-.5", "-1e9", "+1.5E-3", " =1", "1=1", "'=1"])
    def test_what_is_no_formula(self, call, cell):
        assert call("disarm", cell) == cell

    @pytest.mark.parametrize(
        ("name", "saved"),
        [
            ("a.csv", "a-scored.csv"),
            ("../../etc/passwd", "passwd-scored.csv"),
            ("C:\\x\\y.b.csv", "y.b-scored.csv"),
            (".csv", "texts-scored.csv"),
            ("...", "texts-scored.csv"),
            ("a\u202egnp<b>\x00:|?*.csv", "agnpb-scored.csv"),
            ("é🎬" * 60 + ".csv", "é🎬" * 40 + "-scored.csv"),
        ],
    )
    def test_names_to_save_under(self, call, name, saved):
        assert call("downloadName", name) == saved
