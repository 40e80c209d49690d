// The interactive parts of report.html: scatter plots whose points are trials, a browser of their maps, and a dialog
// with one trial's settings and maps. All data are in the page, except for a trial's picture, saliency.png, which may
// be in the sweep's storage beside it. Without this script, and in print, the page shows the static figures.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const trials = data.trials;
  const columns = new Map(trials.columns.map((column) => [column.name, column]));
  const MASK = "#56B4E9", DISTRACTOR = "#E69F00", STRONGEST = "rgba(255, 59, 48, 0.6)";  // as in the static gallery
  const TILE = 104;  // side of a tile in CSS pixels
  const AT_A_TIME = 60;  // tiles

  const names = Object.keys(trials.names);  // datasets and methods in the report's order

  const value = (name, trial) => {
    const column = columns.get(name);
    if (!column) return null;
    return column.levels ? column.levels[column.at[trial]] ?? null : column.values[trial];
  };
  const shown = (name, trial) => {
    const raw = value(name, trial);
    if (raw === null) return "–";
    if (typeof raw === "number") return written(raw);
    return name === "dataset" || name === "method" ? trials.names[raw] : raw;
  };
  const distinct = (name) => {
    const values = new Set(Array.from({ length: trials.n }, (_, trial) => value(name, trial)));
    values.delete(null);
    return [...values].sort((a, b) => typeof a === "number" ? a - b : names.indexOf(a) - names.indexOf(b));
  };
  const written = (number) => String(number).replace(/^-/, "−");
  const fixed = (number, digits) => number === null ? "–" : written(number.toFixed(digits));
  const element = (tag, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const titleOf = (trial) => [
    shown("method", trial),
    value("strength", trial) ? `λ = ${shown("strength", trial)}` : "",
    shown("dataset", trial),
    `s = ${shown("severity", trial)}`,
    `seed ${shown("seed", trial)}`,
    value("data_seed", trial) === value("seed", trial) ? "" : `data seed ${shown("data_seed", trial)}`,
  ].filter(Boolean).join(", ");

  // ---- one trial

  const dialog = element("dialog", { id: "trial" });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);

  function showTrial(trial) {
    const close = element("button", { type: "button", className: "close", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    const own = (isSetting) => trials.columns
      .filter(({ name, is_setting }) => is_setting === isSetting && value(name, trial) !== null)
      .map(({ name, label }) => [label, shown(name, trial)]);
    const rows = [...own(true), ...trials.common, ...own(false)].map(([label, text]) => element("div", {}, [
      element("dt", { textContent: label }), element("dd", { textContent: text })]));
    dialog.replaceChildren(
      element("header", {}, [element("h2", { textContent: titleOf(trial) }), close]),
      ...mapsOf(trial),
      element("h3", { textContent: "Settings and scores" }), element("dl", {}, rows),
      ...pictureOf(trial),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function mapsOf(trial) {
    const own = tilesOf.get(trial) ?? [];
    if (!own.length) return [element("p", { className: "caption", textContent: "The page has no map of this trial." })];
    const all = element("button", { type: "button", textContent: "Show in the map browser" });
    all.addEventListener("click", () => { dialog.close(); browse({ trial }); });
    return [element("div", { className: "tiles" }, own.map((tile) => tileElement(tile, false))), keyOfColours(), all];
  }

  function pictureOf(trial) {
    const key = value("trial_key", trial);
    if (key === null || !data.map_browser) return [];
    const place = `artifacts/${encodeURIComponent(key)}/saliency.png`;
    const picture = element("img", { src: `../${place}`, alt: "Maps of all attributions of this trial" });
    const says = element("p", { className: "caption", textContent: "All attributions at full size." });
    picture.addEventListener("error", () => {
      picture.remove();
      says.textContent = `The maps of all attributions are not beside this page; they are in the sweep’s storage, ${place}.`;
    });
    return [picture, says];
  }

  // ---- scatter plots

  const STYLES = {  // matplotlib's markers: [Chart.js's, degrees, as a character]
    o: ["circle", 0, "●"], s: ["rect", 0, "■"], "^": ["triangle", 0, "▲"], D: ["rectRot", 0, "◆"],
    v: ["triangle", 180, "▼"], P: ["cross", 0, "✚"], X: ["crossRot", 0, "✖"], "<": ["triangle", 270, "◀"],
    ">": ["triangle", 90, "▶"], h: ["rectRounded", 0, "⬢"],
  };

  function scatter(plot) {
    const figure = document.getElementById("answer").closest("section").querySelector("figure");
    const hidden = new Set();
    const points = Map.groupBy(
      Array.from({ length: trials.n }, (_, trial) => ({ x: value(plot.x, trial), y: value(plot.y, trial), trial }))
        .filter(({ x, y }) => x !== null && y !== null),
      ({ trial }) => JSON.stringify([value("dataset", trial), value("severity", trial), value("method", trial)]));
    const range = (dataset) => {
      const known = [...points].filter(([cell]) => JSON.parse(cell)[0] === dataset).flatMap(([, own]) => own.map(({ x }) => x));
      known.push(...plot.panels.filter((panel) => panel.dataset === dataset && panel.chance !== null).map(({ chance }) => chance));
      const [low, high] = [Math.min(...known), Math.max(...known)];
      const margin = 0.04 * (high - low) || 0.02;
      return { min: low - margin, max: high + margin };
    };
    const charts = plot.panels.map((panel) => {
      const canvas = element("canvas", { role: "img", ariaLabel: panel.title });
      const x = range(panel.dataset);
      const line = (ends, look) => ({
        type: "line", data: ends.map(([x, y]) => ({ x, y })), pointRadius: 0, pointHitRadius: 0, ...look });
      const datasets = plot.methods.flatMap(([method, , colour, marker]) => {
        const own = points.get(JSON.stringify([panel.dataset, panel.severity, method])) ?? [];
        const [pointStyle, rotation] = STYLES[marker];
        const stroked = pointStyle.startsWith("cross");
        const trend = panel.trends[method];
        return [
          ...(trend ? [line(trend, { method, borderColor: colour, borderWidth: 1.5 })] : []),
          { method, data: own, pointStyle, rotation, backgroundColor: `${colour}A6`, pointRadius: trials.n > 1500 ? 3 : 4,
            pointHoverRadius: 7, borderColor: stroked ? colour : "white", borderWidth: stroked ? 1.5 : 0.5 },
        ];
      });
      if (panel.chance !== null) {
        datasets.push(line([[panel.chance, -9], [panel.chance, 9]], { borderColor: "#6b7280", borderWidth: 1, borderDash: [2, 3] }));
      }
      const wrapper = element("div", { className: "panel" }, [
        element("p", { className: "caption", textContent: panel.title }), element("div", {}, [canvas])]);
      return { dataset: panel.dataset, wrapper, canvas, datasets, x };
    });
    const legend = element("div", { className: "legend" }, plot.methods.map(([method, label, colour, marker]) => {
      const button = element("button", { type: "button", ariaPressed: "true", title: `Hide or show ${label}` }, [
        element("i", { textContent: STYLES[marker][2] }), label]);
      button.firstChild.style.color = colour;
      button.addEventListener("click", () => {
        if (!hidden.delete(method)) hidden.add(method);
        button.ariaPressed = String(!hidden.has(method));
        for (const { chart } of charts) {
          chart.data.datasets.forEach((dataset, i) => chart.setDatasetVisibility(i, !hidden.has(dataset.method)));
          chart.update();
        }
      });
      return button;
    }));
    const chance = plot.panels.some((panel) => panel.chance !== null) ? ` Dotted: chance ${plot.labels[0]}.` : "";
    const first = trials.n < trials.n_all
      ? ` The points are the ${trials.n.toLocaleString("en")} trials of the first data seeds, out of ${trials.n_all.toLocaleString("en")}.` : "";
    figure.prepend(element("div", { className: "interactive" }, [
      element("p", { className: "caption", textContent: `Point at a trial for its settings; click it for its maps.${chance}${first}` }),
      ...[...Map.groupBy(charts, ({ dataset }) => dataset).values()].map((row) =>
        element("div", { className: "panels" }, row.map(({ wrapper }) => wrapper))), legend]));
    figure.classList.add("live");
    for (const entry of charts) {
      entry.chart = new Chart(entry.canvas, {
        type: "scatter",
        data: { datasets: entry.datasets },
        options: {
          animation: false, maintainAspectRatio: false,
          interaction: { mode: "nearest", intersect: true },
          onHover: (event, hits) => { event.native.target.style.cursor = hits.length ? "pointer" : "default"; },
          onClick: (event, hits, chart) => {
            const trial = hits.length ? chart.data.datasets[hits[0].datasetIndex].data[hits[0].index].trial : undefined;
            if (trial !== undefined) showTrial(trial);
          },
          scales: {
            x: { ...entry.x, title: { display: true, text: plot.labels[0] }, ticks: { maxTicksLimit: 7, callback: tick, includeBounds: false } },
            y: { ...(plot.is_auc ? { min: -0.03, max: 1.03 } : {}), title: { display: true, text: plot.labels[1] },
                 ticks: { includeBounds: false } },
          },
          plugins: {
            legend: { display: false },
            tooltip: {
              callbacks: {
                title: (hits) => hits.length ? titleOf(hits[0].raw.trial) : "",
                label: ({ raw }) => `${plot.labels[0]} ${fixed(raw.x, 3)}, ${plot.labels[1]} ${fixed(raw.y, 3)}`,
              },
            },
          },
        },
      });
    }
  }
  const tick = (number) => written(+number.toPrecision(3));

  // ---- maps

  const tilesOf = new Map();  // per trial
  const ordered = [];  // all tiles, by method, strength, severity and seeds
  let browse = () => {};

  function readTiles({ tiles, pictures }) {
    for (let i = 0; i < tiles.trial.length; i++) {
      const tile = Object.fromEntries(Object.entries(tiles).map(([name, values]) => [name, values[i]]));
      tile.picture = pictures[tile.picture];
      ordered.push(tile);
      if (!tilesOf.has(tile.trial)) tilesOf.set(tile.trial, []);
      tilesOf.get(tile.trial).push(tile);
    }
    const place = ({ trial, rank }) => [
      names.indexOf(value("dataset", trial)), names.indexOf(value("method", trial)), value("strength", trial) ?? 0,
      value("severity", trial), value("data_seed", trial), value("seed", trial), trial, rank];
    const places = new Map(ordered.map((tile) => [tile, place(tile)]));
    ordered.sort((a, b) => {
      const [first, second] = [places.get(a), places.get(b)];
      const i = first.findIndex((part, j) => part !== second[j]);
      return i < 0 ? 0 : first[i] - second[i];
    });
  }

  function tileElement(tile, opens = true) {
    const { trial } = tile;
    const canvas = element("canvas", { width: 2 * TILE, height: 2 * TILE });
    draw(canvas, tile);
    const mark = tile.correct === null ? "" : tile.correct ? "✓ right" : "✗ wrong";
    const caption = opens
      ? [`${shown("method", trial)}${value("strength", trial) ? ` λ ${shown("strength", trial)}` : ""}`,
         `s ${shown("severity", trial)}, data seed ${shown("data_seed", trial)}`]
      : [];
    caption.push(`image ${tile.rank + 1}, ${data.map_browser.metric} ${fixed(tile.score, 2)}`);
    const classes = data.map_browser.classes;
    const answer = tile.predicted === null ? [] : [`true ${classes[tile.label]}`, `predicted ${classes[tile.predicted]}`];
    const words = [...[...caption, ...answer].map((text) => element("span", { textContent: text })),
                   element("span", { textContent: mark, className: "answered" })];
    const made = element(opens ? "button" : "div", { className: "tile" }, [canvas, ...words]);
    if (tile.correct !== null) made.classList.add(tile.correct ? "right" : "wrong");
    made.title = titleOf(trial) + (tile.index === null ? "" : `; image ${tile.index} of the split`);
    made.dataset.trial = trial;
    if (opens) {
      made.type = "button";
      made.addEventListener("click", () => showTrial(trial));
    }
    return made;
  }

  function regionOf(text, [rows, across]) {
    const bytes = atob(text);
    return (row, column) => {
      if (!text || row < 0 || column < 0 || row >= rows || column >= across) return false;
      const bit = row * across + column;
      return (bytes.charCodeAt(bit >> 3) >> (7 - (bit & 7)) & 1) === 1;
    };
  }

  function draw(canvas, { picture, map }) {
    const context = canvas.getContext("2d"), [rows, across] = picture.shape;
    const scale = canvas.width / Math.max(rows, across);
    const paint = () => {
      context.imageSmoothingEnabled = false;
      context.drawImage(image, 0, 0, across * scale, rows * scale);
      if (map) whiten(context, across * scale, rows * scale);
      const strongest = regionOf(map, picture.shape);
      context.fillStyle = STRONGEST;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < across; column++) {
          if (strongest(row, column)) context.fillRect(column * scale, row * scale, scale, scale);
        }
      }
      outline(context, regionOf(picture.mask, picture.shape), picture.shape, scale, MASK, []);
      outline(context, regionOf(picture.distractor, picture.shape), picture.shape, scale, DISTRACTOR, [6, 4]);
    };
    const image = new Image();
    image.addEventListener("load", paint);
    image.src = `data:image/webp;base64,${picture.image}`;
  }

  function whiten(context, width, height) {  // to light grey, since red would not be seen on red objects
    for (const [operation, fill] of [["saturation", "#808080"], ["source-over", "rgba(255, 255, 255, 0.3)"]]) {
      context.globalCompositeOperation = operation;
      context.fillStyle = fill;
      context.fillRect(0, 0, width, height);
    }
  }

  function outline(context, region, [rows, across], scale, colour, dash) {
    context.beginPath();
    for (let row = 0; row <= rows; row++) {
      for (let column = 0; column <= across; column++) {
        const here = region(row, column), x = column * scale, y = row * scale;
        if (here !== region(row - 1, column)) { context.moveTo(x, y); context.lineTo(x + scale, y); }
        if (here !== region(row, column - 1)) { context.moveTo(x, y); context.lineTo(x, y + scale); }
      }
    }
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash);
    context.stroke();
  }

  const keyOfColours = () => element("p", { className: "caption key" }, [
    element("i", { className: "strongest" }), " scored pixels of the map: the strongest, as many as the mask has ",
    element("i", { className: "mask" }), " mask ", element("i", { className: "distractor" }), " distractor"]);

  function mapBrowser() {
    const section = document.getElementById("map_browser").closest("section");
    const grid = element("div", { className: "tiles" });
    const status = element("p", { className: "caption", role: "status" });
    const more = element("button", { type: "button", textContent: "Show more" });
    const all = element("button", { type: "button", textContent: "Show all trials", hidden: true });
    const images = [...new Set(ordered.map(({ rank }) => rank))].sort((a, b) => a - b);
    const choices = [
      ["dataset", "dataset", distinct("dataset"), (raw) => trials.names[raw]],
      ["data_seed", "data seed", distinct("data_seed")],
      ["rank", "image", images, (rank) => String(rank + 1)],
      ["method", "method", distinct("method"), (raw) => trials.names[raw]],
      ["strength", "strength", distinct("strength")],
      ["severity", "severity", distinct("severity")],
      ["seed", "seed", distinct("seed")],
      ["correct", "answer", ordered.some(({ correct }) => correct !== null) ? [1, 0] : [], (raw) => raw ? "right" : "wrong"],
    ].filter(([, , levels]) => levels.length > 1);
    const selects = new Map(choices.map(([name, , levels, words = String]) => {
      const select = element("select", { name }, [
        element("option", { value: "", textContent: "all" }),
        ...levels.map((level, i) => element("option", { value: String(i), textContent: words(level) }))]);
      return [name, { select, levels }];
    }));
    const order = element("select", { name: "order" }, [
      ["", "method"], ["best", "best map first"], ["worst", "worst map first"],
    ].map(([key, words]) => element("option", { value: key, textContent: words })));
    let only = null, limit = AT_A_TIME;

    const read = (name, tile) => name in tile ? tile[name] : value(name, tile.trial);
    function update() {
      const wanted = [...selects].filter(([, { select }]) => select.value !== "")
        .map(([name, { select, levels }]) => [name, levels[Number(select.value)]]);
      let tiles = ordered.filter((tile) => (only === null || tile.trial === only) &&
        wanted.every(([name, level]) => read(name, tile) === level));
      if (order.value) {
        const sign = order.value === "best" ? -1 : 1;
        tiles = tiles.filter(({ score }) => score !== null).sort((a, b) => sign * (a.score - b.score));
      }
      grid.replaceChildren(...tiles.slice(0, limit).map((tile) => tileElement(tile)));
      more.hidden = tiles.length <= limit;
      all.hidden = only === null;
      status.textContent = `${only === null ? "" : `${titleOf(only)}: `}${Math.min(limit, tiles.length)} of ${tiles.length} maps`;
    }
    const restart = () => { limit = AT_A_TIME; update(); };
    browse = ({ trial }) => {
      only = trial;
      for (const { select } of selects.values()) select.value = "";
      order.value = "";
      restart();
      section.scrollIntoView();
    };
    more.addEventListener("click", () => { limit += AT_A_TIME; update(); });
    all.addEventListener("click", () => { only = null; start(); });
    const start = () => {
      for (const name of ["dataset", "data_seed", "rank"]) if (selects.has(name)) selects.get(name).select.value = "0";
      restart();
    };
    const labelled = (words, select) => element("label", {}, [words, select]);
    const controls = element("div", { className: "controls" }, [
      ...choices.map(([name, words]) => labelled(words, selects.get(name).select)), labelled("order", order)]);
    controls.addEventListener("change", restart);
    section.append(element("div", { className: "interactive" }, [
      element("p", { className: "caption", textContent:
        "Choose an image to see it across trials; click a map for its trial and the trial’s other images. For the best " +
        "and worst cases, order all images by their map." }),
      controls, all, status, keyOfColours(), grid, more]));
    start();
  }

  if (data.map_browser) {
    readTiles(data.map_browser);
    mapBrowser();
  }
  if (data.answer) scatter(data.answer);
})();
