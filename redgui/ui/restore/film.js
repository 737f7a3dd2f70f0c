// The filmstrip: the iterates that were kept, as thumbnails, with one of them large and a scrubber.

const root = element.querySelector(".rg-film");
const PER_FRAME = 110; // milliseconds while playing

const large = el("img", { class: "rg-film-large", alt: "", draggable: "false" });
const caption = el("span", { class: "rg-film-caption" });
const playButton = iconButton("play", "Play", () => (timer ? pause() : play()));
const scrubber = el("input", { type: "range", class: "rg-range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Iterate", oninput: () => {
  pause();
  look(+scrubber.value);
} });
const view = el("div", { class: "rg-film-view" }, large);
root.replaceChildren(view, el("div", { class: "rg-film-controls" }, playButton, scrubber, caption));
const canvas = canvasOf(element);
canvas.layer(view);

let frames = [];
let chosen = 0;
let timer = null;

function textOf(frame) {
  const psnr = Number.isFinite(frame.psnr) ? `${frame.psnr.toFixed(1)} dB` : null;
  return [`step ${frame.i}`, Number.isFinite(frame.sigma) ? `σ ${shortNumber(frame.sigma)}` : null, psnr].filter(Boolean).join(" · ");
}

function choose(index) {
  chosen = Math.max(0, Math.min(frames.length - 1, index));
  const frame = frames[chosen];
  large.src = frame.src;
  large.alt = `Iterate at ${textOf(frame)}`;
  caption.textContent = textOf(frame);
  scrubber.value = chosen;
  scrubber.style.setProperty("--rg-fill", `${frames.length > 1 ? (100 * chosen) / (frames.length - 1) : 0}%`);
  scrubber.setAttribute("aria-valuetext", textOf(frame));
  root.dataset.chosen = chosen;
}

/** A person looks through the film. */
function look(index) {
  choose(index);
  canvas.choose("live");
}

function showPlaying(on) {
  playButton.replaceChildren(icon(on ? "pause" : "play"));
  playButton.setAttribute("aria-label", on ? "Pause" : "Play");
  playButton.dataset.tip = on ? "Pause" : "Play";
}

function pause() {
  clearInterval(timer);
  timer = null;
  showPlaying(false);
}

/** From the start when it stands at the end. */
function play() {
  if (frames.length < 2) return;
  look(chosen === frames.length - 1 ? 0 : chosen);
  timer = setInterval(() => {
    if (!root.isConnected) return pause();
    choose(chosen + 1);
    if (chosen === frames.length - 1) pause();
  }, PER_FRAME);
  showPlaying(true);
}

function load() {
  const value = objectOrNull(props.value);
  const followed = chosen >= frames.length - 1; // at the end: stays at the end of a strip that grows
  frames = Array.from(value?.frames || [])
    .map(({ src, i, sigma, psnr }) => ({ src, i, sigma, psnr }))
    .filter((frame) => isPicture(frame.src));
  pause();
  root.hidden = !frames.length;
  root.dataset.frames = frames.length;
  if (!frames.length) return;
  scrubber.max = frames.length - 1;
  choose(followed ? frames.length - 1 : chosen);
}

watch("value", load);
queueMicrotask(load);
