// The canvas: one place on the page where picture and mask, the picture that forms, its film and the result lie over each
// other. Each component brings its own layer (the stylesheet lays them into one cell); which one is seen, and how near, is here.

const canvases = new WeakMap();

/** The canvas that a component belongs to; one that stands alone on a page is a canvas of its own. */
function canvasOf(element) {
  const root = element.closest(".rg-canvas") ?? element;
  if (!canvases.has(root)) canvases.set(root, createCanvas(root));
  return canvases.get(root);
}

/**
 * createCanvas(root) -> {zoom, fit(w, h), offer(view, there), show(view), choose(view), settle(), view(), layer(node), heard(f)}
 *
 * The views are "input" (picture and mask, or the measurement), "live" (the picture that forms, and its film) and "result".
 * `show` is the page's own choice and `choose` a person's, who is left at the input until `settle`; `heard` calls f(canvas) at
 * every change of view and zoom.
 */
function createCanvas(root) {
  const offered = new Set(["input"]);
  const listeners = new Set();
  let across = 1; // pixels of the picture's width
  let byHand = false;
  let place = { scale: 1, x: 0, y: 0 };

  const tell = () => {
    for (const listener of listeners) listener(canvas);
  };
  // Up to eight screen pixels for one of the picture.
  const zoom = createZoom((now) => {
    place = now;
    root.style.setProperty("--zoom", now.scale);
    root.style.setProperty("--shift-x", `${100 * now.x}%`);
    root.style.setProperty("--shift-y", `${100 * now.y}%`);
    tell();
  }, () => Math.max(ZOOM_MOST, (8 * across) / (root.clientWidth || 1)));

  function set(view) {
    root.dataset.view = view;
    tell();
  }

  const canvas = {
    zoom,
    view: () => root.dataset.view,
    place: () => place,
    offers: (view) => offered.has(view),
    heard(listener) {
      listeners.add(listener);
      listener(canvas);
    },
    /** The size of the picture in pixels, which is the shape of all layers. */
    fit(w, h) {
      if (!(w > 0 && h > 0)) return;
      across = w;
      root.style.setProperty("--shape", (w / h).toFixed(4));
    },
    offer(view, there) {
      if (offered.has(view) === there) return;
      offered[there ? "add" : "delete"](view);
      if (!there && root.dataset.view === view) set(view === "result" && offered.has("live") ? "live" : "input");
      else tell();
    },
    show(view) {
      if (!(byHand && root.dataset.view === "input")) set(view);
    },
    choose(view) {
      byHand = true;
      set(view);
    },
    settle() {
      byHand = false;
    },
    /** A layer that is no editor: the wheel, two fingers, and a drag (of one that is `dragged` itself, with the space bar) move it. */
    layer: (node, dragged = false) => zoom.attach(node, { drags: () => !dragged || root.classList.contains("rg-panning"), wheels: startsZoom }),
  };

  const pan = (on) => (event) => {
    if (event.key !== " " || !(on ? root.matches(":hover") && document.activeElement === document.body : root.isConnected)) return;
    root.classList.toggle("rg-panning", on);
    if (on) event.preventDefault(); // it would scroll the page
  };
  document.addEventListener("keydown", pan(true));
  document.addEventListener("keyup", pan(false));
  root.dataset.view = "input";
  return canvas;
}

/** Whether a wheel over a picture that is shown as a whole zooms into it: where it would scroll nothing, or where it is worked on. */
function startsZoom(event, view) {
  return event.deltaY < 0 && (window.scrollY === 0 || view.contains(document.activeElement));
}
