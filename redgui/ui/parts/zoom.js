// One zoom for several pictures: what is done to one is done to all. Positions are shares of a picture's side.

const ZOOM_MOST = 16;

/**
 * createZoom(onChange, most) -> {attach(view), by(factor), shift(dx, dy), reset(), level(), ...}
 *
 * A view is an element around what moves; onChange hears of {scale, x, y}, where x and y are the shift of the top left corner
 * in shares of the view, 0 to 1 - scale. Wheel (with Ctrl, or once it is zoomed), pinch, drag, double click and keys.
 */
function createZoom(onChange, most = () => ZOOM_MOST) {
  let scale = 1;
  let x = 0;
  let y = 0;

  function set(newScale, newX, newY) {
    scale = Math.min(most(), Math.max(1, newScale));
    x = Math.min(0, Math.max(1 - scale, newX));
    y = Math.min(0, Math.max(1 - scale, newY));
    onChange({ scale, x, y });
  }

  /** By a factor, the point (px, py) of the view staying where it is. */
  function by(factor, px = 0.5, py = 0.5) {
    const wanted = Math.min(most(), Math.max(1, scale * factor));
    set(wanted, px - ((px - x) * wanted) / scale, py - ((py - y) * wanted) / scale);
  }

  const shift = (dx, dy) => set(scale, x + dx, y + dy);

  function place(view, event) {
    const area = view.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  }

  /** Two fingers went from two places to two others. */
  function pinch(before, after) {
    const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1e-3;
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [from, to] = [middle(before), middle(after)];
    by(apart(after) / apart(before), ...from);
    shift(to[0] - from[0], to[1] - from[1]);
  }

  /** By one step of a wheel. */
  function wheel(view, event) {
    by(Math.exp(-Math.sign(event.deltaY) * Math.min(0.35, Math.abs(event.deltaY) / 250)), ...place(view, event));
  }

  function onKey(event) {
    const far = 0.15;
    const moves = { ArrowLeft: [far, 0], ArrowRight: [-far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") by(1.5);
    else if (event.key === "-") by(1 / 1.5);
    else if (event.key === "0") set(1, 0, 0);
    else if (event.key in moves && scale > 1) shift(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  /** `drags` says whether a drag moves what is zoomed, and `wheels(event, view)` whether a wheel zooms what is seen as a whole. */
  function attach(view, { drags = () => true, wheels = () => false } = {}) {
    const fingers = new Map();
    let moved = false;
    view.addEventListener("keydown", onKey);
    view.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey || scale > 1 || wheels(event, view))) return; // the page scrolls
      if (scale === 1 && event.deltaY > 0) return;
      event.preventDefault();
      wheel(view, event);
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      fingers.set(event.pointerId, place(view, event));
      moved = fingers.size > 1;
    });
    view.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      const before = [...fingers.values()];
      const now = place(view, event);
      const old = fingers.get(event.pointerId);
      const far = Math.hypot(now[0] - old[0], now[1] - old[1]) * view.clientWidth;
      if (fingers.size === 1 && !moved && far < 4) return; // a click with a shaking hand
      fingers.set(event.pointerId, now);
      if (fingers.size === 1 && scale > 1 && drags()) {
        moved = true;
        view.setPointerCapture(event.pointerId);
        shift(now[0] - old[0], now[1] - old[1]);
      } else if (fingers.size === 2) {
        moved = true;
        pinch(before, [...fingers.values()]);
      }
    });
    const lift = (event) => fingers.delete(event.pointerId);
    view.addEventListener("pointerup", lift);
    view.addEventListener("pointercancel", lift);
    view.addEventListener("pointerleave", lift);
    view.addEventListener("dblclick", () => set(1, 0, 0));
    // A drag is no click.
    view.addEventListener("click", (event) => {
      if (moved) event.stopImmediatePropagation();
      moved = false;
    }, { capture: true });
  }

  return { attach, by, shift, pinch, wheel, place, reset: () => set(1, 0, 0), level: () => scale };
}
