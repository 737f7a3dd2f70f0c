// A button that plays and a scrubber, over the pictures of a film or the moments of a run.

const PER_FRAME = 110; // milliseconds while playing

/**
 * createPlayer(name, label, show, byHand) -> {node, load(n), at()}
 *
 * `show(k)` shows one of n and gives its text; `byHand` hears that a person looks through them, or plays. `load` says how many
 * there are: who stands at the end stays at the end of one that grows. `name` is in its classes, `label` is what is looked through.
 */
function createPlayer(name, label, show, byHand = () => {}) {
  const playButton = iconButton("play", "Play", () => (timer ? pause() : play()));
  const range = el("input", { type: "range", class: "rg-range", min: 0, max: 0, value: 0, step: 1, "aria-label": label, oninput: () => {
    pause();
    look(+range.value);
  } });
  const caption = el("span", { class: `rg-${name}-caption` });
  const node = el("div", { class: `rg-player rg-${name}-controls` }, playButton, range, caption);
  let count = 0;
  let chosen = 0;
  let timer = null;

  function choose(index) {
    chosen = Math.max(0, Math.min(count - 1, index));
    caption.textContent = show(chosen);
    range.value = chosen;
    range.style.setProperty("--rg-fill", `${count > 1 ? (100 * chosen) / (count - 1) : 0}%`);
    range.setAttribute("aria-valuetext", caption.textContent);
  }

  function look(index) {
    choose(index);
    byHand();
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
    if (count < 2) return;
    look(chosen === count - 1 ? 0 : chosen);
    timer = setInterval(() => {
      if (!node.isConnected) return pause();
      choose(chosen + 1);
      if (chosen === count - 1) pause();
    }, PER_FRAME);
    showPlaying(true);
  }

  function load(n) {
    const followed = chosen >= count - 1;
    count = n;
    pause();
    if (!count) return;
    range.max = count - 1;
    choose(followed ? count - 1 : chosen);
  }
  return { node, load, at: () => chosen };
}
