// The live view: the picture as it forms, how far the run is, and how its terms develop. Every value holds
// the whole history, so a message that is lost or late does no harm: the newest one is drawn, once a frame.

const { root, chip, message, spoken } = createStage("live", element, props, trigger, watch, draw, true);

const image = el("img", { class: "rg-live-image", alt: "The restoration so far", draggable: "false", hidden: true });
const hintText = el("span", {}, "Press Run and watch the picture form");
const empty = el("div", { class: "rg-empty" }, icon("spark"), hintText);
const stage = el("div", { class: "rg-live-stage" }, image, empty);
const canvas = canvasOf(element);
canvas.layer(stage);

const left = el("span", { class: "rg-remaining" });
const facts = el("div", { class: "rg-facts" });
const bar = el("div", { class: "rg-bar-fill" });
const progress = el(
  "div",
  { class: "rg-bar", role: "progressbar", "aria-label": "Progress of the run", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0" },
  bar,
);

const beside = el("div", { class: "rg-beside" }); // small pictures that form with the restoration, as a kernel does

const plots = el("div", { class: "rg-plots" });
const more = el("div", { class: "rg-plots rg-plots-more" }); // below all that is there from the start, which must not jump
const curves = el("details", { class: "rg-curves" }, el("summary", {}, "Curves"), plots, more);
root.replaceChildren(
  stage,
  el("div", { class: "rg-live-main" }, el("div", { class: "rg-live-line" }, chip, left), progress, facts, beside, message, spoken),
  curves,
);
const readOut = (data, k) => `step ${data.lines[0].x[k]}`;
const terms = createPlot(plots, { title: "Loss", height: 136, yLog: true, readOut });
const quality = createPlot(plots, { title: "PSNR", height: 110, readOut });
const residual = createPlot(plots, { title: "Residual", height: 123, yLog: true, xLabel: "iteration", readOut });
const DRAWN = ["i", "sigma", "data", "prior", "psnr", "residual"];
const others = new Map(); // a plot for each further scalar of a sampler, by its name

let frames = 0;
let shown = null; // the source of the picture on the stage
const PLOT_EVERY = 400; // milliseconds
let plottedAt = 0;
let spokenAt = 0;
let spokenLater = null;

function timeLeft(seconds) {
  if (!Number.isFinite(seconds)) return null;
  if (seconds < 10) return `${seconds.toFixed(1)} s left`;
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s left`;
}

function factsOf(value) {
  if (!value.n) return [];
  const rate = Number.isFinite(value.rate) ? (value.rate >= 1 ? `${shortNumber(value.rate)} it/s` : `${shortNumber(1 / value.rate)} s/it`) : null;
  return [`step ${value.i}/${value.n}`, value.sigma > 0 ? `σ ${shortNumber(value.sigma)}` : null, rate].filter(Boolean);
}

/** A screen reader hears of a change of status at once and of progress every few seconds. */
function speak(value, changed) {
  const done = value.n ? Math.round((100 * value.i) / value.n) : 0;
  const text = [STATUS[value.status], value.status === "running" ? `${done} percent` : "", where(value.inLine) || value.message || ""].filter(Boolean).join(", ");
  const tell = () => {
    spokenAt = Date.now();
    if (spoken.textContent !== text) spoken.textContent = text;
  };
  clearTimeout(spokenLater);
  const wait = (changed ? 1000 : 4000) - (Date.now() - spokenAt);
  if (wait <= 0) tell();
  else spokenLater = setTimeout(tell, wait);
}

function showStage(value) {
  const has = isPicture(value.frame);
  if (has && value.frame !== shown) {
    image.src = value.frame;
    frames += 1;
  }
  shown = has ? value.frame : null;
  image.hidden = !has;
  empty.hidden = has;
  const waits = value.status === "running" || value.status === "waiting";
  hintText.textContent = waits ? value.inLine || value.message || "Getting ready…" : "Press Run and watch the picture form";
}

function showLine(value) {
  left.textContent = value.inLine || (value.status === "running" && timeLeft(value.left)) || "";
  facts.replaceChildren(...factsOf(value).map((fact) => el("span", {}, fact)));
  const percent = value.n ? Math.min(100, (100 * value.i) / value.n) : 0;
  bar.style.width = `${percent}%`;
  progress.setAttribute("aria-valuenow", String(Math.round(percent)));
  progress.setAttribute("aria-valuetext", factsOf(value).join(", ") || STATUS[value.status]);
  if (value.status === "waiting" && (!shown || value.inLine)) message.textContent = ""; // on the stage already, or beside the chip
}

function showBeside(value) {
  const found = Array.from(value.pictures || []).filter(({ src }) => isPicture(src));
  beside.replaceChildren(...found.map(({ name, src }) => el("figure", {}, el("img", { src, alt: name }), name)));
}

/** Where the picture forms is below what was touched last on a small screen: the page goes there when a run begins or fails. */
function goThere() {
  const place = element.closest(".rg-canvas")?.querySelector(".rg-stage") ?? stage;
  const { top, bottom, height } = place.getBoundingClientRect();
  const seen = Math.min(bottom, window.innerHeight) - Math.max(top, 0);
  if (height && seen < 0.75 * Math.min(height, window.innerHeight))
    place.scrollIntoView({ block: height < window.innerHeight ? "center" : "start", behavior: "instant" });
}

/** Copies out of Gradio's proxy once, since reading through it costs at every access. */
const numbers = (list) => (list ? Array.from(list) : []);

function showPlots(value) {
  const series = typeof value.series === "string" ? JSON.parse(value.series) : value.series || {};
  const i = numbers(series.i);
  const shared = { xDomain: [0, Math.max(value.n || 0, i.at(-1) || 0, 1)], marks: numbers(value.marks).map((mark) => ({ x: mark.i, text: String(mark.text) })) };
  const line = (name, values, kind, unit) => ({ name, x: i, y: numbers(values), kind, unit });
  const prior = line("prior", series.prior, "rg-b");
  const ofPrior = i.length === 0 || prior.y.some(Number.isFinite) ? [prior] : []; // only some samplers have such a term
  terms.update({ ...shared, markText: true, lines: [line("data", series.data, "rg-a"), ...ofPrior] });
  const psnr = numbers(series.psnr);
  quality.node.hidden = !(i.length === 0 || psnr.some(Number.isFinite)); // a person's own damaged picture has no truth
  quality.update({ ...shared, lines: [line("", psnr, "rg-c", " dB")] });
  const levels = value.sigma_y > 0 ? [{ y: value.sigma_y, text: `σ_y ${shortNumber(value.sigma_y)}` }] : [];
  residual.update({ ...shared, levels, lines: [line("", series.residual, "rg-d")] });
  for (const [name, plot] of others) plot.node.hidden = !(name in series);
  for (const name of Object.keys(series).filter((key) => !DRAWN.includes(key))) {
    if (!others.has(name)) others.set(name, createPlot(more, { title: name, height: 96, readOut }));
    const of = line("", series[name], "rg-e");
    const known = of.y.filter(Number.isFinite);
    others.get(name).update({ ...shared, lines: [of], yLog: Math.min(...known) > 0 && Math.max(...known) > 30 * Math.min(...known) });
  }
}

function draw(value, { status, changed, another, place }) {
  const now = { i: 0, n: 0, w: 0, h: 0, ...value, status, inLine: status === "waiting" ? place : "" };
  if (another) {
    frames = 0;
    canvas.settle();
  }
  showStage(now);
  curves.hidden = status === "idle";
  const working = status === "running" || status === "waiting";
  canvas.offer("live", shown !== null || working || status === "error");
  if ((changed || another) && (working || status === "error")) {
    canvas.show("live");
    curves.open ||= working;
  }
  showLine(now);
  showBeside(now);
  // Curves are drawn less often than the picture: they change slowly and cost the most.
  const due = performance.now() - plottedAt > PLOT_EVERY;
  if (due || changed || status !== "running") {
    plottedAt = performance.now();
    showPlots(now);
    document.dispatchEvent(new CustomEvent("redgui-sigma", { detail: status === "running" && now.i > 0 ? now.sigma : null }));
  }
  speak(now, changed);
  const finished = another && now.run > 0 && status === "idle" && shown !== null; // a task's stored result; 0: of a new page
  if (finished || ((changed || another) && (status === "waiting" || status === "error"))) goThere();
  Object.assign(root.dataset, { i: now.i, n: now.n, frames });
}
