// What can take part in a comparison: a line with a box to tick for each sampler, its settings in small print, or each picture.

const root = element.querySelector(".rg-contestants");
const list = el("ul", { class: "rg-contestant-list" });
const title = el("span", { class: "rg-slider-label" });
const count = el("span", { class: "rg-contestant-count" });
const none = el("button", { type: "button", class: "rg-link", onclick: () => choose([]) }, "none");
const all = el("button", { type: "button", class: "rg-link", onclick: () => choose(rows.filter((row) => !row.reason).map((row) => row.key)) }, "");
root.replaceChildren(el("div", { class: "rg-contestant-head" }, title, count, all, none), list);

let value = {};
let rows = [];
let ticked = new Set();

function choose(keys) {
  ticked = new Set(keys);
  props.value = { ...value, ticked: [...ticked] };
  trigger("input");
  show();
}

function line(row, k) {
  const id = `${element.id || "contestants"}-${k}-${Math.random().toString(36).slice(2, 7)}`;
  const box = el("input", {
    type: "checkbox", id, class: "rg-tick", disabled: Boolean(row.reason), "aria-describedby": row.src ? null : `${id}-about`,
    onchange: () => choose(box.checked ? [...ticked, row.key] : [...ticked].filter((key) => key !== row.key)),
  });
  const settings = row.spec?.includes(":") ? row.spec.slice(row.spec.indexOf(":") + 1).replaceAll(",", ", ") : "defaults";
  const text = el("label", { class: "rg-contestant-text", for: id, title: row.about || (row.src ? row.label : null) },
    el("b", {}, row.label), row.src ? null : el("code", { id: `${id}-about` }, row.reason || settings));
  const away = row.removable && iconButton("close", `Remove ${row.label}`, () => trigger("delete", { key: row.key }));
  const picture = isPicture(row.src) ? el("img", { class: "rg-contestant-picture", src: row.src, alt: "" }) : null;
  return el("li", { class: `rg-contestant${row.reason ? " rg-unfit" : ""}`, "data-key": row.key }, box, picture, text, away || null);
}

function show() {
  const fit = rows.filter((row) => !row.reason);
  const taking = fit.filter((row) => ticked.has(row.key)).length;
  count.textContent = `${taking} of ${fit.length}`;
  for (const [k, row] of rows.entries()) list.children[k].querySelector("input").checked = ticked.has(row.key);
  root.dataset.ticked = [...ticked].join(" ");
}

const update = oncePerFrame(() => {
  value = plain(objectOrNull(props.value) || {});
  title.textContent = value.title || "Samplers";
  all.textContent = value.title ? "all" : "all that fit";
  list.ariaLabel = value.title || "Samplers to compare";
  const same = JSON.stringify(rows) === JSON.stringify(value.rows || []) && list.children.length > 0;
  rows = value.rows || [];
  ticked = new Set(value.ticked || []);
  if (!same) list.replaceChildren(...rows.map(line)); // otherwise the box that has the focus keeps it
  show();
});
watch("value", update);
update();
