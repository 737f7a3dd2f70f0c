// The mask editor. The mask is a Uint8Array of exactly w * h (1 = hole) and strokes are rasterised here,
// pixel by pixel: what the outline of the brush shows is what is painted, and nothing is antialiased.

const HOLE = [255, 45, 146]; // the overlay's colour; the stylesheet's --rg-hole is the same
const UNDO_LEVELS = 60;
const MOST_EDGES = 1200; // beyond this many outline segments (scattered pixels) the outline only hides the picture

// ---- pixels ---------------------------------------------------------------------------------------------

/** Row-major bits, most significant first, as numpy.packbits has them, in base64. */
function packBits(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  for (let k = 0; k < mask.length; k++) if (mask[k]) bytes[k >> 3] |= 128 >> (k & 7);
  let text = "";
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return btoa(text);
}

function unpackBits(base64, size) {
  const mask = new Uint8Array(size);
  if (!base64) return mask;
  const text = atob(base64);
  for (let k = 0; k < size; k++) mask[k] = (text.charCodeAt(k >> 3) >> (7 - (k & 7))) & 1;
  return mask;
}

/** The rows of a disc of `size` pixels across: [dy, first dx, last dx], around its middle pixel (the right
 *  and lower one of the middle four when the size is even). */
function discRows(size) {
  const middle = (size - 1) / 2;
  const offset = Math.floor(size / 2);
  const rows = [];
  for (let row = 0; row < size; row++) {
    const dy = row - middle;
    let first = 0;
    while ((first - middle) ** 2 + dy * dy > (size * size) / 4) first++;
    rows.push([row - offset, first - offset, size - 1 - first - offset]);
  }
  return rows;
}

/** The middle pixel of the brush for a place in the picture. An even brush sits on the nearest corner. */
function snap(position, size) {
  return size % 2 ? Math.floor(position) : Math.floor(position + 0.5);
}

function stamp(mask, w, h, rows, cx, cy, bit) {
  for (const [dy, first, last] of rows) {
    const y = cy + dy;
    if (y < 0 || y >= h) continue;
    const from = Math.max(0, cx + first);
    const to = Math.min(w - 1, cx + last);
    if (from <= to) mask.fill(bit, y * w + from, y * w + to + 1);
  }
}

/** Bresenham's line from one middle pixel to the next, a stamp on each: no gaps at any speed. */
function stampLine(mask, w, h, rows, [x0, y0], [x1, y1], bit) {
  const dx = Math.abs(x1 - x0);
  const dy = -Math.abs(y1 - y0);
  const sx = x0 < x1 ? 1 : -1;
  const sy = y0 < y1 ? 1 : -1;
  let error = dx + dy;
  for (;;) {
    stamp(mask, w, h, rows, x0, y0, bit);
    if (x0 === x1 && y0 === y1) return;
    const doubled = 2 * error;
    if (doubled >= dy) {
      error += dy;
      x0 += sx;
    }
    if (doubled <= dx) {
      error += dx;
      y0 += sy;
    }
  }
}

function countHoles(mask) {
  let count = 0;
  for (let k = 0; k < mask.length; k++) count += mask[k];
  return count;
}

/** The outline of the brush as an SVG path in picture pixels, relative to its middle pixel. */
function discOutline(rows) {
  let right = "";
  let left = "";
  for (const [dy, first, last] of rows) {
    right += `L${last + 1} ${dy}L${last + 1} ${dy + 1}`;
    left = `L${first} ${dy + 1}L${first} ${dy}` + left;
  }
  return "M" + (right + left).slice(1) + "Z";
}

// ---- state ----------------------------------------------------------------------------------------------

// A value sent to the server carries no picture, so Gradio forgets it, and with it what to show when the
// component leaves the page and comes back (visible=False, a tab). The window keeps it, by element id.
const place = element.closest("[id]:not([id^='html-'])")?.id || element.id;
const kept = (window.redguiMasks ??= new Map());
const state = kept.get(place) || {
  image: null, w: 0, h: 0, version: 0, mask: new Uint8Array(0), undo: [], redo: [], size: null, sent: "", seen: "",
};
kept.set(place, state);

let erasing = false;
let stroke = null; // {pointer, bit, before, last} while a button is down
let keyboardAt = null; // the pixel that the arrow keys moved to

// ---- page -----------------------------------------------------------------------------------------------

const root = element.querySelector(".rg-mask");

const brushButton = iconButton("brush", "Brush (B)", () => setErasing(false), { "aria-pressed": "true" });
const eraserButton = iconButton("eraser", "Eraser (E, or right button)", () => setErasing(true), { "aria-pressed": "false" });
const sizeText = el("output", { class: "rg-size-text" });
const sizeSlider = el("input", {
  type: "range", min: 1, max: 32, value: 8, "aria-label": "Brush size in pixels", class: "rg-range", oninput: () => setSize(+sizeSlider.value),
});
const undoButton = iconButton("undo", "Undo (Ctrl+Z)", undo);
const redoButton = iconButton("redo", "Redo (Ctrl+Y)", redo);
const clearButton = iconButton("clear", "Clear the mask", () => replaceMask(new Uint8Array(state.w * state.h)));
const invertButton = iconButton("invert", "Invert the mask", () => replaceMask(state.mask.map((bit) => 1 - bit)));
const fileInput = el("input", { type: "file", accept: "image/*", hidden: true, tabindex: "-1", "aria-label": "Mask picture", onchange: readMaskFile });
const uploadButton = iconButton("upload", "Load a mask picture (white = fill in)", () => fileInput.click());
const downloadButton = iconButton("download", "Save the mask as PNG", download);
const peekButton = iconButton("eye", "Hold to see the picture without the mask");
const share = el("span", { class: "rg-share", role: "status" });
const hint = el("p", { class: "rg-hint" });

const toolbar = el(
  "div", { class: "rg-toolbar", role: "toolbar", "aria-label": "Mask tools" },
  el("div", { class: "rg-tools" }, el("div", { class: "rg-group" }, brushButton, eraserButton), el("label", { class: "rg-size" }, sizeSlider, sizeText)),
  el(
    "div", { class: "rg-tools" },
    el("div", { class: "rg-group" }, undoButton, redoButton, clearButton, invertButton),
    el("div", { class: "rg-group" }, uploadButton, downloadButton, peekButton),
  ),
  fileInput,
);

const picture = el("img", { class: "rg-mask-picture", alt: "", draggable: "false" });
const canvas = el("canvas", {
  class: "rg-mask-canvas", tabindex: "0", role: "application",
  "aria-label": "Mask over the picture. Drag to paint what is to be filled in; arrow keys move the brush, space paints, brackets change its size.",
});
const edges = el("canvas", { class: "rg-mask-edges", "aria-hidden": "true" });
const outlineDark = svg("path", { class: "rg-outline-dark" });
const outlineLight = svg("path", { class: "rg-outline-light" });
const outlineMove = svg("g", {}, outlineDark, outlineLight);
const outline = svg("svg", { class: "rg-mask-outline", preserveAspectRatio: "none", "aria-hidden": "true" }, outlineMove);
const empty = el("div", { class: "rg-empty" }, icon("picture"), el("span", {}, "Choose a picture first"));
const stage = el("div", { class: "rg-mask-stage" }, picture, canvas, edges, outline, empty);
root.replaceChildren(toolbar, stage, el("div", { class: "rg-mask-foot" }, share, hint));

// ---- showing --------------------------------------------------------------------------------------------

/** The mask as translucent colour, one canvas pixel per picture pixel. */
function paintOverlay() {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(state.w, state.h);
  const words = new Uint32Array(pixels.data.buffer);
  const [r, g, b] = HOLE;
  const colour = (150 << 24) | (b << 16) | (g << 8) | r; // little-endian, as every browser's machine is
  for (let k = 0; k < words.length; k++) if (state.mask[k]) words[k] = colour;
  context.putImageData(pixels, 0, 0);
}

/** Lines along the borders between hole and picture, in screen pixels so that they stay thin and crisp. */
function paintEdges() {
  const density = window.devicePixelRatio || 1;
  const width = Math.round(stage.clientWidth * density);
  const height = Math.round(stage.clientHeight * density);
  if (edges.width !== width || edges.height !== height) Object.assign(edges, { width, height });
  const context = edges.getContext("2d");
  context.clearRect(0, 0, width, height);
  const { w, h, mask } = state;
  const sx = width / w;
  const sy = height / h;
  if (!(Math.min(sx, sy) >= 1.5)) return;
  const path = new Path2D();
  let segments = 0;
  const walk = (outer, inner, differs, draw) => {
    for (let line = 0; line <= outer; line++)
      for (let k = 0, start = -1; k <= inner; k++) {
        const border = k < inner && differs(line, k);
        if (border && start < 0) start = k;
        if (!border && start >= 0) {
          draw(line, start, k);
          start = -1;
          if (++segments > MOST_EDGES) return;
        }
      }
  };
  // The frame of the picture is no border: a hole may well go on beyond it.
  walk(h, w, (y, x) => y > 0 && y < h && mask[y * w + x] !== mask[(y - 1) * w + x], (y, from, to) => {
    path.moveTo(from * sx, Math.round(y * sy));
    path.lineTo(to * sx, Math.round(y * sy));
  });
  walk(w, h, (x, y) => x > 0 && x < w && mask[y * w + x] !== mask[y * w + x - 1], (x, from, to) => {
    path.moveTo(Math.round(x * sx), from * sy);
    path.lineTo(Math.round(x * sx), to * sy);
  });
  if (segments > MOST_EDGES) return;
  context.strokeStyle = "rgba(255,255,255,0.85)";
  context.lineWidth = Math.max(1, Math.round(density));
  context.stroke(path);
}

function showShare() {
  const count = countHoles(state.mask);
  const percent = state.mask.length ? (100 * count) / state.mask.length : 0;
  root.dataset.count = count;
  const digits = percent === 0 || percent === 100 ? 0 : percent < 0.1 ? 2 : 1;
  share.textContent = state.w ? `${percent.toFixed(digits)} % to fill in` : "";
  share.title = `${count} of ${state.w} × ${state.h} pixels`;
}

const paint = oncePerFrame(() => {
  if (!state.w) return;
  paintOverlay();
  paintEdges();
  showShare();
});

function showTools() {
  const idle = !state.w;
  for (const control of toolbar.querySelectorAll("button, input")) control.disabled = idle;
  undoButton.disabled = !state.undo.length;
  redoButton.disabled = !state.redo.length;
}

const KEYS = matchMedia("(hover: hover)").matches ? " [ and ] or Ctrl + wheel change the brush." : ""; // not where fingers paint
const HINT = "Paint what is to be filled in." + KEYS;

function say(text, wrong = false) {
  hint.textContent = text;
  hint.classList.toggle("rg-wrong", wrong);
}

/** Everything that depends on the picture and its size. */
function showPicture() {
  const { w, h, image } = state;
  root.classList.toggle("rg-is-empty", !w);
  root.dataset.w = w;
  root.dataset.h = h;
  root.dataset.version = state.version;
  picture.hidden = !image;
  if (image && picture.src !== image) picture.src = image;
  if (!image) picture.removeAttribute("src");
  Object.assign(canvas, { width: w || 1, height: h || 1 });
  canvas.tabIndex = w ? 0 : -1;
  stage.style.aspectRatio = w ? `${w} / ${h}` : "";
  // Tall pictures are held to the height of the stage that a square one has.
  stage.style.maxWidth = w ? `min(100%, ${Math.round(Math.min(512, (512 * w) / h))}px)` : "";
  outline.setAttribute("viewBox", `0 0 ${w || 1} ${h || 1}`);
  const most = Math.max(8, Math.ceil(Math.max(w, h) / 3));
  sizeSlider.max = most;
  setSize(Math.min(state.size ?? Math.max(1, Math.round(Math.max(w, h) / 10)), most), state.size === null);
  showTools();
  showShare();
  say(w ? HINT : "");
  paint();
}

function setSize(size, byDefault = false) {
  const clipped = Math.max(1, Math.min(+sizeSlider.max, Math.round(size)));
  if (!byDefault) state.size = clipped;
  sizeSlider.value = clipped;
  sizeSlider.style.setProperty("--rg-fill", `${(100 * (clipped - 1)) / (sizeSlider.max - 1)}%`);
  sizeText.textContent = `${clipped} px`;
  const d = discOutline(discRows(clipped));
  outlineDark.setAttribute("d", d);
  outlineLight.setAttribute("d", d);
}

const brushSize = () => +sizeSlider.value;

/** One pixel while small, then about a tenth: a 200-pixel brush is reached without wearing out a finger. */
function changeSize(direction) {
  setSize(brushSize() + direction * Math.max(1, Math.round(brushSize() / 10)));
}

function setErasing(on) {
  erasing = on;
  brushButton.setAttribute("aria-pressed", String(!on));
  eraserButton.setAttribute("aria-pressed", String(on));
  root.classList.toggle("rg-erasing", on);
}

// ---- changes --------------------------------------------------------------------------------------------

function remember(before) {
  state.undo.push(before);
  if (state.undo.length > UNDO_LEVELS) state.undo.shift();
  state.redo.length = 0;
}

/** Shows the mask and tells the server; the picture stays here. */
function commit() {
  paint();
  showTools();
  showShare();
  const { w, h, version, mask } = state;
  const packed = packBits(mask);
  state.sent = packed;
  props.value = { w, h, mask: packed, version, count: countHoles(mask) };
  trigger("input");
}

function replaceMask(next) {
  if (stroke || !state.w) return;
  remember(state.mask.slice());
  state.mask = next;
  commit();
}

function undo() {
  if (stroke || !state.undo.length) return;
  state.redo.push(state.mask);
  state.mask = state.undo.pop();
  commit();
}

function redo() {
  if (stroke || !state.redo.length) return;
  state.undo.push(state.mask);
  state.mask = state.redo.pop();
  commit();
}

// ---- strokes --------------------------------------------------------------------------------------------

/** Where an event is, in picture pixels; outside of the picture it goes on counting. */
function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * state.w) / box.width, ((event.clientY - box.top) * state.h) / box.height];
}

function cellOf(event) {
  return placeOf(event).map((position) => snap(position, brushSize()));
}

function showOutline([x, y]) {
  outlineMove.setAttribute("transform", `translate(${x} ${y})`);
  root.classList.add("rg-hovering");
}

function strokeTo(cell) {
  stampLine(state.mask, state.w, state.h, discRows(brushSize()), stroke.last, cell, stroke.bit);
  stroke.last = cell;
}

function beginStroke(event) {
  if (stroke || !state.w || (event.button !== 0 && event.button !== 2 && event.button !== 5)) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const cell = cellOf(event);
  const rubs = erasing || event.button !== 0; // 5 is the other end of a pen
  stroke = { pointer: event.pointerId, bit: rubs ? 0 : 1, before: state.mask.slice(), last: cell };
  root.classList.toggle("rg-rubbing", rubs);
  strokeTo(cell);
  showOutline(cell);
  paint();
}

function moveStroke(event) {
  if (!state.w) return;
  showOutline(cellOf(event));
  if (!stroke || stroke.pointer !== event.pointerId) return;
  const passed = event.getCoalescedEvents?.() || [];
  for (const point of passed.length ? passed : [event]) strokeTo(cellOf(point));
  paint();
}

function endStroke(event) {
  if (!stroke || stroke.pointer !== event.pointerId) return;
  if (event.type === "pointerup") strokeTo(cellOf(event));
  const { before } = stroke;
  stroke = null;
  root.classList.remove("rg-rubbing");
  if (before.every((bit, k) => bit === state.mask[k])) return paint();
  remember(before);
  commit();
}

canvas.addEventListener("pointerdown", beginStroke);
canvas.addEventListener("pointermove", moveStroke);
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, endStroke);
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("pointerleave", () => root.classList.remove("rg-hovering"));
canvas.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.altKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    changeSize(event.deltaY < 0 ? 1 : -1);
  },
  { passive: false },
);

// ---- keys -----------------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function keyOnCanvas(event) {
  const arrow = ARROWS[event.key];
  if (!arrow && event.key !== " ") return false;
  const far = event.shiftKey ? 8 : 1;
  const [x, y] = keyboardAt || [state.w >> 1, state.h >> 1];
  if (arrow) {
    keyboardAt = [
      Math.max(0, Math.min(state.w - 1, x + far * arrow[0])),
      Math.max(0, Math.min(state.h - 1, y + far * arrow[1])),
    ];
  } else {
    remember(state.mask.slice());
    stamp(state.mask, state.w, state.h, discRows(brushSize()), x, y, erasing ? 0 : 1);
    commit();
  }
  showOutline(keyboardAt || [x, y]);
  return true;
}

function onKey(event) {
  if (!state.w || stroke) return;
  const held = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (held && key === "z" && !event.shiftKey) undo();
  else if (held && (key === "y" || (key === "z" && event.shiftKey))) redo();
  else if (held || event.altKey) return;
  else if (key === "[" || key === "-") changeSize(-1);
  else if (key === "]" || key === "+") changeSize(1);
  else if (key === "e") setErasing(!erasing);
  else if (key === "b") setErasing(false);
  else if (event.target !== canvas || !keyOnCanvas(event)) return;
  event.preventDefault();
  event.stopPropagation();
}

/** The keys also work where the mouse is, unless the person is typing somewhere. */
function onPageKey(event) {
  if (!root.isConnected) document.removeEventListener("keydown", onPageKey);
  else if (document.activeElement === document.body && canvas.matches(":hover")) onKey(event);
}

root.addEventListener("keydown", onKey);
document.addEventListener("keydown", onPageKey);

const peek = (on) => root.classList.toggle("rg-peeking", on);
peekButton.addEventListener("pointerdown", () => peek(true));
for (const end of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) peekButton.addEventListener(end, () => peek(false));
peekButton.addEventListener("keydown", (event) => (event.key === " " || event.key === "Enter") && peek(true));
peekButton.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press is the point

// ---- files ----------------------------------------------------------------------------------------------

async function readMaskFile() {
  const file = fileInput.files[0];
  fileInput.value = ""; // so that the same file can be chosen again
  if (!file || !state.w) return;
  try {
    const bitmap = await createImageBitmap(file, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    const sheet = Object.assign(document.createElement("canvas"), { width: state.w, height: state.h });
    const context = sheet.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false; // nearest: a mask has no half pixels
    context.drawImage(bitmap, 0, 0, state.w, state.h);
    const { data } = context.getImageData(0, 0, state.w, state.h);
    const next = new Uint8Array(state.w * state.h);
    for (let k = 0; k < next.length; k++) {
      const grey = 0.299 * data[4 * k] + 0.587 * data[4 * k + 1] + 0.114 * data[4 * k + 2];
      next[k] = data[4 * k + 3] >= 128 && grey >= 127.5 ? 1 : 0;
    }
    replaceMask(next);
    say(bitmap.width === state.w && bitmap.height === state.h ? HINT : `${bitmap.width} × ${bitmap.height} mask resized to ${state.w} × ${state.h}.`);
  } catch {
    say(`${file.name} is not a picture that this browser can read; use a PNG.`, true);
  }
}

function download() {
  const { w, h, mask } = state;
  const sheet = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const pixels = new ImageData(w, h);
  new Uint32Array(pixels.data.buffer).forEach((_, k, words) => (words[k] = mask[k] ? 0xffffffff : 0xff000000));
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  sheet.toBlob((blob) => {
    const link = el("a", { href: URL.createObjectURL(blob), download: "mask.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}

// ---- values from the server -----------------------------------------------------------------------------

function forget() {
  stroke = null;
  Object.assign(state, { image: null, w: 0, h: 0, version: 0, mask: new Uint8Array(0), undo: [], redo: [], sent: "", seen: "" });
  showPicture();
}

/** A value with a picture starts anew; one with a mask alone is a change that can be undone. */
function load() {
  const value = objectOrNull(props.value);
  if (!value) return forget();
  const { w, h, version = 0, mask = "" } = value;
  if (!(w > 0 && h > 0)) return forget();
  const image = isPicture(value.image) ? value.image : null;
  const key = `${version}/${w}x${h}/${image ? image.length : ""}/${mask}`;
  const sameSize = w === state.w && h === state.h;
  // The echo of what was sent from here, or a value already shown, seen again because the component was rebuilt.
  if (sameSize && (image ? key === state.seen && image === state.image : mask === state.sent)) return showPicture();
  let bits;
  try {
    bits = unpackBits(mask, w * h);
  } catch {
    bits = new Uint8Array(w * h);
  }
  if (image || !sameSize) {
    stroke = null;
    Object.assign(state, { image, undo: [], redo: [] });
  } else if (stroke) {
    remember(stroke.before);
    stroke.before = bits.slice(); // the hand goes on, on the new mask
  } else remember(state.mask);
  Object.assign(state, { w, h, version, mask: bits, sent: image ? "" : mask, seen: image ? key : state.seen });
  showPicture();
}

new ResizeObserver(paint).observe(stage);
watch("value", load);
queueMicrotask(load); // not at once: Gradio runs this code inside an effect that would track what it reads
