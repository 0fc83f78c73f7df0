"""The page in a real browser, as people use it: on a desk, on a phone, by keyboard, with a key.

`make browser` runs these tests. SCREENSHOTS names a folder that keeps what the person sees.
"""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Route, expect
from running import RunningServer

pytest_plugins = ["chromium"]

DOCS = Path(__file__).parents[2] / "docs"
CAT = DOCS / "cat.jpg"
BROKEN = DOCS / "http.md"
KEY, OTHER_KEY = "a-key-of-sixteen-letters", "schlüssel-of-sixteen-letters"
DESK = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]

# Each text's contrast with the ground behind it, of all texts that are visible.
CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).map((x) => x / 255)
      .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const fill = at.querySelector(":scope > .fill");
      const colour = getComputedStyle(fill ?? at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    throw new Error("no ground");
  };
  return [...document.body.querySelectorAll("*")]
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((one) => one.checkVisibility() && !one.closest("noscript, .unseen, :disabled, legend"))
    .map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(ground(one))];
      return [one.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
}"""


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("page") / "log"
    with RunningServer(default_bundle, log, workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def locked(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that asks for a key, and takes at most two photos in a request."""
    log = tmp_path_factory.mktemp("locked") / "log"
    with RunningServer(
        small_bundle, log, workers=1, max_photos=2, api_keys=f"{KEY},{OTHER_KEY}"
    ) as server:
        yield server


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """A function that opens the page of a server as a new visitor.

    At the end no visitor's browser may have asked another server or complained about the page.
    """
    contexts: list[BrowserContext] = []
    asked: list[tuple[str, str]] = []
    complaints: list[str] = []

    def visit(server: RunningServer, **options: object) -> Page:
        context = browser.new_context(**{"viewport": DESK, **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append((server.url, request.url)))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(server.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [url for own, url in asked if not url.startswith((own, "blob:"))] == []
    # The browser itself notes each answer that is an error.
    expected = re.compile(r"^Failed to load resource: (the server responded with|net::ERR_)")
    assert [text for text in complaints if not expected.match(text)] == []


def choose(page: Page, *photos: Path | str) -> None:
    page.get_by_label("Choose photos").last.set_input_files([*photos])


def named(name: str) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": CAT.read_bytes()}


def keep(page: Page, name: str) -> None:
    """Keep what the person sees, if someone wants to look at it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def headline(page: Page) -> str:
    expect(page.locator("#verdict")).to_be_visible()
    return page.locator("#headline").inner_text()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_photo_is_shown_with_its_classes(
    visit: Open, server: RunningServer, size: dict[str, int]
) -> None:
    page = visit(server, viewport=size, has_touch=size is PHONE, is_mobile=size is PHONE)
    assert page.get_by_text("Take a photo").is_visible() is (size is PHONE)
    keep(page, f"start-{size['width']}")
    choose(page, CAT)
    assert headline(page) == "tiger cat"
    expect(page.locator("#explanation")).to_contain_text("42 %: the likeliest of the 1000 classes")
    expect(page.locator("#explanation")).to_contain_text("“Egyptian cat” is nearly as likely")
    assert page.locator(".bar").all_inner_texts()[0].split("\n") == ["tiger cat", "42 %"]
    expect(page.locator(".bar")).to_have_count(5)
    expect(page.locator("#facts")).to_contain_text("300 pixels, JPEG")
    version = server.health()["model"]["version"]
    expect(page.locator("footer")).to_contain_text(f"MobileNetV2_x1_0, version {version}")
    expect(page.locator("footer")).to_contain_text("Nothing is kept")
    expect(page.get_by_role("switch", name="Show where it looked")).to_be_visible()
    # Nothing of this server needs a key.
    for name in ("#key-form", "#problem", "#album", "#forget"):
        expect(page.locator(name)).to_be_hidden()
    # The short side becomes 256 pixels, of which the network sees 224.
    photo, crop = (page.locator(name).bounding_box() for name in ("#photo", "#crop"))
    assert photo
    assert crop
    assert crop["height"] / photo["height"] == pytest.approx(224 / 256, abs=0.01)
    assert crop["width"] == pytest.approx(crop["height"], rel=0.02)
    assert crop["x"] - photo["x"] == pytest.approx((photo["width"] - crop["width"]) / 2, abs=2)
    # The page never scrolls sideways, and a thumb finds its targets.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    targets = page.locator(".button:visible, #languages label").all()
    assert min(one.evaluate("one => one.offsetHeight") for one in targets) >= 44
    keep(page, f"answer-{size['width']}")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_of_each_format_is_answered(
    visit: Open, server: RunningServer, tmp_path: Path, kind: str
) -> None:
    """The photo is upright, also if it says so in its EXIF data only."""
    cat = Image.open(CAT)
    photo, exif = tmp_path / f"cat.{kind.lower()}", Image.Exif()
    exif[0x0112] = 8
    if kind in {"JPEG", "PNG", "WEBP"}:
        cat.transpose(Image.Transpose.ROTATE_270).save(photo, kind, exif=exif)
    else:
        cat.save(photo, kind)
    page = visit(server)
    choose(page, photo)
    assert headline(page) in {"tiger cat", "Egyptian cat"}
    expect(page.locator("#facts")).to_contain_text(re.compile(rf"451 . 300 pixels, {kind}"))
    if kind == "TIFF":
        expect(page.locator("#no-preview")).to_have_text(
            "Your browser cannot show this file, but the server has read it."
        )
        expect(page.locator("#frame")).to_be_hidden()
    elif kind == "WEBP":
        # Chromium does not read the EXIF data of a WebP, so the page does not draw a wrong crop.
        expect(page.locator("#caption")).to_contain_text("Your browser shows this photo turned")
        expect(page.locator("#crop")).to_be_hidden()
    else:
        expect(page.locator("#caption")).to_contain_text("49 % of the photo lies outside")
        size = page.evaluate("[photo.naturalWidth, photo.naturalHeight]")
        assert size == [451, 300]


def test_a_photo_without_a_likely_class_is_called_so(visit: Open, server: RunningServer) -> None:
    page = visit(server)
    page.get_by_role("button", name="an astronaut").click()
    assert headline(page) == "Not sure"
    expect(page.locator("#explanation")).to_contain_text(
        "None of the 1000 classes that the network"
    )
    expect(page.get_by_role("status").filter(has_text="Not sure. Perhaps")).to_have_count(1)
    keep(page, "unsure")


@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_a_model_with_a_threshold_names_several_classes_or_none(
    visit: Open, default_bundle: Path, tmp_path: Path, threshold: float
) -> None:
    bundle = shutil.copytree(default_bundle, tmp_path / "bundle")
    config = yaml.safe_load((bundle / "inference.yml").read_text("utf-8"))
    labels = config["PostProcess"]["Topk"]["label_list"]
    several = {"threshold": threshold, "label_list": labels}
    config["PostProcess"] = {"MultiLabelThreshOutput": several}
    (bundle / "inference.yml").write_text(yaml.safe_dump(config), "utf-8")
    with RunningServer(bundle, tmp_path / "log", workers=1) as server:
        page = visit(server)
        choose(page, CAT, CAT)
        expect(page.locator("#album-state")).to_have_text("2 of 2 done")
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        rows = [*csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig")))]
        if threshold < 0.5:
            assert headline(page) == "tiger cat, Egyptian cat"
            expect(page.locator("#explanation")).to_have_text(
                "42 %: the model decides by a threshold of 30 %."
            )
            expect(page.locator(".bar")).to_have_count(2)
            assert [row["label"] for row in rows] == ["tiger cat", "Egyptian cat"] * 2
        else:
            assert headline(page) == "None of its classes"
            expect(page.locator("#explanation")).to_have_text(
                "No class of the 1000 that the network knows reaches its threshold."
            )
            expect(page.locator(".bar")).to_have_count(0)
            assert [row["label"] for row in rows] == ["", ""]
            page.get_by_role("switch", name="Show where it looked").click()
            expect(page.locator("#heat")).to_be_hidden()
        keep(page, f"threshold-{threshold}")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_photos_are_dropped_and_pasted(visit: Open, server: RunningServer, way: str) -> None:
    page = visit(server)
    page.evaluate(
        """async ([way, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "given.jpg", { type: "image/jpeg" }));
          const event = way === "drop"
            ? new DragEvent("drop", { dataTransfer: data, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data });
          document.dispatchEvent(event);
        }""",
        [way, list(CAT.read_bytes())],
    )
    assert headline(page) == "tiger cat"
    expect(page.locator("#file-name")).to_have_text("given.jpg")


def test_an_error_stands_in_words_where_the_answer_would(
    visit: Open, server: RunningServer
) -> None:
    page = visit(server)
    choose(page, BROKEN)
    problem = page.get_by_role("alert").filter(has_text="not an image of a known format")
    expect(problem).to_contain_text("Save the photo as a JPEG or PNG")
    expect(page.locator("#no-preview")).to_have_text("Your browser cannot show this file.")
    # The same file would get the same answer.
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    expect(page.locator("#busy")).to_be_hidden()
    keep(page, "error")
    choose(page, CAT)
    assert headline(page) == "tiger cat"
    expect(problem).to_be_hidden()


def test_a_lost_connection_can_be_tried_again(visit: Open, server: RunningServer) -> None:
    page = visit(server)
    page.context.set_offline(True)
    choose(page, CAT, CAT)
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    assert headline(page) == "tiger cat"
    expect(page.locator("#album-state")).to_have_text("2 of 2 done")


def test_an_answer_of_a_proxy_is_told_as_well(visit: Open, server: RunningServer) -> None:
    """A proxy before the service answers in HTML, and may not let the page ask for more."""
    page = visit(server)
    page.route("**/health", lambda route: route.fulfill(status=404, body="<h1>Not found</h1>"))
    page.route("**/predict", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.reload()
    choose(page, CAT)
    expect(page.get_by_role("alert").filter(has_text="with status 502")).to_be_visible()
    page.unroute("**/predict")
    page.get_by_role("button", name="Try again").click()
    assert headline(page) == "tiger cat"
    # Nobody has told the size of the network's input.
    expect(page.locator("#photo")).to_be_visible()
    expect(page.locator("#crop")).to_be_hidden()


def test_the_key_is_asked_for_and_stays_in_the_tab(visit: Open, locked: RunningServer) -> None:
    page = visit(locked)
    expect(page.locator("#key-form")).to_be_hidden()
    choose(page, CAT)
    key = page.get_by_label("This server asks for a key")
    expect(key).to_be_focused()
    expect(page.locator("#busy")).to_be_hidden()
    keep(page, "key")
    key.fill("another-key-of-sixteen-letters")
    key.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="does not know this key")).to_be_visible()
    key.fill(OTHER_KEY)
    page.get_by_role("button", name="Use the key").click()
    headline(page)
    expect(page.locator("#key-form")).to_be_hidden()
    expect(page.locator("#snippet")).to_contain_text('-H "Authorization: Bearer $KEY"')
    assert OTHER_KEY not in page.locator("body").inner_text()
    # The tab keeps the key when the page is loaded again; another tab does not know it.
    page.reload()
    choose(page, CAT)
    headline(page)
    other = page.context.new_page()
    other.goto(locked.url)
    choose(other, CAT)
    expect(other.locator("#key-form")).to_be_visible()
    page.get_by_role("button", name="Forget the key").click()
    choose(page, CAT)
    expect(key).to_be_focused()


def test_several_photos_wait_for_one_key(visit: Open, locked: RunningServer) -> None:
    page = visit(locked)
    choose(page, *[CAT] * 6)
    key = page.get_by_label("This server asks for a key")
    key.fill(KEY)
    key.press("Enter")
    expect(page.locator("#album-state")).to_have_text("6 of 6 done")


def test_thirty_photos_make_a_grid_and_a_csv(
    visit: Open, server: RunningServer, tmp_path: Path
) -> None:
    rng, cat = np.random.default_rng(7), Image.open(CAT)
    photos = [tmp_path / f'={number}, "quoted".jpg' for number in range(29)]
    for photo in photos:
        x, y = rng.integers(0, 40, 2)
        cat.crop((x, y, x + 400, y + 260)).save(photo)
    page, sent, refused = visit(server), list[float](), list[float]()

    def refuse_once(route: Route) -> None:
        sent.append(time.monotonic())
        if refused:
            route.continue_()
            return
        refused.append(time.monotonic())
        body = {"title": "The service is full", "status": 429, "code": "overloaded"}
        route.fulfill(status=429, headers={"Retry-After": "3"}, json=body)

    page.route("**/predict", refuse_once)
    choose(page, *photos[:14], BROKEN, *photos[14:])
    expect(page.locator("#busy-text")).to_have_text(
        "The server is full. The page asks again in 3 seconds."
    )
    state = page.locator("#album-state")
    expect(state).to_have_text("30 of 30 done, 1 without an answer")
    expect(page.get_by_role("status").filter(has_text="30 of 30 done")).to_have_count(1)
    # Four requests were on their way; the next ones wait as long as the server has asked.
    assert len(sent) == 31
    assert sent[4] - refused[0] >= 2.9
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    version = server.health()["model"]["version"]
    # A spreadsheet runs no name as a formula.
    names = [f"'{photo.name}" for photo in photos]
    assert [row["file"] for row in rows] == [*names[:14], BROKEN.name, *names[14:]]
    assert rows[14]["error"] == "unsupported_image"
    answered = [row for row in rows if not row["error"]]
    assert len(answered) == 29
    assert {row["version"] for row in answered} == {version}
    assert {row["label"] for row in answered} <= {"tiger cat", "Egyptian cat", "tabby, tabby cat"}
    for row in answered:
        assert 0 < float(row["score"]) <= 1
    # A click on a card shows its photo above.
    keep(page, "grid")
    page.locator("#cards").get_by_role("button", name=BROKEN.name).click()
    expect(page.get_by_role("alert").filter(has_text="not an image")).to_be_visible()
    expect(page.locator("[aria-current=true]")).to_contain_text(BROKEN.name)
    # New photos take the place of all old ones.
    choose(page, CAT)
    assert headline(page) == "tiger cat"
    expect(page.locator("#album")).to_be_hidden()


def test_a_full_server_answers_every_photo_in_the_end(
    visit: Open, small_bundle: Path, tmp_path: Path
) -> None:
    """The server really refuses here: it works on one photo, and lets hardly anyone wait."""
    tight = {"workers": 1, "capacity": 1, "longest_wait_s": 0.001, "decoders": 1}
    with RunningServer(small_bundle, tmp_path / "log", **tight) as server:
        page = visit(server)
        choose(page, *[CAT] * 8)
        expect(page.locator("#album-state")).to_have_text("8 of 8 done")
        assert 'status="429"' in server.client.get("/metrics").text


def test_everything_is_done_with_the_keyboard(visit: Open, server: RunningServer) -> None:
    page = visit(server)
    # Playwright begins to catch the dialog some time after the first listener is there.
    page.on("filechooser", lambda _: None)
    assert tab(page) == "files"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([CAT, BROKEN])
    assert headline(page) == "tiger cat"
    expect(page.locator("#album-state")).to_contain_text("2 of 2")
    stops = [tab(page) for _ in range(17)]
    samples, bars, cards, links = stops[:3], stops[3:8], stops[10:12], stops[15:]
    assert samples == ["cat.jpg", "coffee.jpg", "astronaut.jpg"]
    assert bars[0] == "tiger cat42 %"
    assert (stops[8], stops[9], stops[12], stops[14]) == (
        "explain-switch",
        "download",
        "language",
        "copy",
    )
    # A long line can be scrolled with the keyboard too.
    assert stops[13] == page.locator("#snippet").inner_text()
    assert ["cat.jpg" in cards[0], BROKEN.name in cards[1]] == [True, True]
    assert links == ["Try the API", "OpenAPI"]
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#snippet")).to_contain_text("from photo_classifier import")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    # The screen reader goes on reading at the photo that the card stands for.
    expect(page.locator("#result")).to_be_focused()
    expect(page.locator("#file-name")).to_have_text(BROKEN.name)


def tab(page: Page) -> str:
    """Go on to the next element, which must show that it has the focus; return its name."""
    page.keyboard.press("Tab")
    name, widths = page.evaluate(
        """() => {
          const one = document.activeElement;
          const shown = one.closest("label") ?? one;
          const name = one.id || one.name || one.dataset.sample || one.textContent.trim();
          return [name, [one, shown].map((each) => getComputedStyle(each).outlineWidth)];
        }"""
    )
    assert "3px" in widths, f"{name} has the focus and does not show it"
    return str(name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(visit: Open, server: RunningServer, scheme: str) -> None:
    """The contrast is what WCAG 2 asks for at level AA, in both colour schemes."""
    page = visit(server, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(243, 245, 244)", "dark": "rgb(18, 22, 21)"}[scheme]
    for photos in ([CAT], [CAT, BROKEN]):
        choose(page, *photos)
        headline(page)
        if len(photos) > 1:
            expect(page.locator("#album-state")).to_contain_text("2 of 2")
        contrasts = dict(page.evaluate(CONTRASTS))
        assert len(contrasts) > 20
        assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
    page.locator("#cards").get_by_role("button", name=BROKEN.name).click()
    contrasts = dict(page.evaluate(CONTRASTS))
    assert any("not an image" in text for text in contrasts)
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
    keep(page, scheme)


def test_where_it_looked_is_shown(visit: Open, server: RunningServer) -> None:
    page, asked = visit(server), list[str]()
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    choose(page, CAT)
    headline(page)
    expect(page.locator("#heat")).to_be_hidden()
    assert not [url for url in asked if "explain" in url]
    switch = page.get_by_role("switch", name="Show where it looked")
    switch.check()
    expect(page.locator("#heat")).to_be_visible()
    expect(page.locator("#explain-hint")).to_contain_text("“tiger cat”")
    values = page.evaluate(
        """() => {
          const { data } = heat.getContext("2d").getImageData(0, 0, 7, 7);
          return Array.from({ length: 49 }, (_, pixel) => data[pixel * 4] + data[pixel * 4 + 1]);
        }"""
    )
    # The network looked at some places more than at others.
    assert max(values) > min(values) + 300
    heat, crop = (page.locator(name).bounding_box() for name in ("#heat", "#crop"))
    assert heat == crop
    keep(page, "heat")
    page.get_by_role("button", name="Egyptian cat").press("Enter")
    expect(page.locator("#explain-hint")).to_contain_text("“Egyptian cat”")
    expect(page.get_by_role("button", name="Egyptian cat", pressed=True)).to_be_focused()
    switch.uncheck()
    expect(page.locator("#heat")).to_be_hidden()
    switch.check()
    expect(page.locator("#heat")).to_be_visible()
    # Each map is asked for once.
    maps = [url for url in asked if "explain" in url]
    assert maps == ["explain?class_index=282", "explain?class_index=285"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the Python client as the page says, but into a folder of its own."""
    folder = tmp_path_factory.mktemp("client")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command = [*pip, "--no-deps", "--target", str(folder), "./clients/python"]
    subprocess.run(command, cwd=DOCS.parent, timeout=300, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("photos", [[CAT], [CAT, BROKEN]], ids=["one", "several"])
def test_the_shown_request_works(
    visit: Open,
    server: RunningServer,
    locked: RunningServer,
    language: str,
    key: str | None,
    photos: list[Path],
) -> None:
    page = visit(locked if key else server, permissions=["clipboard-read", "clipboard-write"])
    choose(page, *photos)
    if key:
        page.get_by_label("This server asks for a key").fill(key)
        page.keyboard.press("Enter")
    headline(page)
    page.get_by_label(language).check()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    program = page.evaluate("navigator.clipboard.readText()")
    assert program == page.locator("#snippet").inner_text()
    shown = page.locator("#bars .bar").first.inner_text().split("\n")[0]
    # Playwright brings a Node of its own.
    node, _ = compute_driver_executable()
    command = {
        "curl": ["bash", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": [node, "--input-type=module", "--eval"],
    }[language]
    environment = {**os.environ, "KEY": key or ""}
    result = subprocess.run(
        [*command, program],
        cwd=DOCS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown in result.stdout, result.stderr
    assert ("unsupported_image" in result.stdout) is (len(photos) > 1)
    assert ("pip install ./clients/python" in program) is (language == "Python")


def test_of_many_photos_the_program_names_a_few(
    visit: Open, server: RunningServer, locked: RunningServer
) -> None:
    page = visit(server)
    choose(page, BROKEN, CAT)
    code = page.locator("#snippet")
    expect(code).to_contain_text("files=@http.md")
    names = ("a.jpg", "$(b).jpg", "c.jpg", "d.jpg")
    page.locator("#files").set_input_files([*map(named, names)])
    expect(code).to_contain_text("files=@photo-2.jpg")
    assert re.findall(r"@(\S+)", code.inner_text()) == ["a.jpg", "photo-2.jpg", "c.jpg"]
    # A request to this server may have two photos.
    page = visit(locked)
    page.locator("#files").set_input_files([*map(named, names)])
    code = page.locator("#snippet")
    expect(code).to_contain_text("files=@photo-2.jpg")
    assert re.findall(r"@(\S+)", code.inner_text()) == ["a.jpg", "photo-2.jpg"]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_end_of_a_long_line_is_not_under_the_button(
    visit: Open, server: RunningServer, size: dict[str, int]
) -> None:
    page = visit(server, viewport=size)
    page.locator("#files").set_input_files(named(f"{'a' * 120}.jpg"))
    expect(page.locator("#snippet")).to_contain_text("aaa")
    end, ground, button = page.evaluate(
        """() => {
          const pre = document.querySelector("pre"), text = document.createRange();
          pre.scrollLeft = pre.scrollWidth;
          text.selectNodeContents(snippet);
          return [text, pre, copy].map((one) => one.getBoundingClientRect().toJSON());
        }"""
    )
    assert end["width"] > ground["width"]
    assert end["right"] <= ground["right"]
    assert end["right"] <= button["left"] or end["bottom"] <= button["top"]
