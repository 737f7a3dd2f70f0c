// One iteration of RED-diff in pictures: what each piece is, its picture and its size.

const root = element.querySelector(".rg-anatomy");
const message = el("p", { class: "rg-anatomy-message", role: "alert", hidden: true });
const rows = el("div", {});
root.replaceChildren(message, rows);

let made = ""; // the pieces that are laid out
let parts = {};

function piece({ key, sign, name, formula, text, of }) {
  const image = el("img", { alt: name, draggable: "false" });
  const note = el("span", { class: "rg-piece-note" });
  const fill = el("i");
  const bar = of ? el("div", { class: `rg-norm rg-of-${of}`, "aria-hidden": "true" }, fill) : null;
  parts[key] = { image, note, fill };
  return el("figure", { class: "rg-piece", "data-piece": key },
    el("div", { class: "rg-piece-stage" }, sign ? el("span", { class: "rg-piece-sign", "aria-hidden": "true" }, sign) : null, image),
    bar, el("span", { class: "rg-piece-formula" }, formula), el("span", { class: "rg-piece-name" }, name), note, el("p", {}, text));
}

/** The figures stay where they are while a slider moves; only pictures and numbers change. */
function layOut(of) {
  const wanted = JSON.stringify(of);
  if (wanted === made) return;
  made = wanted;
  parts = {};
  rows.replaceChildren(...of.map(({ title, pieces }) => el("section", { class: "rg-anatomy-row" }, el("h3", {}, title), ...pieces.map(piece))));
}

const update = oncePerFrame(() => {
  const value = objectOrNull(props.value) ? plain(props.value) : null;
  message.hidden = !value?.message;
  message.textContent = value?.message || "";
  rows.hidden = Boolean(!value || value.message);
  root.dataset.status = !value ? "empty" : value.message ? "wrong" : "ready";
  if (!value || value.message) return;
  layOut(value.rows);
  for (const [key, { src, note, share }] of Object.entries(value.pictures)) {
    if (!parts[key]) continue;
    if (isPicture(src)) parts[key].image.src = src;
    parts[key].note.textContent = note;
    if (Number.isFinite(share)) parts[key].fill.style.width = `${(100 * share).toFixed(1)}%`;
  }
  root.dataset.sigma = value.sigma;
  root.dataset.seed = value.seed;
  document.dispatchEvent(new CustomEvent("redgui-level", { detail: value.sigma }));
});
watch("value", update);
update();
