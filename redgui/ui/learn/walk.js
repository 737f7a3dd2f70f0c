// Particles on a plane: the density of a prior of two pixels, the line of the measurement, and where a sampler has brought them.

const SIDE = 2.4; // of the plane that is shown, around 0
const GRAIN = 96; // pixels of the density map per side
const PLAYED = 2500; // milliseconds of a walk that is played

const root = element.querySelector(".rg-walk");
const canvas = el("canvas", { class: "rg-walk-canvas", role: "img", "aria-label": "The plane of all pictures of two pixels" });
const message = el("p", { class: "rg-walk-message", role: "status" });
const range = el("input", { type: "range", class: "rg-range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Step of the walk" });
const play = iconButton("play", "Play the walk", () => (timer ? pause() : start()));
const at = el("span", { class: "rg-walk-at" });
const map = el("select", { class: "rg-select", "aria-label": "What the map shows" },
  ...[["prior", "prior p(x₀)"], ["smoothed", "prior under the noise σ of this step"], ["posterior", "posterior p(x₀ | y)"]]
    .map(([value, text]) => el("option", { value }, text)));
const shares = el("table", { class: "rg-walk-shares" });
root.replaceChildren(message,
  el("div", { class: "rg-walk-row" },
    el("div", { class: "rg-walk-plane" }, canvas, el("div", { class: "rg-walk-line" }, play, range, at)),
    el("div", { class: "rg-walk-side" }, el("label", { class: "rg-walk-map" }, "Map: ", map), shares,
      el("p", { class: "rg-walk-note" }, "Dots are the estimates x̂₀ of all particles, with the way they came; the line is a·x = y, its band ± σ_y. Drag on the plane to move the line."))));

let plane = null;
let walk = null;
let step = 0;
let timer = 0;
let texts = "";
const grain = el("canvas", { width: GRAIN, height: GRAIN });

const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const direction = () => [Math.cos((plane.angle * Math.PI) / 180), Math.sin((plane.angle * Math.PI) / 180)];

/** The density of the chosen map at a point, up to a factor: a mixture of Gaussians, times the likelihood where it is the posterior. */
function density(x, y) {
  const noise = map.value === "smoothed" ? walk.sigma[step] : 0;
  const variance = plane.std ** 2 + noise ** 2;
  const found = plane.means.reduce((sum, [mx, my], k) => sum + plane.weights[k] * Math.exp(-((x - mx) ** 2 + (y - my) ** 2) / 2 / variance), 0);
  if (map.value !== "posterior") return found;
  const [ax, ay] = direction();
  return found * Math.exp(-((ax * x + ay * y - plane.y) ** 2) / 2 / plane.sigma_y ** 2);
}

let painted = "";
function paintDensity() {
  const key = [texts, map.value, map.value === "smoothed" ? step : "", colour("--rg-b")].join("|");
  if (key === painted) return;
  painted = key;
  const pen = grain.getContext("2d");
  pen.fillStyle = colour("--rg-b");
  pen.fillRect(0, 0, GRAIN, GRAIN);
  const image = pen.getImageData(0, 0, GRAIN, GRAIN);
  const values = Float32Array.from({ length: GRAIN * GRAIN }, (_, k) =>
    density((((k % GRAIN) + 0.5) / GRAIN - 0.5) * SIDE, (0.5 - (Math.floor(k / GRAIN) + 0.5) / GRAIN) * SIDE));
  const most = values.reduce((a, b) => Math.max(a, b), 1e-12);
  values.forEach((value, k) => (image.data[4 * k + 3] = 215 * Math.sqrt(value / most)));
  pen.putImageData(image, 0, 0);
}

function draw() {
  const size = canvas.clientWidth;
  if (!walk || !size) return;
  paintDensity();
  const sharp = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(size * sharp);
  const pen = canvas.getContext("2d");
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  const place = ([x, y]) => [(x / SIDE + 0.5) * size, (0.5 - y / SIDE) * size];
  const stroke = (points, style, width, alpha, dash = []) => {
    Object.assign(pen, { strokeStyle: style, lineWidth: width, globalAlpha: alpha });
    pen.setLineDash(dash);
    pen.beginPath();
    points.map(place).forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
  };
  pen.drawImage(grain, 0, 0, size, size);
  for (const axis of [[[-2, 0], [2, 0]], [[0, -2], [0, 2]]]) stroke(axis, colour("--rg-subtle"), 1, 0.35);
  const [ax, ay] = direction();
  const line = [[plane.y * ax - 3 * ay, plane.y * ay + 3 * ax], [plane.y * ax + 3 * ay, plane.y * ay - 3 * ax]];
  stroke(line, colour("--rg-c"), Math.max(3, (2 * plane.sigma_y * size) / SIDE), 0.22);
  stroke(line, colour("--rg-c"), 1.5, 1, [6, 4]);
  const came = walk.points.slice(0, step + 1);
  const now = walk.points[step];
  now.forEach((_, k) => stroke(came.map((points) => points[k]), colour("--rg-a"), 1, 0.3));
  pen.setLineDash([]);
  Object.assign(pen, { globalAlpha: 1, fillStyle: colour("--rg-a"), strokeStyle: colour("--background-fill-primary"), lineWidth: 1 });
  for (const point of now) {
    pen.beginPath();
    pen.arc(...place(point), 4, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }
  Object.assign(pen, { globalAlpha: 1, fillStyle: colour("--rg-subtle"), font: "11px sans-serif", textAlign: "right" });
  pen.fillText("first pixel", size - 4, size / 2 - 4);
  pen.fillText("second pixel", size / 2 - 4, 12);
}

const percent = (share) => `${Math.round(100 * share)} %`;

function tell() {
  const n = walk.sigma.length;
  at.textContent = `step ${step + 1}/${n} · σ ${shortNumber(walk.sigma[step])}`;
  range.setAttribute("aria-valuetext", at.textContent);
  range.style.setProperty("--rg-fill", `${(100 * step) / Math.max(1, n - 1)}%`);
  const known = plane.means.map((mean, k) => ({ mean, exact: plane.exact[k], share: walk.share[step][k] })).filter(({ exact, share }) => exact > 0.01 || share > 0.01);
  const bar = (share, kind) => el("td", {}, el("div", { class: `rg-walk-bar ${kind}` }, el("i", { style: `width:${100 * share}%` })), percent(share));
  shares.replaceChildren(
    el("caption", {}, `Share of ${walk.points[0].length} particles at each mode`),
    el("thead", {}, el("tr", {}, ...["mode at", "posterior", walk.label].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...known.map(({ mean, exact, share }) => el("tr", {}, el("th", { scope: "row" }, mean.map((x) => x.toFixed(2)).join(", ")), bar(exact, "rg-exact"), bar(share, "rg-found")))));
  canvas.setAttribute("aria-label", `${walk.label}, ${at.textContent}. ${known.map(({ mean, exact, share }) => `Mode at ${mean.join(", ")}: ${percent(share)} of the particles, ${percent(exact)} of the posterior`).join(". ")}`);
  Object.assign(root.dataset, { step, steps: n, sampler: walk.label });
}

const redraw = oncePerFrame(draw);
function go(to) {
  step = Math.min(walk.sigma.length - 1, Math.max(0, Math.round(to)));
  range.value = step;
  tell();
  redraw();
}

function pause() {
  cancelAnimationFrame(timer);
  timer = 0;
  play.replaceChildren(icon("play"));
}

function start() {
  if (!walk) return;
  const last = walk.sigma.length - 1;
  const from = step >= last ? 0 : step;
  const begun = performance.now();
  play.replaceChildren(icon("pause"));
  const tick = (now) => {
    go(from + ((now - begun) / PLAYED) * last);
    timer = step < last ? requestAnimationFrame(tick) : 0;
    if (!timer) pause();
  };
  timer = requestAnimationFrame(tick);
}

range.addEventListener("input", () => { pause(); go(Number(range.value)); });
map.addEventListener("change", redraw);
new ResizeObserver(redraw).observe(canvas);

/** A drag on the plane lays the line through the pointer. */
function drag(event) {
  if (!plane || !(event.buttons & 1)) return;
  const area = canvas.getBoundingClientRect();
  const [x, y] = [((event.clientX - area.left) / area.width - 0.5) * SIDE, (0.5 - (event.clientY - area.top) / area.height) * SIDE];
  const [ax, ay] = direction();
  plane.y = Math.min(1, Math.max(-1, ax * x + ay * y));
  redraw();
  trigger("select", { y: plane.y });
}
canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); drag(event); });
canvas.addEventListener("pointermove", drag);

function load() {
  const value = objectOrNull(props.value);
  message.textContent = value?.message || "";
  message.hidden = !message.textContent;
  if (!value?.walk) return;
  const first = !walk;
  const share = walk ? step / Math.max(1, walk.sigma.length - 1) : 1;
  [plane, walk] = [parse(value.plane), parse(value.walk)];
  texts = value.plane;
  range.max = walk.sigma.length - 1;
  if (!timer) go(share * (walk.sigma.length - 1));
  if (first && !matchMedia("(prefers-reduced-motion: reduce)").matches) { go(0); start(); }
}
watch("value", load);
load();
