// How large a picture is shown in the mask editor, and which part of it: wheel, buttons, two fingers, and a drag with the middle
// button or with the space bar held. What it takes for itself paints nothing.

/**
 * createMaskView(zoom, stage, canvas, state, {resize(direction), interrupt()}) -> {hold(on)}
 *
 * `zoom` as of `createZoom`; `resize` hears of a wheel that changes the brush, `interrupt` of a second finger.
 * Its listeners must be the first ones of the canvas.
 */
function createMaskView(zoom, stage, canvas, state, { resize, interrupt }) {
  let pan = null; // {pointer, last} while a drag moves the picture
  let held = false; // the space bar
  let moved = false; // since it was pressed
  let pinching = false; // until the last finger is up
  const fingers = new Map();

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
      if (!(zoom.level() > 1 || startsZoom(event, stage) || (event.deltaY < 0 && state.w > stage.clientWidth))) return;
      event.preventDefault();
      zoom.wheel(stage, event);
    },
    { passive: false },
  );

  return {
    /** The space bar is down, or up again: whether it did no more than that. */
    hold(on) {
      const alone = held && !on && !moved;
      if (on && !held) moved = false;
      held = on;
      return alone;
    },
  };
}
