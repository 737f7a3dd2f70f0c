// The mask editor: what a person does with the mask (mask_raster.js) over its picture (mask_picture.js).

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

const {
  toolbar, brushButton, eraserButton, sizeSlider, undoButton, redoButton, fileInput, picture, canvas, edges, outline, outlineMove, stage, showSize, showShare, say,
} = maskPage(root, {
  erase: setErasing,
  resize: setSize,
  undo: () => undo(),
  redo: () => redo(),
  replace: (change) => replaceMask(state.mask.map(change)),
  read: readMaskFile,
  save: () => saveMask(state),
});

// ---- showing --------------------------------------------------------------------------------------------

const paint = oncePerFrame(() => {
  if (!state.w) return;
  paintOverlay(canvas, state);
  paintEdges(edges, stage, state);
  showShare(state);
});

function showTools() {
  const idle = !state.w;
  for (const control of toolbar.querySelectorAll("button, input")) control.disabled = idle;
  undoButton.disabled = !state.undo.length;
  redoButton.disabled = !state.redo.length;
}

const KEYS = matchMedia("(hover: hover)").matches ? " [ and ] or Ctrl + wheel change the brush." : ""; // not where fingers paint
const HINT = "Paint what is to be filled in." + KEYS;

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
  showShare(state);
  say(w ? HINT : "");
  paint();
}

function setSize(size, byDefault = false) {
  const clipped = Math.max(1, Math.min(+sizeSlider.max, Math.round(size)));
  if (!byDefault) state.size = clipped;
  showSize(clipped);
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

/** Shows the mask and tells the server; the picture stays here. */
function commit() {
  paint();
  showTools();
  showShare(state);
  const { w, h, version, mask } = state;
  const packed = packBits(mask);
  state.sent = packed;
  props.value = { w, h, mask: packed, version, count: countHoles(mask) };
  trigger("input");
}

function replaceMask(next) {
  if (stroke || !state.w) return;
  remember(state, state.mask.slice());
  state.mask = next;
  commit();
}

/** One step from one end of the history to the other: undo, or redo. */
function step(from, to) {
  if (stroke || !from.length) return;
  to.push(state.mask);
  state.mask = from.pop();
  commit();
}
const undo = () => step(state.undo, state.redo);
const redo = () => step(state.redo, state.undo);

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
  remember(state, before);
  commit();
}

canvas.addEventListener("pointerdown", beginStroke);
canvas.addEventListener("pointermove", moveStroke);
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, endStroke);
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
    remember(state, state.mask.slice());
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

// ---- files ----------------------------------------------------------------------------------------------

/** The server reads the file, and sends the mask that it has read. */
function readMaskFile() {
  const [file] = fileInput.files;
  fileInput.value = ""; // so that the same file can be chosen again
  if (!file || !state.w) return;
  const reader = new FileReader();
  reader.onload = () => trigger("upload", { file: reader.result.replace(/^data:[^,]*/, "data:application/octet-stream;base64") });
  reader.onerror = () => say(`${file.name} cannot be read.`, true);
  reader.readAsDataURL(file);
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
    remember(state, stroke.before);
    stroke.before = bits.slice(); // the hand goes on, on the new mask
  } else remember(state, state.mask);
  Object.assign(state, { w, h, version, mask: bits, sent: image ? "" : mask, seen: image ? key : state.seen });
  showPicture();
  if (typeof value.said === "string") say(value.said);
}

new ResizeObserver(paint).observe(stage);
watch("value", load);
queueMicrotask(load); // not at once: Gradio runs this code inside an effect that would track what it reads
