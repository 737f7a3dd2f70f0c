// A mask as pictures: the overlay and the outline on the screen, and the file that a person saves.

const HOLE = [255, 45, 146]; // the overlay's colour; the stylesheet's --rg-hole is the same
const MOST_EDGES = 1200; // beyond this many outline segments (scattered pixels) the outline only hides the picture

/** The mask as translucent colour, one canvas pixel per picture pixel: all of it, or a box [left, top, right, bottom]. */
function paintOverlay(canvas, { w, h, mask }, [left, top, right, bottom] = [0, 0, w - 1, h - 1]) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(right - left + 1, bottom - top + 1);
  const words = new Uint32Array(pixels.data.buffer);
  const [r, g, b] = HOLE;
  const colour = (150 << 24) | (b << 16) | (g << 8) | r; // little-endian, as every browser's machine is
  for (let y = top, k = 0; y <= bottom; y++) for (let x = left; x <= right; x++, k++) if (mask[y * w + x]) words[k] = colour;
  context.putImageData(pixels, left, top);
}

/** Lines along the borders between hole and picture, in screen pixels so that they stay thin and crisp, where they are in view. */
function paintEdges(edges, stage, { w, h, mask }, view) {
  const density = window.devicePixelRatio || 1;
  const width = Math.round(stage.clientWidth * density);
  const height = Math.round(stage.clientHeight * density);
  if (edges.width !== width || edges.height !== height) Object.assign(edges, { width, height });
  const context = edges.getContext("2d");
  context.clearRect(0, 0, width, height);
  const [sx, sy] = [(width * view.scale) / w, (height * view.scale) / h];
  const [left, top] = [view.x * width, view.y * height];
  if (!(Math.min(sx, sy) >= 1.5)) return;
  const seen = (shift, step, side, n) => [Math.max(0, Math.floor(-shift / step)), Math.min(n, Math.ceil((side - shift) / step))];
  const [columns, rows] = [seen(left, sx, width, w), seen(top, sy, height, h)];
  const path = new Path2D();
  let segments = 0;
  const walk = (outer, inner, differs, draw) => {
    for (let line = outer[0]; line <= outer[1]; line++)
      for (let k = inner[0], start = -1; k <= inner[1]; k++) {
        const border = k < inner[1] && differs(line, k);
        if (border && start < 0) start = k;
        if (!border && start >= 0) {
          draw(line, start, k);
          start = -1;
          if (++segments > MOST_EDGES) return;
        }
      }
  };
  // The frame of the picture is no border: a hole may well go on beyond it.
  walk(rows, columns, (y, x) => y > 0 && y < h && mask[y * w + x] !== mask[(y - 1) * w + x], (y, from, to) => {
    path.moveTo(left + from * sx, Math.round(top + y * sy));
    path.lineTo(left + to * sx, Math.round(top + y * sy));
  });
  walk(columns, rows, (x, y) => x > 0 && x < w && mask[y * w + x] !== mask[y * w + x - 1], (x, from, to) => {
    path.moveTo(Math.round(left + x * sx), top + from * sy);
    path.lineTo(Math.round(left + x * sx), top + to * sy);
  });
  if (segments > MOST_EDGES) return;
  context.strokeStyle = "rgba(255,255,255,0.85)";
  context.lineWidth = Math.max(1, Math.round(density));
  context.stroke(path);
}

/** Saves the mask as a PNG, white = hole. */
function saveMask({ w, h, mask }) {
  const sheet = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const pixels = new ImageData(w, h);
  new Uint32Array(pixels.data.buffer).forEach((_, k, words) => (words[k] = mask[k] ? 0xffffffff : 0xff000000));
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  sheet.toBlob((blob) => {
    const link = el("a", { href: URL.createObjectURL(blob), download: "mask.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}
