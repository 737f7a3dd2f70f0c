// What the mask editor consists of on the page: its tools, and the picture with the layers over it.

/** The nodes by their names; `act` = {shape(name), erase, resize(size), undo, redo, replace(bit => bit), read, save}. */
function maskPage(root, act) {
  const shapes = {
    brush: iconButton("brush", "Brush (B)", () => act.shape("brush"), { "aria-pressed": "true" }),
    rectangle: iconButton("rectangle", "Rectangle (R)", () => act.shape("rectangle"), { "aria-pressed": "false" }),
    lasso: iconButton("lasso", "Lasso (L)", () => act.shape("lasso"), { "aria-pressed": "false" }),
  };
  const eraserButton = iconButton("eraser", "Eraser (E, or right button)", () => act.erase(), { "aria-pressed": "false" });
  const sizeText = el("output", { class: "rg-size-text" });
  const sizeSlider = el("input", {
    type: "range", min: 1, max: 32, value: 8, "aria-label": "Brush size in pixels", class: "rg-range", oninput: () => act.resize(+sizeSlider.value),
  });
  const undoButton = iconButton("undo", "Undo (Ctrl+Z)", act.undo);
  const redoButton = iconButton("redo", "Redo (Ctrl+Y)", act.redo);
  const clearButton = iconButton("clear", "Clear the mask", () => act.replace(() => 0));
  const invertButton = iconButton("invert", "Invert the mask", () => act.replace((bit) => 1 - bit));
  const fileInput = el("input", { type: "file", accept: "image/*,.heic,.npy,.npz", hidden: true, tabindex: "-1", "aria-label": "Mask picture", onchange: act.read });
  const uploadButton = iconButton("upload", "Load a mask (white, or painted at all = fill in)", () => fileInput.click());
  const downloadButton = iconButton("download", "Save the mask as PNG", act.save);
  const peekButton = iconButton("eye", "Hold to see the picture without the mask");
  const share = el("span", { class: "rg-share", role: "status" });
  const hint = el("p", { class: "rg-hint" });

  const toolbar = el(
    "div", { class: "rg-toolbar", role: "toolbar", "aria-label": "Mask tools" },
    el("div", { class: "rg-tools" }, el("div", { class: "rg-group" }, ...Object.values(shapes), eraserButton), el("label", { class: "rg-size" }, sizeSlider, sizeText)),
    el(
      "div", { class: "rg-tools" },
      el("div", { class: "rg-group" }, undoButton, redoButton, clearButton, invertButton),
      el("div", { class: "rg-group" }, uploadButton, downloadButton, peekButton),
    ),
    fileInput,
  );

  const picture = el("img", { class: "rg-mask-picture", alt: "", draggable: "false" });
  const canvas = el("canvas", {
    class: "rg-mask-canvas", tabindex: "0", role: "application",
    "aria-label": "Mask over the picture. Drag to paint what is to be filled in; arrow keys move the brush, space paints, brackets change its size. The wheel zooms; with space held a drag moves the picture.",
  });
  const edges = el("canvas", { class: "rg-mask-edges", "aria-hidden": "true" });
  const outlineDark = svg("path", { class: "rg-outline-dark" });
  const outlineLight = svg("path", { class: "rg-outline-light" });
  const outlineMove = svg("g", {}, outlineDark, outlineLight);
  const shapeDark = svg("path", { class: "rg-outline-dark" });
  const shapeLight = svg("path", { class: "rg-outline-light" });
  const outline = svg("svg", { class: "rg-mask-outline", preserveAspectRatio: "none", "aria-hidden": "true" }, outlineMove, shapeDark, shapeLight);
  const empty = el("div", { class: "rg-empty" }, icon("picture"), el("span", {}, "Choose a picture first"));
  const world = el("div", { class: "rg-mask-world" }, picture, canvas, outline);
  const first = el("span", { class: "rg-mask-first", "aria-hidden": "true" }, "Paint what should go");
  const stage = el("div", { class: "rg-mask-stage" }, world, edges, first, empty);
  root.replaceChildren(toolbar, stage, el("div", { class: "rg-mask-foot" }, share, hint));

  /** The brush of `size` pixels, as its slider, its text and its outline show it. */
  function showSize(size) {
    sizeSlider.value = size;
    sizeSlider.style.setProperty("--rg-fill", `${(100 * (size - 1)) / (sizeSlider.max - 1)}%`);
    sizeText.textContent = `${size} px`;
    const d = discOutline(discRows(size));
    outlineDark.setAttribute("d", d);
    outlineLight.setAttribute("d", d);
  }

  /** The line of a rectangle or a lasso that is being drawn, as an SVG path in picture pixels. */
  function showShape(path) {
    shapeDark.setAttribute("d", path);
    shapeLight.setAttribute("d", path);
    root.classList.toggle("rg-shaping", path !== "");
  }

  /** How large the picture is shown, {scale, x, y} as `createZoom` has them. */
  function showView({ scale, x, y }, w) {
    Object.assign(world.style, { width: `${100 * scale}%`, height: `${100 * scale}%`, left: `${100 * x}%`, top: `${100 * y}%` });
    root.classList.toggle("rg-pixelated", scale > 1 && (scale * stage.clientWidth) / w >= 4);
    root.dataset.zoom = scale.toFixed(2);
  }

  function showTools(shape, erasing) {
    for (const [name, button] of Object.entries(shapes)) button.setAttribute("aria-pressed", String(name === shape && !(erasing && shape === "brush")));
    eraserButton.setAttribute("aria-pressed", String(erasing));
    root.classList.toggle("rg-erasing", erasing);
    root.dataset.shape = shape;
  }

  function showShare({ w, h, mask }) {
    const count = countHoles(mask);
    const percent = mask.length ? (100 * count) / mask.length : 0;
    root.dataset.count = count;
    const digits = percent === 0 || percent === 100 ? 0 : percent < 0.1 ? 2 : 1;
    share.textContent = w ? `${percent.toFixed(digits)} % to fill in` : "";
    root.classList.toggle("rg-unpainted", w > 0 && count === 0);
    share.title = `${count} of ${w} × ${h} pixels`;
  }

  function say(text, wrong = false) {
    hint.textContent = text;
    hint.classList.toggle("rg-wrong", wrong);
  }

  const peek = (on) => root.classList.toggle("rg-peeking", on);
  peekButton.addEventListener("pointerdown", () => peek(true));
  for (const end of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) peekButton.addEventListener(end, () => peek(false));
  peekButton.addEventListener("keydown", (event) => (event.key === " " || event.key === "Enter") && peek(true));
  peekButton.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press is the point
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerleave", () => root.classList.remove("rg-hovering"));
  return {
    toolbar, sizeSlider, undoButton, redoButton, fileInput, picture, canvas, edges, outline, outlineMove, stage, showSize, showShape, showView, showTools, showShare, say,
  };
}
