// The PSNR of several runs of each contestant: a point for every run, and over them a bar of mean ± standard error.

const SPREAD_ROW = 24; // CSS pixels

/** createSpread(parent) -> {update(rows, of)}; rows = [{name, kind, shape, runs: [dB], said: [of each run], mean, error}], `of` what the error is over. */
function createSpread(parent) {
  const drawing = svg("svg", { class: "rg-plot-svg", role: "img" });
  const box = el("div", { class: "rg-plot-box" }, drawing);
  const node = el("div", { class: "rg-plot rg-spread" }, el("div", { class: "rg-plot-head" }, el("span", { class: "rg-plot-title" }, "PSNR, dB, of all runs")), box);
  parent.append(node);
  let rows = [];
  let over = "";

  const redraw = oncePerFrame(() => {
    const bars = rows.flatMap(({ runs, mean, error }) => (mean === null ? runs : [...runs, mean - error, mean + error]));
    const known = extent(bars);
    const width = box.clientWidth;
    node.hidden = !known;
    if (!known || width < 60) return;
    const area = { left: Math.min(0.4 * width, 14 + 6 * Math.max(...rows.map(({ name }) => name.length))), right: width - 12, top: 4 };
    area.bottom = area.top + SPREAD_ROW * rows.length;
    box.style.height = `${area.bottom + 31}px`;
    drawing.setAttribute("viewBox", `0 0 ${width} ${area.bottom + 31}`);
    const domain = padded(known);
    const x = scale(domain, [area.left, area.right]);
    const line = (kind, x1, y1, x2, y2) => svg("line", { class: kind, x1, y1, x2, y2 });
    drawing.replaceChildren(...linearTicks(...domain, Math.floor((area.right - area.left) / 42)).flatMap((tick) => [
      line("rg-grid", x(tick.value), area.top, x(tick.value), area.bottom),
      svg("text", { class: "rg-tick", x: x(tick.value), y: area.bottom + 13, "text-anchor": "middle" }, tick.text),
    ]), line("rg-axis", area.left, area.bottom, area.right, area.bottom),
    svg("text", { class: "rg-tick", x: (area.left + area.right) / 2, y: area.bottom + 26, "text-anchor": "middle" }, `mean ± standard error over ${over}`));
    for (const [k, { name, kind, shape, runs, said, mean, error }] of rows.entries()) {
      const at = area.top + SPREAD_ROW * (k + 0.5);
      drawing.append(svg("text", { class: "rg-spread-name", x: area.left - 8, y: at, "text-anchor": "end", dy: "0.32em" }, name));
      const apart = (n) => at + (runs.length > 1 ? 14 * (n / (runs.length - 1) - 0.5) : 0); // the same run at the same height
      drawing.append(...runs.map((psnr, n) => svg("circle", { class: `rg-spread-run ${kind}`, cx: x(psnr), cy: apart(n), r: 3 }, svg("title", {}, `${said[n]}: ${psnr.toFixed(2)} dB`))));
      if (mean === null) continue;
      const bar = `rg-spread-bar ${kind}`;
      if (error !== null) drawing.append(line(bar, x(mean - error), at, x(mean + error), at), ...[-error, error].map((side) => line(bar, x(mean + side), at - 5, x(mean + side), at + 5)));
      drawing.append(svg("path", { class: `rg-shape ${kind}`, d: shape, transform: `translate(${x(mean)} ${at})` }));
    }
    const text = ({ name, mean, error }) => `${name} ${mean?.toFixed(2) ?? "–"}${error === null ? "" : ` ± ${error.toFixed(2)}`}`;
    drawing.setAttribute("aria-label", `PSNR in dB, mean ± standard error over ${over}: ${rows.map(text).join(", ")}`);
  });
  new ResizeObserver(redraw).observe(parent);
  return {
    update(next, of) {
      [rows, over] = [next, of];
      node.hidden = !rows.length;
      redraw();
    },
  };
}
