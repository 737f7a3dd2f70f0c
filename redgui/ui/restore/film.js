// The filmstrip: the iterates that were kept, as thumbnails, with one of them large and a scrubber.

const root = element.querySelector(".rg-film");
const PER_FRAME = 110; // milliseconds while playing

const large = el("img", { class: "rg-film-large", alt: "", draggable: "false" });
const caption = el("span", { class: "rg-film-caption" });
const playButton = iconButton("play", "Play", () => (timer ? pause() : play()));
const scrubber = el("input", { type: "range", class: "rg-range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Iterate", oninput: () => {
  pause();
  choose(+scrubber.value);
} });
const strip = el("div", { class: "rg-film-strip", "aria-hidden": "true" }); // the scrubber is the way in for keyboards
root.replaceChildren(
  el("div", { class: "rg-film-view" }, large),
  el("div", { class: "rg-film-controls" }, playButton, scrubber, caption),
  strip,
);

let frames = [];
let chosen = 0;
let timer = null;

function textOf(frame) {
  const psnr = Number.isFinite(frame.psnr) ? `${frame.psnr.toFixed(1)} dB` : null;
  return [`step ${frame.i}`, Number.isFinite(frame.sigma) ? `σ ${shortNumber(frame.sigma)}` : null, psnr].filter(Boolean).join(" · ");
}

/** Scrolls the strip alone; scrollIntoView would move the page as well. */
function reveal(thumb) {
  const middle = thumb.offsetLeft + thumb.offsetWidth / 2;
  strip.scrollLeft = middle - strip.clientWidth / 2;
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
  strip.querySelector(".rg-chosen")?.classList.remove("rg-chosen");
  const thumb = strip.children[chosen];
  thumb.classList.add("rg-chosen");
  reveal(thumb);
  root.dataset.chosen = chosen;
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
  if (chosen === frames.length - 1) choose(0);
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
  if (!frames.length) return strip.replaceChildren();
  const shape = value.w > 0 && value.h > 0 ? value.w / value.h : 1;
  root.style.setProperty("--rg-shape", shape.toFixed(4));
  scrubber.max = frames.length - 1;
  strip.replaceChildren(
    ...frames.map((frame, k) => {
      const show = () => {
        pause();
        choose(k);
      };
      return el("button", { type: "button", class: "rg-thumb", tabindex: "-1", onclick: show }, el("img", { src: frame.src, alt: "", draggable: "false" }), el("span", {}, String(frame.i)));
    }),
  );
  choose(followed ? frames.length - 1 : chosen);
}

watch("value", load);
queueMicrotask(load);
