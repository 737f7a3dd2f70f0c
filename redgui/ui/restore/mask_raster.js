// A mask as numbers: a Uint8Array of exactly w * h (1 = hole). Strokes are rasterised here, pixel by pixel: what the outline of
// the brush shows is what is painted, and nothing is antialiased.

const UNDO_LEVELS = 60;
const UNDO_BYTES = 2e8; // a mask has a byte for each pixel

/** Row-major bits, most significant first, as numpy.packbits has them, in base64. */
function packBits(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  for (let k = 0; k < mask.length; k++) if (mask[k]) bytes[k >> 3] |= 128 >> (k & 7);
  let text = "";
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return btoa(text);
}

function unpackBits(base64, size) {
  const mask = new Uint8Array(size);
  if (!base64) return mask;
  const text = atob(base64);
  for (let k = 0; k < size; k++) mask[k] = (text.charCodeAt(k >> 3) >> (7 - (k & 7))) & 1;
  return mask;
}

/** The rows of a disc of `size` pixels across: [dy, first dx, last dx], around its middle pixel (the right
 *  and lower one of the middle four when the size is even). */
function discRows(size) {
  const middle = (size - 1) / 2;
  const offset = Math.floor(size / 2);
  const rows = [];
  for (let row = 0; row < size; row++) {
    const dy = row - middle;
    let first = 0;
    while ((first - middle) ** 2 + dy * dy > (size * size) / 4) first++;
    rows.push([row - offset, first - offset, size - 1 - first - offset]);
  }
  return rows;
}

/** The middle pixel of the brush for a place in the picture. An even brush sits on the nearest corner. */
function snap(position, size) {
  return size % 2 ? Math.floor(position) : Math.floor(position + 0.5);
}

function stamp(mask, w, h, rows, cx, cy, bit) {
  for (const [dy, first, last] of rows) {
    const y = cy + dy;
    if (y < 0 || y >= h) continue;
    const from = Math.max(0, cx + first);
    const to = Math.min(w - 1, cx + last);
    if (from <= to) mask.fill(bit, y * w + from, y * w + to + 1);
  }
}

/** Bresenham's line from one middle pixel to the next, a stamp on each: no gaps at any speed. */
function stampLine(mask, w, h, rows, [x0, y0], [x1, y1], bit) {
  const dx = Math.abs(x1 - x0);
  const dy = -Math.abs(y1 - y0);
  const sx = x0 < x1 ? 1 : -1;
  const sy = y0 < y1 ? 1 : -1;
  let error = dx + dy;
  for (;;) {
    stamp(mask, w, h, rows, x0, y0, bit);
    if (x0 === x1 && y0 === y1) return;
    const doubled = 2 * error;
    if (doubled >= dy) {
      error += dy;
      x0 += sx;
    }
    if (doubled <= dx) {
      error += dx;
      y0 += sy;
    }
  }
}

/** A rectangle between the pixels of two places, both in it. Gives its box [left, top, right, bottom], all inclusive. */
function boxOf([x0, y0], [x1, y1], w, h) {
  const within = (value, n) => Math.max(0, Math.min(n - 1, Math.floor(value)));
  return [within(Math.min(x0, x1), w), within(Math.min(y0, y1), h), within(Math.max(x0, x1), w), within(Math.max(y0, y1), h)];
}

function fillBox(mask, w, [left, top, right, bottom], bit) {
  for (let y = top; y <= bottom; y++) mask.fill(bit, y * w + left, y * w + right + 1);
}

/** Every pixel whose middle a closed line goes around (crossings are no holes), and every pixel that the line goes through. */
function fillLasso(mask, w, h, points, bit) {
  const line = [...points, points[0]];
  const [, top, , bottom] = boxAround(points, w, h);
  for (let y = top; y <= bottom; y++) {
    const crossings = [];
    for (let k = 1; k < line.length; k++) {
      const [[x0, y0], [x1, y1]] = [line[k - 1], line[k]];
      const middle = y + 0.5;
      if (y0 <= middle === y1 <= middle) continue;
      crossings.push([x0 + ((middle - y0) * (x1 - x0)) / (y1 - y0), y1 > y0 ? 1 : -1]);
    }
    crossings.sort((a, b) => a[0] - b[0]);
    for (let k = 0, winding = 0; k + 1 < crossings.length; k++) {
      winding += crossings[k][1];
      const from = Math.max(0, Math.ceil(crossings[k][0] - 0.5));
      const to = Math.min(w - 1, Math.ceil(crossings[k + 1][0] - 0.5) - 1);
      if (winding && from <= to) mask.fill(bit, y * w + from, y * w + to + 1);
    }
  }
  const dot = discRows(1);
  for (let k = 1; k < line.length; k++) stampLine(mask, w, h, dot, line[k - 1].map(Math.floor), line[k].map(Math.floor), bit);
}

/** The box of whole pixels around places, and `far` more on every side, within the picture. */
function boxAround(points, w, h, far = 0) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return boxOf([Math.min(...xs) - far, Math.min(...ys) - far], [Math.max(...xs) + far, Math.max(...ys) + far], w, h);
}

function sameMask(a, b) {
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return false;
  return a.length === b.length;
}

function countHoles(mask) {
  let count = 0;
  for (let k = 0; k < mask.length; k++) count += mask[k];
  return count;
}

/** The outline of the brush as an SVG path in picture pixels, relative to its middle pixel. */
function discOutline(rows) {
  let right = "";
  let left = "";
  for (const [dy, first, last] of rows) {
    right += `L${last + 1} ${dy}L${last + 1} ${dy + 1}`;
    left = `L${first} ${dy + 1}L${first} ${dy}` + left;
  }
  return "M" + (right + left).slice(1) + "Z";
}

/** Notes the mask as it was in the history {undo, redo}. */
function remember(history, before) {
  history.undo.push(before);
  if (history.undo.length > Math.min(UNDO_LEVELS, Math.max(2, UNDO_BYTES / before.length))) history.undo.shift();
  history.redo.length = 0;
}
