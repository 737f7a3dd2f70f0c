// The noise levels of a run over its iterations, and one picture drowning in noise at some of them.

const root = element.querySelector(".rg-schedule");
root.replaceChildren();
const readOut = (data, k) => `step ${data.lines[0].x[k]}`;
const plot = createPlot(root, { title: "Noise level σ over the iterations", height: 176, yLog: true, xLabel: "iteration", readOut });
const row = el("div", { class: "rg-drown" });
root.append(row);

let value = null;
let chosen = null; // the level that is taken apart

function mark() {
  if (!value) return;
  const near = (list, of) => list.reduce((best, one, k) => (Math.abs(Math.log(of(one) / chosen)) < Math.abs(Math.log(of(list[best]) / chosen)) ? k : best), 0);
  const k = near(value.sigma, (sigma) => sigma);
  const x = value.sigma.map((_, step) => step + 1);
  plot.update({ lines: [{ name: "σ", x, y: value.sigma, kind: "rg-b" }], now: { x: x[k], y: value.sigma[k] } });
  const at = near(value.pictures, (picture) => picture.sigma);
  [...row.children].forEach((button, j) => button.classList.toggle("rg-chosen", j === at));
  Object.assign(root.dataset, { steps: value.sigma.length, now: chosen });
}

function load() {
  value = objectOrNull(props.value) ? plain(props.value) : null;
  root.hidden = !value;
  if (!value) return row.replaceChildren();
  chosen = chosen ?? value.now;
  row.replaceChildren(...value.pictures.map(({ sigma, src }) => {
    const text = `σ ${shortNumber(sigma)}`;
    return el("button", { type: "button", "aria-label": `Take apart at ${text}`, onclick: () => trigger("select", { sigma }) },
      el("img", { src: isPicture(src) ? src : "", alt: "", draggable: "false" }), text);
  }));
  mark();
}

// The anatomy below tells which level it shows, so that the pictures here need not be sent again.
document.addEventListener("redgui-level", (event) => {
  chosen = event.detail;
  mark();
});
watch("value", load);
load();
