"""The interactive parts of report.html in Chromium: points and maps are clicked, and the result is read."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import analysis
from analysis import sections
from analysis.trials.load import trials_of_sweep
from records import SweepRecords, columns, open_storage

pytestmark = pytest.mark.slow
SPLIT, ATTRIBUTION = "test_ood", "integrated_gradients"
SIZE, KEPT = 28, 8
TOP, LEFT = 3, 17
"""Where the maps have their square."""
LIMIT = 5_000_000
"""Bytes of the page at 3,000 trials."""


def maps_file(rng):
    """A trial's maps.npz: a square of attribution as large as the mask, on noise, which compresses worst."""
    masks = np.zeros((KEPT, SIZE, SIZE), dtype=bool)
    masks[:, 7:14, 7:14] = True
    maps = np.zeros((KEPT, SIZE, SIZE), dtype=np.float16)
    maps[:, TOP : TOP + 7, LEFT : LEFT + 7] = 1
    arrays = {
        "labels": np.ones(KEPT, dtype=int),
        f"{SPLIT}.images": rng.uniform(size=(KEPT, 1, SIZE, SIZE)).astype(np.float16),
        f"{SPLIT}.masks": masks,
        f"{SPLIT}.distractors": np.roll(masks, 14, axis=1),
        f"{SPLIT}.map.{ATTRIBUTION}": maps,
        f"{SPLIT}.region.{ATTRIBUTION}": maps == 1,
        f"{SPLIT}.scored.predicted": (np.arange(2 * KEPT) % 3 > 0).astype(int),
        f"{SPLIT}.scored.index": np.arange(2 * KEPT),
        f"{SPLIT}.scored.correct": np.arange(2 * KEPT) % 3 > 0,
        f"{SPLIT}.scored.iou.{ATTRIBUTION}": rng.uniform(size=2 * KEPT).astype(np.float32),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


class Held(SweepRecords):
    """A sweep whose maps are in memory; the trials of one data seed at one severity have the same."""

    def __init__(self, folder, table):
        super().__init__(open_storage(folder), "demo")
        rng = np.random.default_rng(0)
        places = table.groupby(["dataset", "severity", "data_seed"]).ngroup()
        files = [maps_file(rng) for _ in range(places.max() + 1)]
        self.files = {key: files[place] for key, place in zip(table["trial_key"], places, strict=True)}

    def read_artifact(self, trial_key, file, *largest):
        return self.files[trial_key] if file == "maps.npz" else super().read_artifact(trial_key, file, *largest)


def sweep_of(table, folder):
    return analysis.analyse(trials_of_sweep(Held(folder, table), table), replicates=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def trials(make_table, folder):
    """The trials of a sweep whose report lies beside its artifacts, with the figure that the page draws anew."""
    table = make_table(seeds=3, strengths=(0.1, 1.0), methods=("baseline", "actdiff", "rrr")).assign(**{"hp.lr": 0.003})
    result = sweep_of(table, folder)
    first = result.trials.table["trial_key"].iloc[0]
    picture = io.BytesIO()
    Image.new("RGB", (300, 100), "red").save(picture, "png")
    result.trials.records.write_artifact(first, "saliency.png", picture.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        bare = [s if s.key == "answer" else replace(s, figures=lambda *_: ()) for s in sections.SECTIONS]
        patch.setattr(sections, "SECTIONS", tuple(bare))
        analysis.write_report(result, folder / "demo" / "report")
    return result.trials.table


@pytest.fixture
def page(browser, folder, trials):
    browser.get("about:blank")
    browser.get((folder / "demo" / "report" / "report.html").as_uri())
    yield browser
    errors = [entry for entry in browser.get_log("browser") if "saliency.png" not in entry["message"]]
    assert errors == [], "the page's script has errors"


def all_of(page, selector):
    from selenium.webdriver.common.by import By

    return page.find_elements(By.CSS_SELECTOR, selector)


def one(page, selector):
    (element,) = all_of(page, selector)
    return element


def choose(page, name, text):
    from selenium.webdriver.support.ui import Select

    Select(one(page, f"#map_browser ~ .interactive select[name={name}]")).select_by_visible_text(text)


def captions(page):
    return [tile.text.splitlines() for tile in all_of(page, "#map_browser ~ .interactive .tile")]


def move_to(page, chart, method, index):
    """Put the pointer on a point of a chart and return its trial."""
    from selenium.webdriver import ActionChains

    canvas = all_of(page, "#answer ~ figure canvas")[chart]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    script = """
        const [canvas, method, index] = arguments, chart = Chart.getChart(canvas);
        const at = chart.data.datasets.findIndex((d) => d.method === method && d.type !== "line");
        const point = chart.getDatasetMeta(at).data[index], box = canvas.getBoundingClientRect();
        return [chart.data.datasets[at].data[index].trial,
                Math.round(point.x - box.width / 2), Math.round(point.y - box.height / 2)];
        """
    trial, x, y = page.execute_script(script, canvas, method, index)
    ActionChains(page).move_to_element_with_offset(canvas, x, y).perform()
    return trial


def painted(page, canvas):
    """The first and last row and column of a tile, in its pixels, with the red of strong attribution."""
    return page.execute_async_script(
        """
        const [canvas, done] = arguments;
        setTimeout(() => {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const rows = [], columns = [];
          for (let i = 0; i < pixels.length / 4; i++) {
            // On grey, red at an opacity of 0.6 is 0.6 (255 - 59) above green.
            if (pixels[4 * i] > pixels[4 * i + 1] + 110) {
              rows.push(Math.floor(i / canvas.width));
              columns.push(i % canvas.width);
            }
          }
          done([Math.min(...rows), Math.max(...rows), Math.min(...columns), Math.max(...columns)]);
        }, 300);
        """,
        canvas,
    )


def test_a_click_on_a_point_shows_the_trials_map_and_settings(page, trials):
    from selenium.webdriver import ActionChains

    assert not one(page, "#trial").is_displayed()
    trial = move_to(page, 1, "actdiff", 4)
    expected = trials.iloc[trial]
    assert (expected["method"], expected["severity"]) == ("actdiff", 1.0)
    hints = page.execute_script(
        "return Chart.getChart(document.querySelectorAll('#answer ~ figure canvas')[1]).tooltip.title"
    )
    strength, seed = expected["strength"], expected["data_seed"]
    title = f"ActDiff, λ = {strength:g}, crosses, s = 1, seed {seed}"
    assert title in hints
    ActionChains(page).click().perform()
    dialog = one(page, "#trial")
    assert dialog.is_displayed()
    assert title in dialog.text
    terms, entries = ([e.text for e in all_of(page, f"#trial {tag}")] for tag in ("dt", "dd"))
    shown = dict(zip(terms, entries, strict=True))
    assert shown["trial key"] == expected["trial_key"]
    assert shown["learning rate"] == "0.003"
    assert float(shown["OOD test AUC"]) == pytest.approx(expected["test_ood.auc"], abs=1e-4)
    tiles = all_of(page, "#trial .tile canvas")
    assert len(tiles) == KEPT
    scale = int(tiles[0].get_attribute("width")) / SIZE
    square = [TOP * scale, (TOP + 7) * scale, LEFT * scale, (LEFT + 7) * scale]
    assert painted(page, tiles[0]) == pytest.approx(square, abs=2)
    one(page, "#trial .close").click()
    assert not dialog.is_displayed()
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.split(":")[0] for name in loaded} <= {"data", "file"}, "the page loads nothing from a network"


def test_a_method_can_be_hidden(page):
    visible = """
        const chart = Chart.getChart(document.querySelector("#answer ~ figure canvas"));
        const shown = chart.data.datasets.filter((d, i) => chart.isDatasetVisible(i));
        return shown.filter((d) => d.type !== "line").map((d) => d.method);
        """
    button = next(b for b in all_of(page, "#answer ~ figure .legend button") if "ActDiff" in b.text)
    for methods in (["baseline", "rrr"], ["baseline", "actdiff", "rrr"]):
        button.click()
        assert page.execute_script(visible) == methods
        assert button.get_attribute("aria-pressed") == str("actdiff" in methods).lower()


def test_one_image_across_trials_and_one_trial_across_images(page, trials):
    of_seed = trials[trials["data_seed"] == 0]
    assert len(captions(page)) == len(of_seed), "at first one image of one data seed"
    choose(page, "severity", "1")
    choose(page, "strength", "0.1")
    assert [caption[0] for caption in captions(page)] == ["baseline λ 0.1", "ActDiff λ 0.1", "RRR λ 0.1"]
    choose(page, "data_seed", "all")
    assert [caption[1] for caption in captions(page)] == [f"s 1, data seed {seed}" for seed in range(3)] * 3
    all_of(page, "#map_browser ~ .interactive .tile")[0].click()
    next(b for b in all_of(page, "#trial button") if b.text == "Show in the map browser").click()
    assert [caption[2].split(",")[0] for caption in captions(page)] == [f"image {i + 1}" for i in range(KEPT)]
    assert {caption[0] for caption in captions(page)} == {"baseline λ 0.1"}


def test_right_and_wrong_answers_are_marked_and_selectable(page):
    choose(page, "rank", "all")
    wrong, right = (["true 1", f"predicted {n}", mark] for n, mark in ((0, "✗ wrong"), (1, "✓ right")))
    for caption in captions(page):
        image = int(caption[2].split(",")[0].removeprefix("image "))
        assert caption[3:] == (wrong if (image - 1) % 3 == 0 else right)
    choose(page, "correct", "wrong")
    assert {caption[-1] for caption in captions(page)} == {"✗ wrong"}


def test_best_and_worst_maps_come_first(page):
    choose(page, "rank", "all")
    choose(page, "data_seed", "all")
    scores = {}
    for order in ("best map first", "worst map first"):
        choose(page, "order", order)
        scores[order] = [float(re.search(r"IoU (\S+)", " ".join(caption))[1]) for caption in captions(page)]
    assert scores["best map first"] == sorted(scores["best map first"], reverse=True)
    assert scores["worst map first"] == sorted(scores["worst map first"])
    assert scores["best map first"][0] > 0.9 > 0.1 > scores["worst map first"][0]
    assert len(scores["best map first"]) == 60
    next(b for b in all_of(page, "#map_browser ~ .interactive button") if b.text == "Show more").click()
    assert len(captions(page)) == 120


def test_the_saliency_picture_is_shown_if_it_is_beside_the_page(page):
    from selenium.webdriver.support.ui import WebDriverWait

    first, second = (
        all_of(page, "#map_browser ~ .interactive .tile[data-trial='0']")
        + all_of(page, "#map_browser ~ .interactive .tile:not([data-trial='0'])")[:1]
    )
    first.click()
    width = "const i = document.querySelector('#trial img'); return i && i.naturalWidth"
    WebDriverWait(page, 10).until(lambda p: p.execute_script(width) == 300)
    one(page, "#trial .close").click()
    second.click()
    WebDriverWait(page, 10).until(lambda p: "not beside this page" in one(p, "#trial").text)
    assert all_of(page, "#trial img") == []


def test_print_has_the_static_figure(page):
    live, static = "#answer ~ figure .panels", "#answer ~ figure .wide"
    assert (one(page, live).is_displayed(), one(page, static).is_displayed()) == (True, False)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert (one(page, live).is_displayed(), one(page, static).is_displayed()) == (False, True)
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_page_of_three_thousand_trials_stays_small(make_table, tmp_path, browser):
    many = {
        "strengths": (0.01, 0.1, 1.0, 10.0, 100.0),
        "severities": (0.5, 0.8, 1.0),
        "datasets": ("crosses", "digits"),
    }
    table = make_table(seeds=25, **many)
    assert len(table) == 3000
    rng = np.random.default_rng(1)
    splits, measures = ("train", "valid_id", "valid_ood", "test_id"), ("auc", "accuracy", "loss")
    scores = [*(f"{split}.{m}" for split in splits for m in measures), *columns.PROBES, "hp.lr", "hp.weight_decay"]
    table = table.assign(**{column: rng.uniform(size=len(table)) for column in scores})
    out = tmp_path / "demo" / "report"
    analysis.write_report(sweep_of(table, tmp_path), out)
    assert (out / "report.html").stat().st_size < LIMIT
    browser.get((out / "report.html").as_uri())
    move_to(browser, 0, "rrr", 30)
    assert browser.execute_script(
        "return Chart.getChart(document.querySelector('#answer ~ figure canvas')).tooltip.opacity"
    )
    held = browser.execute_script("return JSON.parse(document.getElementById('page-data').textContent)")
    assert held["trials"]["n"] == 3000
    assert set(held["map_browser"]["tiles"]["trial"]) == set(range(3000)), "a click on any point shows a map"


def test_the_answers_figure_fits_windows_of_any_width(make_table, tmp_path, browser, monkeypatch):
    bare = [s if s.key == "comparisons" else replace(s, figures=lambda *_: ()) for s in sections.SECTIONS]
    monkeypatch.setattr(sections, "SECTIONS", tuple(bare))
    table = make_table(seeds=8, severities=(0.5, 1.0), rho=0.9)
    page = analysis.write_report(analysis.analyse(table, replicates=100), tmp_path / "report")
    try:
        for width in (390, 768, 1280):
            size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(page.as_uri())
            left, right, scale, whole = browser.execute_script(
                """
                const image = document.querySelector("#comparisons ~ figure img"), box = image.getBoundingClientRect();
                const source = new Image();
                source.src = image.currentSrc;
                return source.decode().then(() => [
                  box.left, box.right, box.width / source.naturalWidth, document.documentElement.scrollWidth]);
                """
            )
            assert whole <= width, "the page is scrolled sideways"
            assert 0 <= left < right <= width, f"the picture is cut off at {width}"
            # Type of 9 points, in a picture of 160 dots per inch.
            assert 9 / 72 * 160 * scale > 8, f"its type is too small to read at {width}"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
