// How much of the settings is shown: Simple or Expert, as this browser had it last.

const root = element.querySelector(".rg-mode");
const columns = element.closest(".rg-columns");
const MODES = { simple: "Simple", expert: "Expert" };
const buttons = Object.entries(MODES).map(([mode, text]) =>
  el("button", { type: "button", class: "rg-view", "data-mode": mode, onclick: () => choose(mode) }, text));
root.replaceChildren(el("div", { class: "rg-group", role: "group", "aria-label": "How much is shown of the settings" }, ...buttons));

function choose(mode) {
  columns.dataset.mode = mode;
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  try {
    localStorage.setItem("redgui-mode", mode);
  } catch {
    // a browser that keeps nothing
  }
}

let kept = null;
try {
  kept = localStorage.getItem("redgui-mode");
} catch {
  // as above
}
choose(kept in MODES ? kept : "simple");
