// Error maps: where a picture differs from the original, |x - x0| as a mean over the channels, on one scale for all pictures.

const WHITE = 64; // of 255 levels: an error of that size, or more, is white

/** Draws the map of two loaded pictures of one size on a canvas; false where they are not that. */
function drawError(canvas, image, truth) {
  const [w, h] = [truth.naturalWidth, truth.naturalHeight];
  if (!w || image.naturalWidth !== w || image.naturalHeight !== h) return false;
  Object.assign(canvas, { width: w, height: h });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const levels = (picture) => {
    pen.drawImage(picture, 0, 0);
    return pen.getImageData(0, 0, w, h);
  };
  const [a, b] = [levels(truth).data, levels(image)];
  for (let k = 0; k < a.length; k += 4) {
    const error = (Math.abs(a[k] - b.data[k]) + Math.abs(a[k + 1] - b.data[k + 1]) + Math.abs(a[k + 2] - b.data[k + 2])) / 3;
    const heat = Math.min(1, error / WHITE); // black, red, yellow, white
    for (let c = 0; c < 3; c++) b.data[k + c] = 255 * Math.min(1, Math.max(0, 3 * heat - c));
    b.data[k + 3] = 255;
  }
  pen.putImageData(b, 0, 0);
  return true;
}
