// The bar of the canvas: what is seen on it, and how near.

const canvas = canvasOf(element);
const VIEWS = { input: "Picture", live: "Forming", result: "Before / after" };
const tabs = Object.entries(VIEWS).map(([view, text]) =>
  el("button", { type: "button", class: "rg-view", "data-view": view, onclick: () => canvas.choose(view) }, text));
const level = el("output", { class: "rg-zoom-level" }, "1×");
const out = iconButton("minus", "Smaller", () => canvas.zoom.by(1 / 1.5), { class: "rg-button rg-nearer" });
const whole = iconButton("whole", "The whole picture (0)", () => canvas.zoom.reset());
const pixels = iconButton("pixels", "Show pixels", () => {
  pixels.setAttribute("aria-pressed", String(element.closest(".rg-canvas").classList.toggle("rg-pixels")));
}, { "aria-pressed": "false" });
const zoomTools = el("div", { class: "rg-group" }, pixels, out, level, iconButton("plus", "Larger", () => canvas.zoom.by(1.5), { class: "rg-button rg-nearer" }), whole);
element.querySelector(".rg-canvasbar").replaceChildren(el("div", { class: "rg-group", role: "group", "aria-label": "What is shown" }, ...tabs), zoomTools);

canvas.heard(() => {
  for (const tab of tabs) {
    tab.disabled = !canvas.offers(tab.dataset.view);
    tab.setAttribute("aria-pressed", String(tab.dataset.view === canvas.view()));
  }
  const { scale } = canvas.place();
  level.textContent = `${scale < 10 ? Number(scale.toFixed(1)) : Math.round(scale)}×`;
  out.disabled = whole.disabled = scale === 1;
});
