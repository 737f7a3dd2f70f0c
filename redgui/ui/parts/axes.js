// The axes of a plot: ticks, the range that values take, and pixels for them. A tick is {value, text}.

function powerOfTen(exponent) {
  return exponent >= -2 && exponent <= 3 ? String(Number(`1e${exponent}`)) : `10^${exponent}`;
}

/** SVG text in which ^ raises and _ lowers the rest: the fonts of the themes lack most such characters. */
function mathText(attributes, text) {
  const [, base, sign, rest] = /^(.*?)(?:([\^_])(\S+))?$/.exec(text.split(" ")[0]);
  const node = svg("text", attributes, base);
  if (sign) node.append(svg("tspan", { dy: sign === "^" ? -4 : 3, "font-size": 8 }, rest.replace("-", "−")));
  const after = text.split(" ").slice(1).join(" ");
  if (after) node.append(svg("tspan", { dy: sign === "^" ? 4 : sign ? -3 : 0 }, " " + after));
  return node;
}

function linearTicks(lo, hi, count) {
  const rough = (hi - lo) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [0.5, 1, 2, 5, 10].map((factor) => factor * power);
  const wanted = steps.findIndex((candidate) => candidate >= rough * 0.999);
  const ticksBy = (step) => {
    const ticks = [];
    for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9; k++) ticks.push(Number((k * step).toPrecision(12)));
    return ticks;
  };
  const ticks = ticksBy(steps[wanted]);
  // One tick alone gives no scale.
  return (ticks.length > 1 ? ticks : ticksBy(steps[wanted - 1])).map((value) => ({ value, text: String(value) }));
}

/** Decades; where fewer than two fit, also 2 and 5 (and what is left is better off with linear ticks). */
function logTicks(lo, hi, count) {
  const first = Math.ceil(Math.log10(lo) - 1e-9);
  const last = Math.floor(Math.log10(hi) + 1e-9);
  if (last - first >= 1) {
    const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(2, count)));
    const ticks = [];
    for (let k = first; k <= last; k++) if ((last - k) % every === 0) ticks.push({ value: 10 ** k, text: powerOfTen(k) });
    return ticks;
  }
  const ticks = [];
  for (let k = first - 1; k <= last + 1; k++)
    for (const factor of [1, 2, 5]) {
      const value = Number((factor * 10 ** k).toPrecision(3));
      if (value >= lo * 0.999 && value <= hi * 1.001) ticks.push({ value, text: shortNumber(value).replace(".0e", "e") });
    }
  return ticks.length >= 2 ? ticks : linearTicks(lo, hi, count);
}

/** Lowest and highest usable value; a log axis spans at most eight decades below its top. */
function extent(values, log) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  if (lo > hi) return null;
  if (log) return [Math.max(lo, hi * 1e-8), hi];
  return [lo, hi];
}

function padded([lo, hi], log) {
  if (log) {
    const room = Math.max(1.15, (hi / lo) ** 0.06);
    return [lo / room, hi * room];
  }
  const room = Math.max((hi - lo) * 0.08, Math.abs(hi) * 1e-3, 1e-6);
  return [lo - room, hi + room];
}

/** A function from values to pixels; log where asked. */
function scale([lo, hi], [from, to], log) {
  const f = log ? Math.log : (value) => value;
  const span = f(hi) - f(lo) || 1;
  return (value) => from + ((f(value) - f(lo)) / span) * (to - from);
}
