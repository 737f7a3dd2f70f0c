// A small line plot in SVG: crisp at every pixel density, coloured by CSS so that it follows the theme.
// The legend is HTML above it and doubles as the read-out of the values under the pointer.

/**
 * createPlot(parent, {title, height, xLog, yLog, xLabel, endLabels, readOut, ownX}) -> {node, update(data)}
 *
 * data = {lines: [{name, x: [], y: [], kind}], xDomain, levels: [{y, text}], marks: [{x, text}], markText, now: {x, y}, yLog}
 * `kind` is a CSS class ("rg-a", "rg-b", ..., "rg-muted", "rg-strong"). null in y is a gap. A line may carry `shape`, the path of
 * a marker around 0,0 for its end. With the option `ownX` every line has its own x, and the read-out takes each where it is nearest.
 */
function createPlot(parent, { ...options }) {
  const legend = el("div", { class: "rg-plot-legend" });
  const head = el("div", { class: "rg-plot-head" }, el("span", { class: "rg-plot-title" }, options.title), legend);
  const drawing = svg("svg", { class: "rg-plot-svg", role: "img", "aria-label": options.title });
  const box = el("div", { class: "rg-plot-box", style: `height:${options.height}px` }, drawing);
  const node = el("div", { class: "rg-plot" }, head, box);
  parent.append(node);

  let data = null;
  let frame = null; // the geometry of the last drawing, for the hover read-out
  let hoverX = null; // pointer position in pixels, null when outside

  function pathOf(line, x, y) {
    let d = "";
    let pen = "M";
    for (let k = 0; k < line.x.length; k++) {
      const value = line.y[k];
      const missing = value === null || value === undefined || !Number.isFinite(value) || (options.yLog && value <= 0);
      if (missing || (options.xLog && line.x[k] <= 0)) {
        pen = "M";
        continue;
      }
      d += `${pen}${x(line.x[k]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
    return d;
  }

  function drawAxes(xTicks, yTicks, x, y, area) {
    for (const tick of yTicks) {
      const at = y(tick.value).toFixed(1);
      drawing.append(
        svg("line", { class: "rg-grid", x1: area.left, x2: area.right, y1: at, y2: at }),
        mathText({ class: "rg-tick", x: area.left - 5, y: at, "text-anchor": "end", dy: "0.32em" }, tick.text),
      );
    }
    for (const tick of xTicks) {
      const at = x(tick.value).toFixed(1);
      drawing.append(
        svg("line", { class: "rg-grid rg-grid-x", x1: at, x2: at, y1: area.bottom, y2: area.bottom + 3 }),
        mathText({ class: "rg-tick", x: at, y: area.bottom + 13, "text-anchor": "middle" }, tick.text),
      );
    }
    drawing.append(svg("line", { class: "rg-axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }));
    const middle = (area.left + area.right) / 2;
    if (options.xLabel) drawing.append(svg("text", { class: "rg-tick", x: middle, y: area.bottom + 26, "text-anchor": "middle" }, options.xLabel));
  }

  /** Level lines (such as sigma_y) are named at their left end, above the line or below where there is no room. */
  function drawLevels(y, area) {
    for (const level of data.levels || []) {
      const at = y(level.y);
      drawing.append(
        svg("line", { class: "rg-level", x1: area.left, x2: area.right, y1: at, y2: at }),
        mathText({ class: "rg-tick rg-level-text", x: area.left + 4, y: at < area.top + 12 ? at + 11 : at - 4 }, level.text),
      );
    }
  }

  function drawMarks(x, area) {
    const free = [-Infinity, -Infinity]; // how far each of two rows of labels is taken
    const marks = (data.marks || []).map((mark) => ({ ...mark, at: x(mark.x) }));
    drawing.append(...marks.map(({ at }) => svg("line", { class: "rg-mark", x1: at, x2: at, y1: area.top, y2: area.bottom })));
    for (const [k, mark] of data.markText ? marks.entries() : []) {
      const { at } = mark;
      const width = 5.9 * mark.text.length + 6;
      const room = Math.min(area.right, marks[k + 1]?.at ?? Infinity) - at;
      const flip = room < width && at - width > area.left; // to the left of its line
      const row = free.findIndex((taken) => taken <= (flip ? at - width : at));
      if (row < 0) continue;
      free[row] = flip ? at : at + width;
      const place = { class: "rg-tick rg-mark-text", x: flip ? at - 3 : at + 3, y: area.top + 8 + 11 * row };
      drawing.append(svg("text", { ...place, "text-anchor": flip ? "end" : "start" }, mark.text));
    }
  }

  /** Names at the right ends of the lines, pushed apart so that none covers another. */
  function drawEndLabels(x, y, area) {
    const ends = data.lines
      .map((line) => ({ line, k: line.y.findLastIndex((value) => Number.isFinite(value) && (!options.yLog || value > 0)) }))
      .filter((end) => end.k >= 0)
      .map((end) => ({ ...end, from: y(end.line.y[end.k]), at: y(end.line.y[end.k]) }))
      .sort((a, b) => a.at - b.at);
    const gap = Math.min(11.5, (area.bottom - area.top) / Math.max(1, ends.length));
    for (let k = 0; k < ends.length; k++) ends[k].at = Math.max(ends[k].at, k ? ends[k - 1].at + gap : area.top + 4);
    for (let k = ends.length - 1; k >= 0; k--)
      ends[k].at = Math.min(ends[k].at, k < ends.length - 1 ? ends[k + 1].at - gap : area.bottom + 2);
    for (const end of ends) {
      const kind = end.line.kind;
      drawing.append(
        svg("path", { class: `rg-leader ${kind}`, d: `M${area.right + 1} ${end.from.toFixed(1)}L${area.right + 8} ${end.at.toFixed(1)}` }),
        svg("text", { class: `rg-end ${kind}`, x: area.right + 11, y: end.at.toFixed(1), dy: "0.32em" }, end.line.name),
      );
    }
  }

  function drawLegend(index) {
    legend.replaceChildren(
      ...(options.endLabels ? [] : data.lines).map((line) => {
        const marked = data.now ? line.x.indexOf(data.now.x) : -1; // what the plot points at, else where a line has come to
        const k = index ?? (marked >= 0 ? marked : line.y.findLastIndex((value) => Number.isFinite(value)));
        const value = el("b", {}, shortNumber(line.y[k]) + (line.unit && Number.isFinite(line.y[k]) ? line.unit : ""));
        return el("span", { class: `rg-key ${line.kind}` }, el("i"), line.name ? line.name + " " : "", value);
      }),
    );
  }

  function nearestTo(line) {
    let nearest = 0;
    line.x.forEach((value, k) => {
      if (Math.abs(frame.x(value) - hoverX) < Math.abs(frame.x(line.x[nearest]) - hoverX)) nearest = k;
    });
    return nearest;
  }

  /** Every line at its own x: a value beside each dot. */
  function drawOwnHover() {
    const at = Math.min(frame.area.right, Math.max(frame.area.left, hoverX));
    drawing.append(svg("line", { class: "rg-hover rg-hover-line", x1: at, x2: at, y1: frame.area.top, y2: frame.area.bottom }));
    for (const line of data.lines) {
      if (!line.x.length || frame.x(line.x.at(-1)) < hoverX - 12) continue; // it ended long before
      const k = nearestTo(line);
      if (!Number.isFinite(line.y[k])) continue;
      const place = { cx: frame.x(line.x[k]), cy: frame.y(line.y[k]) };
      const flip = place.cx > frame.area.right - 34;
      drawing.append(
        svg("circle", { class: `rg-hover rg-dot ${line.kind}`, ...place, r: 3 }),
        svg("text", { class: "rg-hover rg-tick rg-level-text", x: place.cx + (flip ? -6 : 6), y: place.cy - 4, "text-anchor": flip ? "end" : "start" }, shortNumber(line.y[k])),
      );
    }
  }

  /** The marker of a line at its end, so that lines are told apart without their colours. */
  function drawShapes(x, y) {
    for (const line of data.lines.filter((candidate) => candidate.shape)) {
      const k = line.y.findLastIndex((value) => Number.isFinite(value) && (!options.yLog || value > 0));
      if (k < 0) continue;
      const place = `translate(${x(line.x[k]).toFixed(1)} ${y(line.y[k]).toFixed(1)})`;
      drawing.append(svg("path", { class: `rg-shape ${line.kind}`, d: line.shape, transform: place }));
    }
  }

  function drawHover() {
    drawing.querySelectorAll(".rg-hover").forEach((old) => old.remove());
    const reference = data?.lines.find((line) => line.x.length);
    if (hoverX === null || !reference || !frame) {
      if (data) drawLegend(null);
      return;
    }
    if (options.ownX) return drawOwnHover();
    const nearest = nearestTo(reference);
    const at = frame.x(reference.x[nearest]);
    drawing.append(svg("line", { class: "rg-hover rg-hover-line", x1: at, x2: at, y1: frame.area.top, y2: frame.area.bottom }));
    for (const line of data.lines) {
      const value = line.y[nearest];
      if (!Number.isFinite(value) || (options.yLog && value <= 0)) continue;
      drawing.append(svg("circle", { class: `rg-hover rg-dot ${line.kind}`, cx: at, cy: frame.y(value), r: line.kind === "rg-muted" ? 2 : 3 }));
    }
    const text = options.readOut(data, nearest);
    const half = 3 * text.length; // kept within the plot
    const place = { x: Math.min(frame.area.right - half, Math.max(frame.area.left + half, at)), y: frame.area.bottom + 13 };
    drawing.append(svg("text", { class: "rg-hover rg-plot-at", "text-anchor": "middle", ...place }, text));
    drawLegend(nearest);
  }

  function draw() {
    const width = box.clientWidth;
    if (!data || width < 60) return; // hidden for now: the resize observer calls again when it is shown
    drawing.setAttribute("viewBox", `0 0 ${width} ${options.height}`);
    drawing.replaceChildren();
    const names = options.endLabels ? Math.max(0, ...data.lines.map((line) => line.name.length)) : 0;
    const area = { left: 38, right: width - (names ? 5.6 * names + 18 : 8), top: 6, bottom: options.height - (options.xLabel ? 31 : 18) };
    const levels = (data.levels || []).map((level) => level.y);
    const known = extent([...data.lines.flatMap((line) => line.y), ...levels], options.yLog);
    const yDomain = padded(known || (options.yLog ? [0.1, 1] : [0, 1]), options.yLog);
    const xDomain = data.xDomain || extent(data.lines.flatMap((line) => line.x), options.xLog) || [options.xLog ? 0.1 : 0, 1];
    const x = scale(xDomain, [area.left, area.right], options.xLog);
    const y = scale(yDomain, [area.bottom, area.top], options.yLog);
    frame = { x, y, area };

    const xTicks = !known ? [] : (options.xLog ? logTicks : linearTicks)(...xDomain, Math.floor((area.right - area.left) / 42));
    const yTicks = known ? (options.yLog ? logTicks : linearTicks)(...yDomain, Math.floor((area.bottom - area.top) / 24)) : [];
    drawAxes(xTicks, yTicks, x, y, area);
    drawLevels(y, area);
    drawMarks(x, area);
    const order = [...data.lines].sort((a, b) => (a.kind === "rg-strong") - (b.kind === "rg-strong")); // the chosen one on top
    for (const line of order) drawing.append(svg("path", { class: `rg-line ${line.kind}`, d: pathOf(line, x, y) }));
    drawShapes(x, y);
    if (options.endLabels) drawEndLabels(x, y, area);
    if (data.now) {
      const at = Math.min(area.right, Math.max(area.left, x(data.now.x)));
      drawing.append(svg("line", { class: "rg-now-line", x1: at, x2: at, y1: area.top, y2: area.bottom }));
      if (Number.isFinite(data.now.y)) drawing.append(svg("circle", { class: "rg-now", cx: at, cy: y(data.now.y), r: 4.5 }));
    }
    drawHover();
    const last = data.lines.map((line) => `${line.name} ${shortNumber(line.y.at(-1))}`).join(", ");
    drawing.setAttribute("aria-label", `${options.title}: ${last || "no values yet"}`);
  }

  const redraw = oncePerFrame(draw);
  const rehover = oncePerFrame(drawHover);
  new ResizeObserver(redraw).observe(box);
  const onPointer = (event) => {
    hoverX = event.clientX - box.getBoundingClientRect().left;
    rehover();
  };
  box.addEventListener("pointermove", onPointer);
  box.addEventListener("pointerdown", onPointer);
  box.addEventListener("pointerleave", () => {
    hoverX = null;
    rehover();
  });

  return {
    node,
    update(next) {
      data = next;
      if ("yLog" in next) options.yLog = next.yLog;
      redraw();
    },
  };
}
