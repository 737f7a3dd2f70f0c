// The weightings lambda(sigma) on logarithmic axes: the chosen one stands out and carries the current sigma.

const root = element.querySelector(".rg-weights");
root.replaceChildren();
const readOut = (data, k) => {
  const line = data.lines.find((candidate) => candidate.kind === "rg-strong");
  return line ? `σ ${shortNumber(line.x[k])} → ${shortNumber(line.y[k])}` : "";
};
const plot = createPlot(root, { title: "Weight of the prior term over σ", height: 176, xLog: true, yLog: true, xLabel: "σ", endLabels: true, readOut });

/** The value of a curve at sigma, straight between its points on the log-log plot. */
function valueAt(xs, ys, at) {
  const order = xs.map((_, k) => k).sort((a, b) => xs[a] - xs[b]);
  for (let k = 1; k < order.length; k++) {
    const [a, b] = [order[k - 1], order[k]];
    if (at < xs[a] || at > xs[b]) continue;
    const part = Math.log(at / xs[a]) / Math.log(xs[b] / xs[a]) || 0;
    return ys[a] > 0 && ys[b] > 0 ? ys[a] * (ys[b] / ys[a]) ** part : null;
  }
  return null;
}

let running = null;

function load() {
  const value = objectOrNull(props.value);
  root.hidden = !value;
  if (!value) return;
  const sigma = Array.from(value.sigma || []);
  const lines = Array.from(value.curves || []).map((curve) => ({
    name: String(curve.name), x: sigma, y: Array.from(curve.values || []), kind: curve.name === value.chosen ? "rg-strong" : "rg-muted",
  }));
  const chosen = lines.find((line) => line.kind === "rg-strong");
  const at = running ?? value.now;
  const now = chosen && at > 0 ? { x: at, y: valueAt(sigma, chosen.y, at) } : null;
  plot.update({ lines, now });
  Object.assign(root.dataset, { chosen: value.chosen || "", curves: lines.length, now: at ?? "" });
}

// The live view tells where the run is, so that the marker moves without a message of its own.
const reload = oncePerFrame(load);
document.addEventListener("redgui-sigma", (event) => {
  running = event.detail;
  reload();
});
watch("value", load);
queueMicrotask(load);
