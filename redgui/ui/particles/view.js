// The particles of one measurement: the ensemble's mean and maps, every particle, one picture in large, figures and downloads.

const MEANING = {
  std: "Standard deviation of every pixel over the particles, in 8-bit levels",
  calibrated: "The same times one factor, found with the original, by which 68 % of the truth lies within one standard deviation",
  beyond: "Coloured where the original is further than 2 standard deviations from the mean, the stronger the more channels",
  outside: "Coloured where the original is below every particle or above all of them, the stronger the more channels",
};
const { root, chip, message, downloads, spoken, scrub } = createStage("particles", element, props, trigger, watch, draw);

let listed = null; // the JSON of the tiles that are there
let tiles = new Map(); // key -> {node, image, note, name, source}
let chosen = null;
let references = {};
let shape = { w: 1, h: 1 };
let shownCards = "";

const progress = el("span", { class: "rg-particles-progress" });
const bar = el("div", { class: "rg-bar-fill" });
const empty = el("div", { class: "rg-particles-empty" }, icon("spark"), el("span", {}, "Choose a sampler and press Run particles: several answers to one measurement form here"));
const maps = el("div", { class: "rg-particles-maps" });
const absent = el("p", { class: "rg-particles-absent" });
const figures = el("div", { class: "rg-figures" });
const curve = el("div", { class: "rg-particles-curve", hidden: true });
const READ = (data, k) => `level ${data.lines[0].x[k]}`;
const plot = createPlot(curve, { title: "Coverage", height: 170, xLabel: "nominal level of the interval around the mean", readOut: READ });
const heading = el("h3", { class: "rg-particles-heading" }, "Particles");
const gallery = el("div", { class: "rg-particles-gallery" });
const ticks = el("span", { class: "rg-std-ticks" });
const ramp = el("span", { class: "rg-std-ramp", "aria-hidden": "true" });
const legend = el("span", { class: "rg-std-legend" }, ramp, ticks);

const title = el("h3", { class: "rg-particles-heading" });
const wipeBox = el("div", { class: "rg-particles-wipe" });
const meaning = el("p", { class: "rg-particles-meaning" });
const wipe = beforeAfterMenu(wipeBox);
const close = iconButton("close", "Close", () => {
  const node = tiles.get(chosen)?.node;
  choose(chosen);
  node?.focus();
});
const detail = el("section", { class: "rg-particles-detail", "aria-label": "The picture that is chosen", hidden: true },
  wipeBox, el("div", { class: "rg-particles-about" }, el("div", { class: "rg-particles-title" }, title, close), meaning, el("label", { class: "rg-choice" }, "Compare with ", wipe.menu)));

root.replaceChildren(
  el("div", { class: "rg-particles-head" }, chip, message, progress), el("div", { class: "rg-bar" }, bar), scrub, empty,
  maps, absent, figures, curve, detail, heading, gallery, downloads, spoken);

function build() {
  tiles = new Map();
  maps.replaceChildren();
  gallery.replaceChildren();
  root.style.setProperty("--shape", shapeOf(shape));
  for (const { key, name, group } of parse(listed) || []) {
    const image = el("img", { class: "rg-particle-image", alt: "", draggable: "false", hidden: true });
    const note = el("span", { class: "rg-particle-note" });
    const node = el("button", { type: "button", class: "rg-particle", "data-key": key, "aria-pressed": "false", title: MEANING[key] || "", onclick: () => choose(key) },
      el("span", { class: "rg-particle-view" }, image), el("span", { class: "rg-particle-line" }, el("span", { class: "rg-particle-name" }, name), note));
    tiles.set(key, { node, image, note, name, source: null });
    (group === "maps" ? maps : gallery).append(key === "std" ? el("div", { class: "rg-particle-place" }, node, legend) : el("div", { class: "rg-particle-place" }, node));
  }
  if (!tiles.has(chosen)) chosen = null;
}

function choose(key) {
  chosen = chosen === key ? null : key;
  showDetail();
  if (chosen) detail.scrollIntoView({ block: "nearest", behavior: "instant" });
}

function showDetail() {
  for (const [key, tile] of tiles) tile.node.setAttribute("aria-pressed", String(key === chosen));
  const tile = tiles.get(chosen);
  detail.hidden = !tile || !tile.source;
  root.dataset.chosen = tile ? chosen : "";
  if (detail.hidden) return;
  title.textContent = [tile.name, tile.note.textContent].filter(Boolean).join(", ");
  meaning.textContent = MEANING[chosen] || "";
  const pictures = { ...references };
  const mean = tiles.get("mean")?.source;
  if (mean && chosen !== "mean") pictures.mean = mean;
  wipe.show(pictures, { name: tile.name, src: tile.source }, shape.w, shape.h);
}

function showLegend(found) {
  legend.hidden = !found;
  if (!found) return;
  ramp.style.background = `linear-gradient(to right, ${found.stops.join(", ")})`;
  const texts = [0, found.top / 2, found.top].map((level) => el("span", {}, String(level)));
  texts[2].append(` levels (${(found.top / 255).toFixed(3)})`);
  ticks.replaceChildren(...texts);
  legend.setAttribute("aria-label", `Scale from 0 to ${found.top} 8-bit levels, ${(found.top / 255).toFixed(3)} of the range 0 to 1`);
  root.dataset.top = found.top;
}

function showCoverage(found) {
  curve.hidden = !found;
  if (!found) return;
  const { levels: x, shares } = found;
  plot.update({ lines: [{ name: "measured", x, y: shares, kind: "rg-b" }, { name: "calibrated", x, y: x, kind: "rg-muted" }] });
  curve.dataset.shares = shares.join(" ");
}

function showCards(text) {
  if (text === shownCards) return;
  shownCards = text;
  figures.replaceChildren(...(parse(text) || []).map(figureCard));
}

function draw(value, { status, changed, another }) {
  const listing = value.tiles && value.tiles !== "[]" ? value.tiles : "";
  root.classList.toggle("rg-none", !listing);
  if (another || listing !== listed) {
    listed = listing;
    shape = { w: value.w || 1, h: value.h || 1 };
    references = { ...plain(value.references || {}), "starting picture": value.start };
    build();
    if (another && status !== "idle") scrollToOutcome(root, maps);
  }
  root.dataset.i = value.i || 0;
  progress.textContent = value.n ? `step ${value.i} of ${value.n}` : "";
  bar.style.width = `${value.n ? (100 * value.i) / value.n : 0}%`;
  absent.textContent = value.absent || "";
  absent.hidden = !value.absent;
  const notes = parse(value.notes) || {};
  for (const [key, tile] of tiles) {
    const source = value.frames?.[key];
    tile.note.textContent = notes[key] || "";
    tile.image.alt = [tile.name, notes[key]].filter(Boolean).join(", ");
    if (!isPicture(source) || source === tile.source) continue;
    tile.source = tile.image.src = source;
    tile.image.hidden = false;
    tile.node.dataset.frames = Number(tile.node.dataset.frames || 0) + 1;
  }
  showLegend(parse(value.legend));
  showCoverage(parse(value.coverage));
  showCards(value.cards || "");
  showDetail();
}
