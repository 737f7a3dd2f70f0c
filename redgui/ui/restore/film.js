// The filmstrip: the iterates that were kept, one of them large, with a scrubber.

const root = element.querySelector(".rg-film");
const large = el("img", { class: "rg-film-large", alt: "", draggable: "false" });
const view = el("div", { class: "rg-film-view" }, large);
const canvas = canvasOf(element);
const player = createPlayer("film", "Iterate", show, () => canvas.choose("live"));
root.replaceChildren(view, player.node);
canvas.layer(view);

let frames = [];

function textOf(frame) {
  const psnr = Number.isFinite(frame.psnr) ? `${frame.psnr.toFixed(1)} dB` : null;
  return [`step ${frame.i}`, Number.isFinite(frame.sigma) ? `σ ${shortNumber(frame.sigma)}` : null, psnr].filter(Boolean).join(" · ");
}

function show(index) {
  const text = textOf(frames[index]);
  large.src = frames[index].src;
  large.alt = `Iterate at ${text}`;
  root.dataset.chosen = index;
  return text;
}

function load() {
  const value = objectOrNull(props.value);
  frames = Array.from(value?.frames || [])
    .map(({ src, i, sigma, psnr }) => ({ src, i, sigma, psnr }))
    .filter((frame) => isPicture(frame.src));
  root.hidden = !frames.length;
  root.dataset.frames = frames.length;
  player.load(frames.length);
}

watch("value", load);
queueMicrotask(load);
