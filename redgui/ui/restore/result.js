// The result: before and after under a movable line, the figures, particles and the downloads.
// Everything is carried in the value, so nothing of a person's picture is written to the server's disk.

const root = element.querySelector(".rg-result");
const canvas = canvasOf(element);
let position = 50;

function compare(value, before) {
  const onMove = (at) => {
    position = at;
  };
  const { node } = beforeAfter({ before, after: value.after, w: value.w, h: value.h, position, onMove });
  canvas.layer(node, true);
  return node;
}

function choices(value, before) {
  if (value.befores.length < 2) return null;
  const select = el("select", { class: "rg-select", "aria-label": "What to compare with" });
  value.befores.forEach((entry, k) => select.append(el("option", { value: k, selected: entry === before }, entry.name)));
  select.addEventListener("change", () => draw(value, Number(select.value)));
  return el("label", { class: "rg-choice" }, "Compare with ", select);
}

function gallery(value) {
  if (!value.gallery || !value.gallery.length) return null;
  const tiles = value.gallery.map(({ src, name }) => el("figure", {}, el("img", { src, alt: name }), el("figcaption", {}, name)));
  return el("div", { class: "rg-gallery" }, ...tiles);
}

/** Puts the picture on the clipboard, as large as it is; browsers take PNG alone there, and only of pages that are safe. */
async function copyPicture(value) {
  await navigator.clipboard.write([new ClipboardItem({ "image/png": await pictureOf(value) })]);
}

async function pictureOf(value) {
  const { href } = value.downloads.find(({ name }) => name.endsWith(".png"));
  return (await fetch(href ?? value.after.src)).blob();
}

async function useAsInput(value) {
  ownPicture.keep(new File([await pictureOf(value)], "restored.png", { type: "image/png" }));
  trigger("select", {});
}

async function copied(button, text, copy) {
  const label = button.querySelector("span");
  try {
    await copy();
    label.textContent = "Copied";
  } catch {
    label.textContent = "Not allowed here";
  }
  setTimeout(() => (label.textContent = text), 2000);
}

function actions(value) {
  if (!value.next) return null;
  const action = (name, text, onclick) => {
    const button = el("button", { type: "button", class: "rg-download" }, icon(name), el("span", {}, text));
    button.addEventListener("click", () => onclick(button));
    return button;
  };
  const buttons = [action("redo", "Use as input", () => useAsInput(value)), action("copy", "Copy", (button) => copied(button, "Copy", () => copyPicture(value)))];
  if (value.link) buttons.push(action("link", "Link", (button) => copied(button, "Link", () => navigator.clipboard.writeText(address(value.link)))));
  buttons.at(-1).title = value.link ? value.link_note : "";
  return el("div", { class: "rg-downloads" }, ...buttons);
}

/** `behind` is the number of the picture to the left of the line; a download without an address is the restored picture. */
function draw(value, behind = 0) {
  root.hidden = !value;
  root.dataset.ready = value ? value.run : "";
  canvas.offer("result", value !== null);
  if (!value) return root.replaceChildren();
  const cards = el("div", { class: "rg-figures" }, ...value.figures.map(figureCard));
  const links = el("div", { class: "rg-downloads" }, ...value.downloads.map((link) => downloadLink({ href: value.after.src, ...link }, trigger)));
  const before = value.befores[behind];
  const parts = [compare(value, before), choices(value, before), cards, gallery(value), links, actions(value)];
  return root.replaceChildren(...parts.filter(Boolean));
}

const update = oncePerFrame(() => {
  const value = objectOrNull(props.value);
  draw(value ? plain(value) : null);
  if (value) canvas.show("result");
});
watch("value", update);
update();
