// The comparison: pictures side by side as they form, one over another, in a table and as curves.

const SHAPES = [
  "M0-4A4 4 0 1 0 .01-4Z", "M-3.6-3.6H3.6V3.6H-3.6Z", "M0-4.6 4.4 3.4H-4.4Z", "M0-5 5 0 0 5-5 0Z",
  "M0 4.6 4.4-3.4H-4.4Z", "M-1.4-4.6H1.4V-1.4H4.6V1.4H1.4V4.6H-1.4V1.4H-4.6V-1.4H-1.4Z", "M0-5 4.8-1.5 2.9 4.1H-2.9L-4.8-1.5Z",
  "M-4-2-2-4 0-2 2-4 4-2 2 0 4 2 2 4 0 2-2 4-4 2-2 0Z",
];
const { root, chip, message, downloads, spoken, scrub } = createStage("race", element, props, ask, watch, draw);

let order = []; // the contestants in their order, {key, label, spec}
let pictures = new Map(); // of every tile, its source, for the two that lie one over the other
let picked = [];
let tiles = new Map();
let errors = false; // whether error maps lie over the pictures
const NARROWEST = 136; // CSS pixels of a tile

/* ---- the frame ---- */

const level = el("span", { class: "rg-zoom-level" }, "1×");
const zoom = createZoom(({ scale, x, y }) => {
  root.style.setProperty("--zoom", scale);
  root.style.setProperty("--shift-x", `${100 * x}%`);
  root.style.setProperty("--shift-y", `${100 * y}%`);
  root.classList.toggle("rg-zoomed", scale > 1);
  root.dataset.zoom = scale.toFixed(2);
  level.textContent = `${Number(scale.toFixed(1))}×`;
});
const errorButton = iconButton("errors", "Error maps |x − x₀| (E): black none, white 64 of 255 levels or more", () => setErrors(!errors), { "aria-pressed": "false" });
const zoomBar = el("div", { class: "rg-group", role: "group", "aria-label": "Zoom of all pictures" },
  iconButton("minus", "Zoom out", () => zoom.by(1 / 1.5)), level, iconButton("plus", "Zoom in", () => zoom.by(1.5)),
  iconButton("whole", "Whole pictures", () => zoom.reset()), errorButton);
const grid = el("ul", { class: "rg-tiles", "aria-label": "Pictures side by side" });
const hint = el("p", { class: "rg-race-hint" }, "Click two pictures to lay one over the other. Ctrl + wheel, pinch or + and − zoom all; drag or arrows move. E shows error maps.");
const empty = el("div", { class: "rg-race-empty" }, icon("spark"), el("span", {}, "Tick samplers and press Compare: their pictures form here side by side"));
const wipeBox = el("div", { class: "rg-race-wipe" });
const tableBox = el("div", { class: "rg-table rg-race-table", tabindex: "0", role: "region", "aria-label": "Figures of all, scrolls sideways" });
const plots = el("div", { class: "rg-race-plots" });
root.replaceChildren(el("div", { class: "rg-race-head" }, chip, message, zoomBar), scrub, empty, grid, hint, wipeBox, tableBox, plots, downloads, spoken);
const plotOptions = { height: 190, endLabels: true, ownX: true, readOut: () => "" };
const bySeconds = createPlot(plots, { ...plotOptions, title: "PSNR, dB, over seconds of its own", xLabel: "seconds" });
const byCalls = createPlot(plots, { ...plotOptions, title: "PSNR, dB, over network budget", xLabel: "forwards + 2 × backwards" });
const spread = createSpread(plots);
zoom.reset();

/* ---- tiles ---- */

function marker(k) {
  const box = svg("svg", { viewBox: "-7 -7 14 14", class: `rg-tile-marker ${kindOf(k)}`, "aria-hidden": "true" });
  box.append(svg("path", { class: `rg-shape ${kindOf(k)}`, d: markOf(k) }));
  return box;
}
const kindOf = (k) => `rg-k${k % 8}${k >= 8 ? " rg-dashed" : ""}`;
const markOf = (k) => SHAPES[(k + Math.floor(k / 8)) % SHAPES.length];

function pick(key) {
  picked = picked.includes(key) ? picked.filter((other) => other !== key) : [...picked, key].slice(-2);
  showPicked();
}

function showPicked() {
  for (const [key, tile] of tiles) {
    const at = picked.indexOf(key);
    tile.view.setAttribute("aria-pressed", String(at >= 0));
    tile.node.classList.toggle("rg-picked", at >= 0);
    tile.side.textContent = at < 0 ? "" : picked.length < 2 ? "1" : at === 0 ? "left" : "right";
  }
  showWipe();
}

function makeTile(key, label, spec, k) {
  const image = el("img", { class: "rg-tile-image", alt: "", draggable: "false", hidden: true });
  const map = k === null ? null : el("canvas", { class: "rg-tile-image rg-tile-map", role: "img", "aria-label": `${label}: where it differs from the original`, hidden: true });
  const side = el("span", { class: "rg-tile-side" });
  const view = el("div", { class: "rg-tile-view", role: "button", tabindex: "0", "aria-pressed": "false", "aria-label": `${label}: pick for the comparison of two` },
    el("div", { class: "rg-tile-layer" }, image, map ?? ""), side);
  image.addEventListener("load", () => showError(key));
  view.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "e" && !event.ctrlKey && !event.metaKey) return setErrors(!errors);
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pick(key);
  });
  zoom.attach(view);
  view.addEventListener("click", () => pick(key));
  const tile = { view, image, map, side, label };
  const name = el("span", { class: "rg-tile-name" }, label);
  if (k === null) {
    tile.node = el("li", { class: "rg-tile rg-reference", "data-key": key }, view, el("div", { class: "rg-tile-head" }, name));
    return tile;
  }
  tile.psnr = el("span", { class: "rg-tile-psnr" });
  tile.bar = el("div", { class: "rg-bar-fill" });
  tile.facts = el("span", { class: "rg-tile-facts" });
  tile.budget = el("p", { class: "rg-tile-budget" });
  tile.note = el("p", { class: "rg-tile-note" });
  tile.stop = iconButton("stop", `Stop ${label}`, () => trigger("stop", { key }));
  tile.open = iconButton("sliders", `Open ${label} in Restore`, () => trigger("select", { key }));
  tile.node = el("li", { class: "rg-tile", "data-key": key }, view,
    el("div", { class: "rg-tile-head" }, marker(k), name, tile.psnr),
    el("div", { class: "rg-bar" }, tile.bar),
    el("div", { class: "rg-tile-line" }, tile.facts, tile.stop, tile.open),
    tile.budget, tile.note, el("code", { class: "rg-tile-spec" }, spec.replaceAll(",", ", ")));
  return tile;
}

/** In as few rows as there is room for, and those as full as each other: as few places as can be stay empty. */
function lay() {
  const most = Math.max(2, Math.floor((grid.clientWidth + 10) / (NARROWEST + 10)));
  root.style.setProperty("--columns", Math.ceil(tiles.size / Math.ceil(tiles.size / most)) || 1);
}
new ResizeObserver(lay).observe(grid);

/** The tiles anew for another comparison; what was picked stays where there is such a tile. */
function build(value) {
  tiles = new Map();
  for (const name of ["original", "measurement"]) if (isPicture(value.references?.[name])) tiles.set(name, makeTile(name, name, "", null));
  order.forEach(({ key, label, spec }, k) => tiles.set(key, makeTile(key, label, spec, k)));
  grid.replaceChildren(...[...tiles.values()].map((tile) => tile.node));
  lay();
  root.style.setProperty("--shape", shapeOf(value));
  picked = picked.filter((key) => tiles.has(key));
  pictures = new Map();
}

function setPicture(key, source) {
  const tile = tiles.get(key);
  if (!tile || !isPicture(source) || pictures.get(key) === source) return;
  pictures.set(key, source);
  tile.image.src = source;
  tile.image.alt = tile.label;
  tile.image.hidden = false;
  tile.node.dataset.frames = Number(tile.node.dataset.frames || 0) + 1;
}

function showTile(key, now) {
  const tile = tiles.get(key);
  if (!tile?.stop || !now) return;
  tile.node.dataset.status = now.status;
  Object.assign(tile.node.dataset, { i: now.i, n: now.n });
  tile.psnr.textContent = Number.isFinite(now.psnr) && now.status !== "error" ? `${now.psnr.toFixed(1)} dB` : "";
  tile.bar.style.width = `${now.n ? Math.min(100, (100 * now.i) / now.n) : 0}%`;
  tile.facts.textContent = [now.n ? `${now.i}/${now.n}` : "", STATUS[now.status]].filter(Boolean).join(" · ");
  tile.budget.textContent = Number.isFinite(now.budget) ? `network budget ${now.used}/${now.budget}` : "";
  tile.note.textContent = now.message || "";
  tile.stop.disabled = !(now.status === "running" || (now.status === "waiting" && root.dataset.status === "running"));
  tile.open.disabled = root.dataset.status === "waiting" || !now.n;
}

/* ---- error maps ---- */

function setErrors(on) {
  errors = on;
  errorButton.setAttribute("aria-pressed", String(on));
  root.dataset.errors = on ? "on" : "off";
  for (const key of tiles.keys()) showError(key);
}

/** The map over a picture, where both that and the original are there. */
function showError(key) {
  const [tile, truth] = [tiles.get(key), tiles.get("original")];
  if (!tile?.map) return;
  tile.map.hidden = !(errors && truth && drawError(tile.map, tile.image, truth.image));
}

/* ---- one over the other ---- */

let wipe = null;
function showWipe() {
  const both = picked.length === 2 && picked.every((key) => pictures.has(key));
  wipeBox.hidden = !both;
  hint.hidden = both || !tiles.size;
  if (!both) return;
  const side = (key) => ({ name: tiles.get(key).label, src: pictures.get(key) });
  const value = { before: side(picked[0]), after: side(picked[1]), w: shape.w, h: shape.h };
  if (wipe) return wipe.update(value);
  wipe = beforeAfter(value);
  wipeBox.replaceChildren(wipe.node);
}
let shape = { w: 1, h: 1 };

/* ---- table and curves ---- */

const TABLE_EVERY = 400; // milliseconds: nobody reads faster
const drawTable = createTable(tableBox, (key) => marker(order.findIndex((entry) => entry.key === key)), () => {
  for (const link of downloads.children) delete link.dataset.made; // files have other rows now
});
/** Events, and with the question for a file the rows that this browser alone has. */
function ask(name, data) {
  trigger(name, name === "download" ? { ...data, pinned: drawTable.pinned() } : data);
}
let tableText = null;
let tabledAt = 0;
function showTable(text, over) {
  if (`${text}${over}` === tableText) return;
  tableText = `${text}${over}`;
  drawTable(parse(text), over);
}

let curveTexts = null;
function showCurves(value) {
  const texts = order.map(({ key }) => value.curves?.[key] || "");
  plots.hidden = !value.truth || !tiles.size;
  if (plots.hidden || String(curveTexts) === String(texts)) return;
  curveTexts = texts;
  const curves = texts.map((text) => parse(text) || { seconds: [], used: [], psnr: [] });
  const lines = (name) => curves.map((curve, k) => ({ name: order[k].label, x: curve[name], y: curve.psnr, kind: kindOf(k), shape: markOf(k) }));
  for (const [plot, name] of [[bySeconds, "seconds"], [byCalls, "used"]])
    plot.update({ lines: lines(name), xDomain: [0, Math.max(1e-3, ...curves.map((curve) => curve[name].at(-1) || 0))] });
}

let spreadText = null;
function showSpread(text) {
  if (text === spreadText) return;
  spreadText = text;
  const { rows = [], of } = parse(text) || {};
  spread.update(rows.map((row, k) => ({ ...row, name: order[k].label, kind: kindOf(k), shape: markOf(k) })), of);
}

/* ---- all of it ---- */

function draw(value, { status, changed, another }) {
  const orderText = value.order || "[]";
  root.classList.toggle("rg-none", orderText === "[]");
  if (another || orderText !== root.dataset.order) {
    order = parse(orderText) || [];
    root.dataset.order = orderText;
    shape = { w: value.w || 1, h: value.h || 1 };
    build(value);
    if (another && status !== "idle") scrollToOutcome(root, grid);
  }
  for (const [name, source] of Object.entries(value.references || {})) setPicture(name, source);
  for (const { key } of order) {
    setPicture(key, value.frames?.[key] ?? value.references?.measurement); // before its first step, too
    showTile(key, parse(value.tiles?.[key]));
  }
  errorButton.hidden = !value.truth;
  showPicked();
  if (changed || status !== "running" || performance.now() - tabledAt > TABLE_EVERY) {
    tabledAt = performance.now();
    showTable(value.table || "", ["done", "stopped", "error"].includes(status));
  }
  showCurves(value);
  showSpread(value.spread || "");
}
