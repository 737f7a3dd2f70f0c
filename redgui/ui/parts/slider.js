// A slider that moves in factors (logarithmic), for knobs like the learning rate that span decades.
// props: value (number); lo, hi, label, symbol, help. Zero, where `zero` is set, is the leftmost position.

const root = element.querySelector(".rg-slider");
const { lo, hi, zero, label, symbol, help } = { ...props };
const STEPS = 400;
const first = zero ? 1 : 0; // position 0 stands for the value 0

const id = `${element.id || "slider"}-${Math.random().toString(36).slice(2, 8)}`;
const range = el("input", { type: "range", class: "rg-range", id, min: 0, max: STEPS, step: 1, "aria-label": label });
const box = el("input", { type: "number", class: "rg-number", min: zero ? 0 : lo, max: hi, step: "any", "aria-label": `${label}, exact value` });
root.replaceChildren(
  el("div", { class: "rg-slider-head" }, el("label", { for: id, class: "rg-slider-label" }, label, symbol ? el("span", { class: "rg-expert" }, ` ${symbol}`) : ""), box),
  help ? el("p", { class: "rg-slider-help" }, help) : "",
  range,
);

function positionOf(value) {
  if (zero && value <= lo / 2) return 0;
  const share = Math.log(Math.max(value, lo) / lo) / Math.log(hi / lo);
  return Math.round(first + share * (STEPS - first));
}

/** Two significant digits: what a hand can aim at. */
function valueAt(position) {
  if (zero && position < first) return 0;
  const exact = lo * (hi / lo) ** ((position - first) / (STEPS - first));
  return Number(exact.toPrecision(2));
}

function show(value) {
  range.value = positionOf(value);
  range.style.setProperty("--rg-fill", `${(100 * range.value) / STEPS}%`);
  range.setAttribute("aria-valuetext", String(value));
  if (document.activeElement !== box) box.value = String(value);
  root.dataset.value = value;
}

function choose(value) {
  props.value = value;
  show(value);
  trigger("input");
}

range.addEventListener("input", () => choose(valueAt(Number(range.value))));
box.addEventListener("change", () => {
  const wanted = Number(box.value);
  const value = Number.isFinite(wanted) && box.value !== "" ? Math.min(hi, Math.max(zero ? 0 : lo, wanted)) : Number(props.value);
  box.value = String(value);
  choose(value);
});

watch("value", () => show(Number(props.value)));
show(Number(props.value));
