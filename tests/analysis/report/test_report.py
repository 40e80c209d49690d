"""The report's files: complete, self-contained, valid, strict and repeatable."""

import base64
import csv
import io
import json
import os
import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from support.report_files import Page, strict_json

import analysis
from analysis import sections
from analysis.report.render import json_bytes
from analysis.report.report import bibliography, explanations
from analysis.sections.choices import RULES
from analysis.sections.drawing import png
from analysis.sections.kept_maps import KeptMap
from analysis.sections.map_sheets import MapSheet, collect_maps
from analysis.sections.maps import SECTION as MAPS
from analysis.sections.section import OTHER_WAYS
from records import Manifest, SweepRecords, open_storage
from records.columns import correctness_auroc

STATISTICS = [section.key for section in sections.SECTIONS if section.part == OTHER_WAYS]
SCORE = "test_ood.iou.integrated_gradients"


def arrays():
    rng, images = np.random.default_rng(0), 6
    masks = np.zeros((images, 16, 16), dtype=bool)
    masks[1:, 4:8, 4:8] = True  # the first image has no mask
    return {
        "labels": np.arange(images) % 2,
        "test_ood.images": rng.uniform(size=(images, 1, 16, 16)).astype(np.float16),
        "test_ood.masks": masks,
        "test_ood.distractors": np.roll(masks, 6, axis=2),
        "test_ood.map.integrated_gradients": rng.uniform(size=(images, 16, 16)).astype(np.float16),
        "test_ood.region.integrated_gradients": np.roll(masks, 2, axis=1),
        "test_ood.scored.iou.integrated_gradients": np.linspace(0.6, 0.1, images, dtype=np.float32),
    }


def npz(contents):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **contents)
    return buffer.getvalue()


def complete(table):
    """The table with everything that the statistics need beside the scores."""
    noise = np.random.default_rng(1)
    table["valid_id.auc"] = 0.9 + 0.01 * noise.normal(size=len(table))
    table["valid_ood.auc"] = table["test_ood.auc"]
    table["test_id.auc"] = 0.9 + 0.01 * noise.normal(size=len(table))
    table["test_ood.accuracy"] = table["test_ood.auc"].clip(0, 0.9) + 0.01 * (table["data_seed"] % 5)
    table["test_ood.n"] = 100_000
    table[correctness_auroc("test_ood", "iou", "integrated_gradients")] = 0.5 + 0.1 * noise.normal(size=len(table))
    return table


@pytest.fixture(scope="module")
def storage(tmp_path_factory, make_table):
    folder = tmp_path_factory.mktemp("storage")
    sweep = SweepRecords(open_storage(folder), "demo")
    scores = (SCORE, "test_ood.iou.occlusion")
    strengths, datasets = (0.1, 1.0, 10.0), ("crosses", "folder:my/x")
    crossed = make_table(rho=0.8, step=0.1, seeds=10, strengths=strengths, datasets=datasets, columns=scores)
    again = make_table(rho=0.8, step=0.1, seeds=10, datasets=datasets[1:], severities=(1.0,), columns=scores, rng=1)
    again["seed"], again["trial_key"] = again["data_seed"] + 10, "again-" + again["trial_key"]
    table = complete(pd.concat([crossed, again], ignore_index=True))
    table.loc[(table["method"] == "masked") & (table["severity"] == 0), "test_ood.auc"] = 1.0
    for record in table.to_dict("records"):
        sweep.write({**record, "schema_version": 1, "sweep": "demo"})
        if record["dataset"] == "crosses" and record["data_seed"] == 0 and record["severity"] == 1:
            sweep.write_artifact(record["trial_key"], "maps.npz", npz(arrays()))
    return folder


@pytest.fixture(scope="module")
def result(storage):
    return analysis.analyse(analysis.load_sweep(storage, "demo"), replicates=100)


@pytest.fixture(scope="module")
def report(result, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new" / "report"
    assert analysis.write_report(result, out) == out / "report.html"
    return out


@pytest.fixture(scope="module")
def presented(result, report):
    """(names of the figures, names of the tables) of all sections."""
    shown = [section for section in sections.SECTIONS if not section.is_empty(result)]
    tables = [table.name or s.key for s in shown for table in s.tables(result, result.results.get(s.key))]
    return strict_json(report / "report.json")["figures"], tables


@pytest.mark.slow
def test_every_figure_and_table_has_its_files_and_none_is_empty(report, presented):
    figures, tables = presented
    expected = {"report.html", "report.md", "report.json", "tables/correlations.csv"}
    expected |= {f"figures/{figure}.{kind}" for figure in figures for kind in ("png", "svg")}
    expected |= {f"tables/{table}.{kind}" for table in tables for kind in ("csv", "tex")}
    sizes = {p.relative_to(report).as_posix(): p.stat().st_size for p in report.rglob("*") if p.is_file()}
    assert set(sizes) == expected
    assert min(sizes.values()) > 100
    assert {"gallery_crosses", "gallery_crosses_mean", "gallery_crosses_cases"} <= set(figures)


@pytest.mark.slow
def test_the_page_is_self_contained_and_every_image_is_described(report, presented):
    page = Page((report / "report.html").read_text())
    assert len(page.images) == len(presented[0])
    for image in page.images:
        assert len(image["alt"]) > 40
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert all(source.startswith("data:") for source in page.loaded)
    style = re.search(r"<style>(.*?)</style>", (report / "report.html").read_text(), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_answers_first_and_names_what_is_missing(report, result):
    text = Page((report / "report.html").read_text()).text
    body = text[text.index("Does a better saliency map mean better generalization? ·") :]
    assert body.index(result.verdict.sentence) < 150
    assert "(no trial has the column 'test_id.iou.integrated_gradients')" in body[body.index("What was missing") :]


def test_the_contents_lead_to_every_heading(report):
    page = (report / "report.html").read_text()
    contents, body = page.split("</nav>")
    links = dict(re.findall(r'<li><a href="#([^"]+)">([^<]+)</a></li>', contents))
    headings = dict(re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', body))
    assert links == headings
    assert len(links) > 10
    assert "<h2>" not in page
    anchors = re.findall(r' id="([^"]+)"', re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    assert len(anchors) == len(set(anchors))


def test_json_is_strict_and_has_its_keys(report, result):
    content = strict_json(report / "report.json")
    keys = {"comparisons", "verdict", "n_trials", "excluded", "primary", "correlations", "settings", *STATISTICS}
    assert keys <= set(content)
    assert (content["n_trials"], content["excluded"], content["sweep"]) == (520, {}, "demo")
    assert content["verdict"] == asdict(result.verdict)
    assert content["degenerate"] == {"constant outcome": 2}
    assert content["correlations"] == [asdict(c) for c in result.correlations]
    for entry in content["correlations"]:
        assert (entry["estimate"] is None) == (entry["reason"] is not None)
    undefined = [c for c in content["correlations"] if c["scope"] == "cell" and c["estimate"] is None]
    assert {c["stratum"] for c in undefined} == {"crosses, s = 0, masked", "folder:my/x, s = 0, masked"}
    for key in STATISTICS:
        value = content[key]
        for entry in value if isinstance(value, list) else [value]:
            assert entry["reason"] is None, (key, entry["reason"])
    assert len(content["regret"]) == len(RULES) * (1 + 2 + 4), "over all, a dataset, a stratum"


def test_a_section_without_an_estimate_is_named_among_what_is_missing_and_nowhere_else(
    make_table, tmp_path, no_figures
):
    page = analysis.write_report(analysis.analyse(make_table(), replicates=100), tmp_path)
    missing = strict_json(page.with_suffix(".json"))["missing"]
    text, markdown = Page(page.read_text()).text, page.with_suffix(".md").read_text()
    absent = [s.title for s in sections.SECTIONS if any(f"“{s.title}”" in entry for entry in missing)]
    assert len(absent) >= 4
    for title in absent:
        assert text.count(title) == markdown.count(title) == 1


def test_the_page_has_the_dates_commands_and_code_versions_of_its_trials(make_table, tmp_path, no_figures):
    table = make_table(seeds=6).assign(started_at="2026-03-02T10:00:00+00:00")
    table.loc[3:5, "started_at"] = ["2026-03-01T23:59:00-01:00", None, "2026-02-27T08:00:00+00:00"]
    table["code_version"] = ["1.0+b", "1.0+a"] * (len(table) // 2)
    table.to_parquet(tmp_path / "trials.parquet")
    commands = ["python sweep.py --space laptop", "python sweep.py --space laptop --set 'root=/a b'"]
    (tmp_path / "sweep.json").write_text(json.dumps({"commands": commands}))
    result = analysis.analyse(analysis.load_file(tmp_path / "trials.parquet"), replicates=100)
    page = analysis.write_report(result, tmp_path / "report")
    assert strict_json(page.with_suffix(".json"))["commands"] == commands
    text = Page(page.read_text()).text
    for fact in ("; ".join(commands), "2026-02-27 to 2026-03-02", "1.0+a and 1.0+b"):
        assert fact in text


def test_the_methods_paragraph_is_everywhere_and_each_citation_has_one_reference(report, result):
    paragraph = strict_json(report / "report.json")["methods_paragraph"]
    texts = [*explanations(result).values(), paragraph]
    pattern = r"(?:[A-Z]\w+, )?[A-Z]\w+(?: & [A-Z]\w+| et al\.)?(?:’s)? \(?(?:1[89]|20)\d\d"
    cited = {re.sub(r"’s|\(", "", citation) for citation in re.findall(pattern, " ".join(texts))}
    references = bibliography(texts)
    assert len(references) == len(cited) > 5
    page, markdown = Page((report / "report.html").read_text()).text, (report / "report.md").read_text()
    assert paragraph in page
    assert f"> {paragraph}" in markdown
    for reference in references:
        assert markdown.count(reference) == 1
        assert page.count(reference.split(" arXiv:")[0]) == 1


def test_json_writes_null_for_nan_and_infinity():
    assert json.loads(json_bytes({"a": [float("nan"), 1.0], "b": float("inf")})) == {"a": [None, 1.0], "b": None}


def test_tables_hold_the_numbers(report, result):
    grid = pd.read_csv(report / "tables/correlations.csv")
    assert len(grid) == len(result.correlations)
    grid = grid[grid["attribution"] == "integrated_gradients"]
    first = grid[(grid["scope"] == "within_cell") & grid["stratum"].isna() & (grid["statistic"] == "spearman")]
    assert first["estimate"].item() == pytest.approx(result.find("within_cell").estimate)
    where = "dataset == 'crosses' and severity == 1 and method == 'rrr'"
    row, cell = pd.read_csv(report / "tables/methods.csv").query(where), result.trials.table.query(where)
    assert row[["test_ood.auc", "test_ood.auc.sd", f"{SCORE}.sd", "n", "chance"]].to_numpy()[0] == pytest.approx(
        [cell["test_ood.auc"].mean(), cell["test_ood.auc"].std(), cell[SCORE].std(), 30, 0.05]
    )
    for path in (report / "tables").glob("*.tex"):
        with open(path.with_suffix(".csv"), newline="") as file:
            widths = {len(row) for row in csv.reader(file)}
        assert len(widths) == 1
        tex = path.read_text()
        columns = len(re.search(r"\\begin{tabular}{([lr]+)}", tex)[1])
        body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().split("\n")
        assert {line.count(" & ") + 1 for line in body} == {columns}
        assert not re.search(r"(?<!\\)[_%#]", tex)


def test_markdown_tables_are_rectangular_and_figures_exist(report, result, presented):
    text = (report / "report.md").read_text()
    assert text.split("\n")[2] == f"**{result.verdict.sentence}**"
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text):
        assert (report / path).is_file()
    assert text.count("](figures/") == len(presented[0])
    blocks = [b for b in re.split(r"\n(?!\|)", text) if b.count("\n|") > 1]
    assert len(blocks) == len(presented[1])
    for block in blocks:
        assert len({line.count("|") for line in block.split("\n") if line.startswith("|")}) == 1
    assert "\n\n\n\n" not in text


@pytest.mark.slow
def test_the_same_analysis_writes_the_same_bytes(result, tmp_path, monkeypatch):
    few = ("answer", "scores", "regret", "maps")  # all figures are saved by the same two functions
    bare = [s if s.key in few else replace(s, figures=lambda analysis, result: ()) for s in sections.SECTIONS]
    monkeypatch.setattr(sections, "SECTIONS", tuple(bare))
    for folder in ("one", "two"):
        analysis.write_report(result, tmp_path / folder)
    written = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len([path for path in written if path.parent.name == "figures"]) == 2 * (3 + 3)
    for path in written:
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes(), path.name


def test_a_report_on_a_sweep_without_its_primary(make_table, tmp_path):
    table, declared = make_table(columns=("test_id.pointing.grad_cam",)), Manifest(primary=analysis.Primary())
    trials = analysis.trials_from_table(table, sweep="s", source="t", declared=declared, free_primary=False)
    page = Page(analysis.write_report(analysis.analyse(trials, replicates=100), tmp_path).read_text())
    assert "is in no trial" in page.text
    assert len(page.images) == 1  # performance by severity is still worth seeing


@pytest.mark.slow
def test_an_old_gallery_is_removed(report, result, tmp_path, no_figures):
    analysis.write_report(result, tmp_path)
    assert (tmp_path / "figures/gallery_crosses.png").is_file()
    analysis.write_report(replace(result, results={**result.results, "maps": lambda: ([], [])}), tmp_path)
    assert not list((tmp_path / "figures").glob("gallery_*"))


def test_a_folder_that_cannot_be_written(result, tmp_path, no_figures):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(analysis.AnalysisError, match=r"cannot write the report to .*; give --out another folder"):
        analysis.write_report(result, tmp_path / "taken")


@pytest.mark.parametrize("stop", ["report.md", "report.html"])
def test_an_interrupted_report_has_whole_files_and_no_page(stop, result, tmp_path, no_figures, monkeypatch):
    (tmp_path / "report.md").write_text("old")
    replace_file, written = os.replace, []

    def interrupted(part, path):
        if path == tmp_path / stop:
            raise KeyboardInterrupt
        written.append(path)
        replace_file(part, path)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analysis.write_report(result, tmp_path)
    assert not (tmp_path / "report.html").exists()
    assert ((tmp_path / "report.md").read_text() == "old") == (stop == "report.md")
    if stop == "report.html":
        assert {tmp_path / "report.json", tmp_path / "report.md", tmp_path / "tables/methods.csv"} <= set(written)
    assert not list(tmp_path.rglob(".*"))


def test_maps_show_one_strength_on_positive_masked_images(result):
    (sheet,), missing = collect_maps(result.trials, result.primary)
    assert (sheet.dataset, sheet.severity, sheet.data_seed) == ("crosses", 1.0, 0)
    assert list(sheet.examples) == ["baseline", "masked", "actdiff", "rrr"]
    shown = result.trials.table.query("dataset == 'crosses' and severity == 1")
    means = shown.groupby(["method", "strength"])[SCORE].mean().unstack()
    assert sheet.strengths == means.idxmax(axis=1).to_dict()
    assert len(set(sheet.strengths.values())) > 1
    for maps in sheet.examples.values():
        assert len(maps) == 3  # of six images, the three of class 1
        assert all(kept.mask.any() for kept in maps)
    assert len(missing) == 1


@pytest.mark.parametrize("broken", [b"not a zip", npz({"labels": np.arange(3)})])
def test_unreadable_maps_are_named_not_fatal(storage, tmp_path, make_table, broken):
    sweep = SweepRecords(open_storage(tmp_path), "demo")
    for record in make_table(seeds=1).to_dict("records"):
        sweep.write({**record, "schema_version": 1})
        sweep.write_artifact(record["trial_key"], "maps.npz", broken)
    sheets, missing = collect_maps(analysis.load_sweep(tmp_path, "demo"), analysis.Primary())
    assert sheets == []
    assert missing == [("the maps of crosses", "none of integrated_gradients on test_ood are stored at severity 1")]


def test_a_sheet_of_one_image_in_colour_is_drawn():
    image, nowhere = np.random.default_rng(0).uniform(size=(8, 8, 3)), np.zeros((8, 8), dtype=bool)
    kept = KeptMap(image, ~nowhere, nowhere, np.zeros((8, 8)), nowhere, None, 1, "1", None, None, None)
    sheet = MapSheet("folder:my/x", 1.0, 0, analysis.Primary(), {"baseline": [kept]}, {"baseline": None})
    (drawing,) = filter(None, MAPS.figures(None, lambda: ([sheet], [])))
    assert png(drawing)
    assert re.fullmatch(r"gallery_folder-my-x-[0-9a-f]{8}", drawing.name)
