// Shared by the components. `redgui.ui.parts.components` puts the scripts together: the shared ones are at the top of one
// function, and each component's is the body of a function (element, props, trigger, watch) in it, called for each component.

// The clock of Gradio's own loader asks for every frame for ever, so that an idle page has the browser make sixty a second. It is
// known by where it asks for the time, right before; its request is the next one, and does not come through the page's own way.
{
  const ask = window.requestAnimationFrame;
  const known = new Set();
  window.requestAnimationFrame = (draw) => {
    const id = ask.call(window, draw);
    known.add(id);
    return id;
  };
  performance.now = () => {
    if (new Error().stack.includes("/statustracker")) {
      const next = ask.call(window, () => {}) + 1;
      queueMicrotask(() => known.has(next) || cancelAnimationFrame(next));
    }
    return Performance.prototype.now.call(performance);
  };
  setTimeout(() => {
    delete performance.now;
    window.requestAnimationFrame = ask;
  }, 5000);
}

/** A DOM element: el("p", {class: "x", onclick: f, "aria-label": "y"}, "text", child). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same for SVG, which needs its namespace. */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Line icons on a 24 x 24 grid, drawn with the text colour. */
const ICONS = {
  brush: "M14.5 5.5 18.5 9.5 M4 20c3 0 5-.6 5-3a2.6 2.6 0 0 0-5.2 0c0 1.6-.8 2.3-1.8 3Z M9.5 14.5 19 4.5a1.7 1.7 0 0 1 2.5 2.4L12 16",
  eraser: "M8 20h12 M4.6 14.6 13.5 5.7a2 2 0 0 1 2.8 0l3.7 3.7a2 2 0 0 1 0 2.8L12.2 20H8.6l-4-3.2a1.6 1.6 0 0 1 0-2.2Z M9 10.2l6.3 6.3",
  rectangle: "M4 6h16v12H4Z",
  lasso: "M8 14.6C5.5 13.8 4 12.2 4 10.2 4 7.3 7.6 5 12 5s8 2.3 8 5.2-3.6 5.2-8 5.2c-1.400 0-2.800-.3-4-.8Z M8 14.6a2 2 0 1 0-1.800 2.200c1 .6 1 2-.7 3.200",
  undo: "M9 14 4 9l5-5 M4 9h10a6 6 0 0 1 0 12h-3",
  redo: "M15 14l5-5-5-5 M20 9H10a6 6 0 0 0 0 12h3",
  clear: "M4 7h16 M10 11v6 M14 11v6 M6 7l1 13h10l1-13 M9 7V4h6v3",
  invert: "M12 3a9 9 0 0 0 0 18Z M12 3a9 9 0 0 1 0 18",
  upload: "M12 16V4 M7 9l5-5 5 5 M4 16v4h16v-4",
  download: "M12 4v12 M7 11l5 5 5-5 M4 16v4h16v-4",
  eye: "M2 12s3.6-7 10-7 10 7 10 7-3.6 7-10 7S2 12 2 12Z M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  play: "M7 4.5v15l12-7.5Z",
  pause: "M8 5v14 M16 5v14",
  picture: "M4 5h16v14H4Z M4 16l5-5 4 4 3-3 4 4 M15.5 9.5h.01",
  spark: "M12 3l1.9 6.1L20 11l-6.1 1.9L12 19l-1.9-6.1L4 11l6.1-1.9Z M19 3v4 M21 5h-4",
  stop: "M7 7h10v10H7Z",
  sliders: "M4 7h9 M17 7h3 M15 5v4 M4 17h3 M11 17h9 M9 15v4",
  plus: "M12 5v14 M5 12h14",
  minus: "M5 12h14",
  whole: "M4 9V4h5 M20 9V4h-5 M4 15v5h5 M20 15v5h-5",
  close: "M6 6l12 12 M18 6 6 18",
  copy: "M9 9h11v11H9Z M5 15H4V4h11v1",
  pin: "M9 4h6l-1 6 3 3H7l3-3Z M12 13v7",
  errors: "M4 4h16v16H4Z M8 8l8 8 M16 8l-8 8",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1 M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  pixels: "M4 4h16v16H4Z M4 12h16 M12 4v16",
};

function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: `rg-icon rg-icon-${name}`, "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** A square button with an icon; the label is its name for a screen reader and its tooltip. */
function iconButton(name, label, onclick, attributes = {}) {
  const shown = { type: "button", class: "rg-button", "aria-label": label, "data-tip": label, ...attributes };
  return el("button", onclick ? { ...shown, onclick } : shown, icon(name));
}

/** Calls `draw` at most once per displayed frame, however often it is asked to. */
function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** 3.44, 0.0123, 152, 1.2e-5: three significant digits without noise. */
function shortNumber(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return x.toExponential(1).replace("e+", "e");
  if (size >= 100) return x.toFixed(0);
  if (size >= 10) return x.toFixed(1);
  return String(Number(x.toPrecision(3)));
}

/** Only pictures carried inside the value itself are ever shown. */
function isPicture(source) {
  return typeof source === "string" && source.startsWith("data:image/");
}

/** Gradio hands an absent value over as "" and objects as live proxies; this gives null or the object. */
function objectOrNull(value) {
  return value && typeof value === "object" ? value : null;
}

/** A link to this page from its query; "" where there is none. */
function address(query) {
  return query && window.location.origin + window.location.pathname + query;
}
