// The mask editor: what a person does with the mask (mask_raster.js) over its picture (mask_picture.js), by hand (mask_strokes.js)
// and seen near or from afar (mask_view.js).

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
let shape = "brush";
let keyboardAt = null; // the pixel that the arrow keys moved to

// ---- page -----------------------------------------------------------------------------------------------

const root = element.querySelector(".rg-mask");
const ground = canvasOf(element);

const {
  toolbar, sizeSlider, undoButton, redoButton, fileInput, picture, canvas, edges, outline, outlineMove, stage, showSize, showShape, showView, showTools, showShare, say,
} = maskPage(root, {
  shape: (name) => setTool(name, false),
  erase: () => setTool(shape, !erasing),
  resize: setSize,
  undo: () => undo(),
  redo: () => redo(),
  replace: (change) => replaceMask(state.mask.map(change)),
  read: readMaskFile,
  save: () => saveMask(state),
});

const view = createMaskView(ground.zoom, stage, canvas, state, { // before the strokes, which are left what it does not take
  resize: changeSize,
  interrupt: () => strokes.cancel(),
});

const strokes = createStrokes(canvas, state, {
  shape: () => shape,
  size: brushSize,
  erasing: () => erasing,
  outline: showOutline,
  shaped: showShape,
  paint: (box) => paint(box),
  rubs: (on) => root.classList.toggle("rg-rubbing", on),
  done(before) {
    remember(state, before);
    commit();
  },
});

// ---- showing --------------------------------------------------------------------------------------------

let due = []; // boxes of the mask that are to be painted; null: all of it

const paintDue = oncePerFrame(() => {
  if (!state.w) return;
  for (const box of due ?? [undefined]) paintOverlay(canvas, state, box);
  due = [];
  paintEdges(edges, stage, state, ground.place());
  showShare(state);
});

/** Shows the mask: all of it, where its box is given that box, and of an empty list its borders alone. */
function paint(box = null) {
  if (box === null) due = null;
  else if (due && box.length) due.push(box);
  paintDue();
}

function enableTools() {
  const idle = !state.w;
  for (const control of toolbar.querySelectorAll("button, input")) control.disabled = idle;
  undoButton.disabled = !state.undo.length;
  redoButton.disabled = !state.redo.length;
}

const KEYS = matchMedia("(hover: hover)").matches ? "the wheel zooms, space and a drag move, [ and ] or Ctrl + wheel change the brush." : "two fingers zoom and move.";
const HINT = `Paint what should go: ${KEYS}`;

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
  ground.fit(w, h);
  outline.setAttribute("viewBox", `0 0 ${w || 1} ${h || 1}`);
  const most = Math.max(8, Math.ceil(Math.max(w, h) / 3));
  sizeSlider.max = most;
  setSize(Math.min(state.size ?? Math.max(1, Math.round(Math.max(w, h) / 10)), most), state.size === null);
  enableTools();
  showShare(state);
  say(w ? HINT : "");
  paint();
}

function setSize(size, byDefault = false) {
  const clipped = Math.max(1, Math.min(+sizeSlider.max, Math.round(size)));
  if (!byDefault) state.size = clipped;
  showSize(clipped);
}

function brushSize() {
  return +sizeSlider.value;
}

/** One pixel while small, then about a tenth: a 200-pixel brush is reached without wearing out a finger. */
function changeSize(direction) {
  setSize(brushSize() + direction * Math.max(1, Math.round(brushSize() / 10)));
}

function setTool(name, rubs) {
  shape = name;
  erasing = rubs;
  showTools(shape, erasing);
}

function showOutline([x, y]) {
  outlineMove.setAttribute("transform", `translate(${x} ${y})`);
  root.classList.add("rg-hovering");
}

// ---- changes --------------------------------------------------------------------------------------------

/** Shows the mask and tells the server; the picture stays here. */
function commit() {
  paint();
  enableTools();
  showShare(state);
  const { w, h, version, mask } = state;
  const packed = packBits(mask);
  state.sent = packed;
  props.value = { w, h, mask: packed, version, count: countHoles(mask) };
  ownPicture.keepMask({ w, h, mask: packed });
  trigger("input");
}

function replaceMask(next) {
  if (strokes.current() || !state.w) return;
  remember(state, state.mask.slice());
  state.mask = next;
  commit();
}

/** One step from one end of the history to the other: undo, or redo. */
function step(from, to) {
  if (strokes.current() || !from.length) return;
  to.push(state.mask);
  state.mask = from.pop();
  commit();
}
const undo = () => step(state.undo, state.redo);
const redo = () => step(state.redo, state.undo);

// ---- keys -----------------------------------------------------------------------------------------------

const SHAPES = { b: "brush", r: "rectangle", l: "lasso" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function keyOnCanvas(event) {
  const arrow = ARROWS[event.key];
  if (event.key === " ") view.hold(true); // it paints when it comes up, unless the picture was moved
  else if (!arrow) return false;
  const far = event.shiftKey ? 8 : 1;
  const [x, y] = keyboardAt || [state.w >> 1, state.h >> 1];
  if (arrow) {
    keyboardAt = [
      Math.max(0, Math.min(state.w - 1, x + far * arrow[0])),
      Math.max(0, Math.min(state.h - 1, y + far * arrow[1])),
    ];
  }
  showOutline(keyboardAt || [x, y]);
  return true;
}

function onKeyUp(event) {
  if (event.key !== " " || !view.hold(false) || event.target !== canvas || !state.w || strokes.current()) return;
  const [x, y] = keyboardAt || [state.w >> 1, state.h >> 1];
  remember(state, state.mask.slice());
  stamp(state.mask, state.w, state.h, discRows(brushSize()), x, y, erasing ? 0 : 1);
  commit();
}

function onKey(event) {
  if (!state.w || strokes.current()) return;
  const held = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (held && key === "z" && !event.shiftKey) undo();
  else if (held && (key === "y" || (key === "z" && event.shiftKey))) redo();
  else if (held || event.altKey) return;
  else if (key === "[" || key === "-") changeSize(-1);
  else if (key === "]" || key === "+") changeSize(1);
  else if (key === "e") setTool(shape, !erasing);
  else if (key in SHAPES) setTool(SHAPES[key], false);
  else if (key === "0") ground.zoom.reset();
  else if (event.target !== canvas || !keyOnCanvas(event)) return;
  event.preventDefault();
  event.stopPropagation();
}

/** The keys also work where the mouse is, unless the person is typing somewhere. */
function onPageKey(event) {
  if (!root.isConnected) document.removeEventListener("keydown", onPageKey);
  else if (document.activeElement === document.body && canvas.matches(":hover")) {
    if (event.key !== " ") return onKey(event);
    view.hold(true);
    event.preventDefault(); // it would scroll the page
  }
}

root.addEventListener("keydown", onKey);
document.addEventListener("keyup", onKeyUp);
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
  strokes.drop();
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
    strokes.drop();
    Object.assign(state, { image, undo: [], redo: [] });
    ground.zoom.reset();
  } else if (strokes.current()) {
    remember(state, strokes.current().before);
    strokes.current().before = bits.slice(); // the hand goes on, on the new mask
  } else remember(state, state.mask);
  Object.assign(state, { w, h, version, mask: bits, sent: image ? "" : mask, seen: image ? key : state.seen });
  showPicture();
  if (typeof value.said === "string") say(value.said);
  const before = image && ownPicture.maskFor(w, h);
  if (before) replaceMask(unpackBits(before, w * h));
}

new ResizeObserver(() => paint()).observe(stage);
ground.heard(() => {
  showView(ground.place(), state.w);
  paint([]);
});
watch("value", load);
queueMicrotask(load); // not at once: Gradio runs this code inside an effect that would track what it reads
