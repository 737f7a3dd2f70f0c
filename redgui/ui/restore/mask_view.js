// How large a picture is shown in the mask editor, and which part of it: wheel, buttons, two fingers, and a drag with the middle
// button or with the space bar held. What it takes for itself paints nothing.

/**
 * createMaskView(stage, canvas, state, {show(view), resize(direction), interrupt()}) -> {view(), zoom(factor), hold(on)}
 *
 * `show` hears of another view {scale, x, y}, `resize` of a wheel that changes the brush, `interrupt` of a second finger.
 * Its listeners must be the first ones of the canvas.
 */
function createMaskView(stage, canvas, state, { show, resize, interrupt }) {
  let now = { scale: 1, x: 0, y: 0 };
  let pan = null; // {pointer, last} while a drag moves the picture
  let held = false; // the space bar
  let moved = false; // since it was pressed
  let pinching = false; // until the last finger is up
  const fingers = new Map();

  // Up to eight screen pixels for one of the picture.
  const zoom = createZoom((view) => {
    now = view;
    show(view);
  }, () => Math.max(ZOOM_MOST, (8 * state.w) / (stage.clientWidth || 1)));

  function take(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") {
      fingers.set(event.pointerId, zoom.place(stage, event));
      if (fingers.size === 2) {
        pinching = true;
        interrupt();
      }
      if (pinching) take(event);
    } else if (event.button === 1 || (held && event.button === 0)) {
      take(event);
      canvas.setPointerCapture(event.pointerId);
      pan = { pointer: event.pointerId, last: zoom.place(stage, event) };
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = zoom.place(stage, event);
    if (pan?.pointer === event.pointerId) {
      take(event);
      moved = true;
      zoom.shift(place[0] - pan.last[0], place[1] - pan.last[1]);
      pan.last = place;
    } else if (pinching) {
      take(event);
      const before = [...fingers.values()];
      if (fingers.has(event.pointerId)) fingers.set(event.pointerId, place);
      if (fingers.size === 2) zoom.pinch(before, [...fingers.values()]);
    } else if (fingers.has(event.pointerId)) fingers.set(event.pointerId, place);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
    canvas.addEventListener(name, (event) => {
      if (pan?.pointer === event.pointerId) {
        take(event);
        pan = null;
      }
      if (pinching) take(event);
      fingers.delete(event.pointerId);
      if (!fingers.size) pinching = false;
    });

  /** A wheel zooms where there is more to see, or in the picture that is worked on; elsewhere it scrolls the page. */
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!state.w) return;
      if (event.ctrlKey || event.altKey) {
        event.preventDefault();
        return resize(event.deltaY < 0 ? 1 : -1);
      }
      const inside = now.scale > 1 || (event.deltaY < 0 && (state.w > stage.clientWidth || document.activeElement === canvas));
      if (!inside) return;
      event.preventDefault();
      zoom.wheel(stage, event);
    },
    { passive: false },
  );

  return {
    view: () => now,
    zoom: (factor) => (factor ? zoom.by(factor) : zoom.reset()),
    /** The space bar is down, or up again: whether it did no more than that. */
    hold(on) {
      const alone = held && !on && !moved;
      if (on && !held) moved = false;
      held = on;
      return alone;
    },
  };
}
