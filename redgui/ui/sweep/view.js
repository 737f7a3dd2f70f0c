// The sweep: a grid of pictures as they form, coloured by a figure, and the cell that is chosen in large.

const SCALE = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"]; // viridis
const AROUND = ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"]; // about a best value in the middle
const { root, chip, message, downloads, spoken, scrub } = createStage("sweep", element, props, trigger, watch, draw);

let axes = null; // {rows, columns}: {name, label, values}
let figures = [];
let wanted = null; // the figure that colours the map
let cells = new Map(); // key -> {node, image, value, state, at: what the server says of it}
let chosen = null;
let byItself = true; // the best cell is the one that is chosen, until a person chooses
let best = {};
let shape = { w: 1, h: 1 };
let references = {};

/* ---- the frame ---- */

const select = el("select", { class: "rg-select", "aria-label": "Figure that colours the map", onchange: () => { wanted = select.value; paint(); } });
const coloursOnly = el("button", { type: "button", class: "rg-text-button", "aria-pressed": "false", onclick: () => {
  const on = coloursOnly.getAttribute("aria-pressed") !== "true";
  coloursOnly.setAttribute("aria-pressed", String(on));
  root.classList.toggle("rg-colours", on);
} }, "Colours only");
const bar = el("div", { class: "rg-bar-fill" });
const empty = el("div", { class: "rg-sweep-empty" }, icon("spark"), el("span", {}, "Choose two knobs and press Sweep, or Tune: a grid of pictures forms here"));
const grid = el("div", { class: "rg-sweep-grid", role: "grid" });
const box = el("div", { class: "rg-sweep-box" }, grid);
const low = el("span");
const high = el("span");
const middle = el("span", { class: "rg-scale-middle" });
const ramp = el("span", { class: "rg-scale-ramp", "aria-hidden": "true" });
const legendNote = el("span", { class: "rg-scale-note" });
const legend = el("div", { class: "rg-scale" }, low, el("span", { class: "rg-scale-box" }, ramp, middle), high, legendNote);
const detail = el("section", { class: "rg-sweep-detail", "aria-label": "The cell that is chosen", hidden: true });
root.replaceChildren(
  el("div", { class: "rg-sweep-head" }, chip, message, el("label", { class: "rg-choice" }, "Colours ", select), coloursOnly),
  el("div", { class: "rg-bar" }, bar), scrub, empty, box, legend, detail, downloads, spoken);

/* ---- colours ---- */

const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

function colourAt(stops, share) {
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const k = Math.min(stops.length - 2, Math.floor(at));
  const [a, b] = [channels(stops[k]), channels(stops[k + 1])];
  return a.map((x, c) => Math.round(x + (at - k) * (b[c] - x)));
}

/** For a figure and its values: the share of the scale of a value, the scale's stops and the texts at its ends. */
function scaleOf(figure, values) {
  const show = (x) => x.toFixed(figure.digits);
  let [least, most] = values.length ? [Math.min(...values), Math.max(...values)] : [NaN, NaN];
  if (figure.best === "one") { // logarithmic, 1 in the middle
    const far = Math.max(0.1, ...values.map((x) => Math.abs(Math.log(Math.max(x, 1e-6)))));
    const end = (x) => (values.length ? show(Math.exp(x)) : "–");
    return { stops: AROUND, share: (x) => 0.5 + Math.log(Math.max(x, 1e-6)) / (2 * far), ends: [end(-far), end(far)], middle: "1" };
  }
  const span = Math.max(most - least, 10 ** -figure.digits);
  const stops = figure.best === "low" ? [...SCALE].reverse() : SCALE;
  return { stops, share: (x) => (most === least ? 0.5 : (x - least) / span), ends: values.length ? [show(least), show(most)] : ["–", "–"], middle: "" };
}

/* ---- the grid ---- */

function build(value) {
  cells = new Map();
  grid.replaceChildren();
  if (!axes) return;
  const { rows, columns } = axes;
  root.style.setProperty("--columns", columns.values.length);
  root.style.setProperty("--shape", shapeOf(shape));
  grid.setAttribute("aria-label", columns.label ? `${rows.label} down, ${columns.label} across` : `${rows.label} down`);
  const head = (axis, text, role) => el("div", { class: "rg-sweep-head-cell", role }, el("span", {}, axis.label), el("b", {}, text));
  grid.append(el("div", { class: "rg-sweep-row", role: "row" }, el("div", { role: "columnheader", "aria-label": rows.label }), ...columns.values.map((text) => head(columns, text, "columnheader"))));
  rows.values.forEach((rowText, i) => {
    const row = el("div", { class: "rg-sweep-row", role: "row" }, head(rows, rowText, "rowheader"));
    columns.values.forEach((text, j) => {
      const across = columns.label ? `, ${columns.label} ${text}` : "";
      row.append(makeCell(`${i}-${j}`, i, j, `${rows.label} ${rowText}${across}`));
    });
    grid.append(row);
  });
  if (!cells.has(chosen)) chosen = null;
}

function makeCell(key, i, j, name) {
  const image = el("img", { class: "rg-sweep-image", alt: "", draggable: "false", hidden: true });
  const value = el("span", { class: "rg-sweep-value" }, "–");
  const state = el("span", { class: "rg-sweep-state" });
  const star = el("span", { class: "rg-sweep-star", hidden: true }, "★ best");
  const node = el("button", { type: "button", class: "rg-sweep-cell", "data-key": key, tabindex: key === "0-0" ? "0" : "-1", onclick: () => choose(key) },
    el("span", { class: "rg-sweep-view" }, image, state, star), value);
  node.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const next = move && cells.get(`${i + move[0]}-${j + move[1]}`);
    if (!move) return;
    event.preventDefault();
    next?.node.focus();
  });
  node.addEventListener("focus", () => cells.forEach((cell) => cell.node.setAttribute("tabindex", cell.node === node ? "0" : "-1")));
  cells.set(key, { node, image, value, state, star, name, at: {}, source: null });
  return el("div", { class: "rg-sweep-place", role: "gridcell" }, node);
}

/** Colours, values and the best cell by the figure that is wanted. */
function paint() {
  const figure = figures.find(({ key }) => key === wanted) || figures[0];
  legend.hidden = !figure || !cells.size;
  if (!figure) return;
  const of = (cell) => (cell.at.status === "error" ? null : cell.at[figure.key]);
  const scale = scaleOf(figure, [...cells.values()].map(of).filter(Number.isFinite));
  for (const [key, cell] of cells) {
    const x = of(cell);
    const known = Number.isFinite(x);
    const winner = (best[figure.key] || []).includes(key);
    const failed = cell.at.status === "error";
    cell.value.textContent = failed ? "failed" : known ? x.toFixed(figure.digits) : "–";
    const rgb = known ? colourAt(scale.stops, scale.share(x)) : null;
    cell.node.style.setProperty("--heat", rgb ? `rgb(${rgb.join(",")})` : "transparent");
    cell.node.style.setProperty("--on-heat", !rgb ? "inherit" : 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#111" : "#fff");
    cell.node.classList.toggle("rg-best-cell", winner);
    cell.star.hidden = !winner;
    cell.node.setAttribute("aria-label", `${cell.name}: ${failed ? `failed, ${cell.at.message}` : `${figure.name} ${known ? x.toFixed(figure.digits) : "not yet known"}`}${winner ? ", best" : ""}`);
  }
  [low.textContent, high.textContent] = scale.ends;
  middle.textContent = scale.middle;
  ramp.style.background = `linear-gradient(to right, ${scale.stops.join(", ")})`;
  legendNote.textContent = `${figure.name}: ${figure.note}`;
  root.dataset.figure = figure.key;
}

function showCell(key, at, source) {
  const cell = cells.get(key);
  if (!cell || !at) return;
  cell.at = at;
  Object.assign(cell.node.dataset, { status: at.status, i: at.i, n: at.n });
  const states = { error: "failed", stopped: `stopped ${at.i}/${at.n}`, running: `${at.i}/${at.n}`, dropped: `out in round ${at.round}` };
  cell.state.textContent = states[at.status] || "";
  cell.node.title = at.message || "";
  if (isPicture(source) && source !== cell.source) {
    cell.source = cell.image.src = source;
    cell.image.hidden = false;
    cell.node.dataset.frames = Number(cell.node.dataset.frames || 0) + 1;
  }
}

/* ---- the cell that is chosen ---- */

const wipeBox = el("div", { class: "rg-sweep-wipe" });
const settings = el("code", { class: "rg-sweep-spec" });
const facts = el("p", { class: "rg-sweep-facts" });
const title = el("h3", { class: "rg-sweep-title" });
const wrong = el("p", { class: "rg-sweep-wrong" });
const wipe = beforeAfterMenu(wipeBox, "original");
const take = el("button", { type: "button", class: "rg-text-button rg-take", onclick: () => chosen && trigger("select", { key: chosen }) }, icon("sliders"), el("span", {}, "Take to Restore"));
const close = iconButton("close", "Close", () => {
  const node = cells.get(chosen)?.node;
  byItself = false;
  choose(chosen);
  node?.focus();
});
detail.append(wipeBox, el("div", { class: "rg-sweep-about" }, el("div", { class: "rg-sweep-title-line" }, title, close), settings, facts, wrong, el("label", { class: "rg-choice" }, "Compare with ", wipe.menu), take));

function choose(key) {
  chosen = chosen === key && !byItself ? null : key;
  byItself = false;
  showDetail();
  if (chosen) detail.scrollIntoView({ block: "nearest", behavior: "instant" });
}

function showDetail() {
  for (const [key, cell] of cells) cell.node.setAttribute("aria-pressed", String(key === chosen));
  const cell = cells.get(chosen);
  detail.hidden = !cell;
  root.dataset.chosen = cell ? chosen : "";
  if (!cell) return;
  title.textContent = cell.name;
  settings.textContent = (cell.at.spec || "").replaceAll(",", ", ");
  const known = figures.filter(({ key }) => Number.isFinite(cell.at[key])).map(({ key, name, digits }) => `${name} ${cell.at[key].toFixed(digits)}`);
  facts.textContent = [...known, cell.at.n ? `step ${cell.at.i} of ${cell.at.n}` : ""].filter(Boolean).join(" · ");
  wrong.textContent = cell.at.message || "";
  wipe.show(references, { name: "restored", src: cell.source || references["starting picture"] }, shape.w, shape.h);
}

/* ---- all of it ---- */

function draw(value, { status, changed, another }) {
  root.classList.toggle("rg-none", !value.grid);
  if (another || (value.grid || "") !== root.dataset.grid) {
    root.dataset.grid = value.grid || "";
    axes = parse(value.grid);
    figures = parse(value.figures) || [];
    shape = { w: value.w || 1, h: value.h || 1 };
    references = { ...plain(value.references || {}), "starting picture": value.start };
    const now = figures.some(({ key }) => key === wanted) ? wanted : figures[0]?.key;
    wanted = now;
    select.replaceChildren(...figures.map(({ key, name }) => el("option", { value: key, selected: key === now }, name)));
    build(value);
    if (another && status !== "idle") scrollToOutcome(root, box);
  }
  bar.style.width = `${100 * (value.progress || 0)}%`;
  best = parse(value.best) || {};
  for (const key of cells.keys()) showCell(key, parse(value.cells?.[key]), value.frames?.[key]);
  paint();
  if (another) byItself = true;
  if (changed && cells.has(value.winner)) chosen = value.winner;
  else if (byItself && cells.size) chosen = best[wanted]?.[0] ?? "0-0"; // or the place of the large picture would be empty
  showDetail();
  take.disabled = status === "waiting";
}
