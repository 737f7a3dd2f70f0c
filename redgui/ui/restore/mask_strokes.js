// What a pointer draws on the mask: strokes of the brush, rectangles and lassos.

/**
 * createStrokes(canvas, state, hand) -> {current(), cancel(), placeOf(event)}
 *
 * hand = {shape(), size(), erasing(), outline(cell), shaped(path), paint(box), rubs(on), done(before)}: what is drawn with, and
 * what is to be shown. `current()` is {before, ...} while a button is down; `done` hears of a mask that has changed.
 */
function createStrokes(canvas, state, hand) {
  let stroke = null; // {pointer, shape, bit, before, last, points}

  /** Where an event is, in picture pixels; outside of the picture it goes on counting. */
  function placeOf(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * state.w) / box.width, ((event.clientY - box.top) * state.h) / box.height];
  }
  const cellOf = (event) => placeOf(event).map((position) => snap(position, hand.size()));

  const DRAWS = {
    brush: {
      to(event) {
        const cell = cellOf(event);
        stampLine(state.mask, state.w, state.h, discRows(hand.size()), stroke.last ?? cell, cell, stroke.bit);
        hand.paint(boxAround([stroke.last ?? cell, cell], state.w, state.h, hand.size()));
        stroke.last = cell;
      },
      end() {},
    },
    rectangle: {
      to(event) {
        stroke.points[stroke.points.length ? 1 : 0] = placeOf(event);
        const [left, top, right, bottom] = boxOf(stroke.points[0], stroke.points.at(-1), state.w, state.h);
        hand.shaped(`M${left} ${top}H${right + 1}V${bottom + 1}H${left}Z`);
      },
      end() {
        fillBox(state.mask, state.w, boxOf(stroke.points[0], stroke.points.at(-1), state.w, state.h), stroke.bit);
      },
    },
    lasso: {
      to(event) {
        stroke.points.push(placeOf(event));
        hand.shaped(`M${stroke.points.map((point) => point.map((value) => value.toFixed(2)).join(" ")).join("L")}Z`);
      },
      end() {
        fillLasso(state.mask, state.w, state.h, stroke.points, stroke.bit);
      },
    },
  };

  function begin(event) {
    if (stroke || !state.w || (event.button !== 0 && event.button !== 2 && event.button !== 5)) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const rubs = hand.erasing() || event.button !== 0; // 5 is the other end of a pen
    stroke = { pointer: event.pointerId, shape: hand.shape(), bit: rubs ? 0 : 1, before: state.mask.slice(), last: null, points: [] };
    hand.rubs(rubs);
    DRAWS[stroke.shape].to(event);
    hand.outline(cellOf(event));
  }

  function move(event) {
    if (!state.w) return;
    hand.outline(cellOf(event));
    if (!stroke || stroke.pointer !== event.pointerId) return;
    const passed = event.getCoalescedEvents?.() || [];
    for (const point of passed.length ? passed : [event]) DRAWS[stroke.shape].to(point);
  }

  function end(event) {
    if (!stroke || stroke.pointer !== event.pointerId) return;
    if (event.type === "pointerup") DRAWS[stroke.shape].to(event);
    DRAWS[stroke.shape].end();
    const { before } = stroke;
    stroke = null;
    hand.rubs(false);
    hand.shaped("");
    if (sameMask(before, state.mask)) return hand.paint();
    hand.done(before);
  }

  /** Takes back what has been drawn so far: a second finger has come, and moves the picture. */
  function cancel() {
    if (!stroke) return;
    state.mask = stroke.before;
    stroke = null;
    hand.rubs(false);
    hand.shaped("");
    hand.paint();
  }

  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, end);
  return { current: () => stroke, cancel, drop: () => (stroke = null) };
}
