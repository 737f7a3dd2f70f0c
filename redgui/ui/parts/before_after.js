// Two pictures, one over the other, under a line that can be moved.

/**
 * beforeAfter({before, after, w, h, position, onMove}) -> {node, update({before, after, w, h})}
 *
 * `before` (left of the line) and `after` are {name, src}; `position` is in percent; `onMove` hears of another one.
 */
function beforeAfter({ position = 50, onMove = () => {}, ...first }) {
  const before = el("img", { class: "rg-compare-image", draggable: "false" });
  const after = el("img", { class: "rg-compare-image", draggable: "false" });
  const layers = [el("div", { class: "rg-compare-layer" }, before), el("div", { class: "rg-compare-layer rg-compare-after" }, after)];
  const names = [el("span", { class: "rg-compare-name" }), el("span", { class: "rg-compare-name rg-compare-right" })];
  const range = el("input", { type: "range", class: "rg-compare-range", min: 0, max: 100, step: 0.5, value: position });
  const line = el("div", { class: "rg-compare-line" }, el("div", { class: "rg-compare-grip" }, "‹ ›"));
  const node = el("div", { class: "rg-compare" }, ...layers, line, ...names, range);
  const move = () => {
    node.style.setProperty("--at", `${range.value}%`);
    onMove(Number(range.value));
  };
  range.addEventListener("input", move);
  move();

  function update(value) {
    for (const [image, name, side] of [[before, names[0], value.before], [after, names[1], value.after]]) {
      if (image.getAttribute("src") !== side.src) image.src = side.src;
      image.alt = name.textContent = side.name;
    }
    range.setAttribute("aria-label", `${value.before.name} on the left, ${value.after.name} on the right`);
    node.style.aspectRatio = String(Math.min(1.8, Math.max(0.75, value.w / value.h)));
  }
  update(first);
  return { node, update };
}

/**
 * beforeAfterMenu(box) -> {menu, show(befores, after, w, h)}: the picture to the left of the line is chosen from a menu.
 *
 * `befores` is name -> picture, `after` {name, src}; `box` is hidden while there is nothing to show. A choice is kept as long as
 * its name is there; the first choice is `preferred`, or else the first name.
 */
function beforeAfterMenu(box, preferred = null) {
  let shown = null;
  let behind = preferred;
  let last = null;
  const menu = el("select", { class: "rg-select", onchange: () => { behind = menu.value; show(...last); } });

  function show(befores, after, w, h) {
    last = [befores, after, w, h];
    const names = Object.keys(befores).filter((name) => isPicture(befores[name]));
    if (names.join() !== [...menu.options].map((option) => option.value).join()) menu.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    if (!names.includes(behind)) [behind] = names;
    menu.value = behind;
    box.hidden = !isPicture(after.src) || !behind;
    if (box.hidden) return;
    const value = { before: { name: behind, src: befores[behind] }, after, w, h };
    if (shown) return shown.update(value);
    shown = beforeAfter(value);
    box.replaceChildren(shown.node);
  }
  return { menu, show };
}
