// The table of a comparison: its columns sort, those in which nothing can stand are left out, and runs of History that are
// pinned are rows of it, too.

/**
 * createTable(box, marker, repinned) -> show(table, over); `marker(key)` is the sign of a row, `over` whether no more figures come.
 * `show.pinned()` are the pinned runs as files have them; `repinned` is called when they are others.
 */
function createTable(box, marker, repinned) {
  let sorted = { name: "", down: true };
  let last = null;
  let pinned = []; // cards of History
  const number = (cell) => Number.parseFloat(cell.text.replace("−", "-"));

  async function readPinned() {
    pinned = (await listRuns().catch(() => [])).filter((card) => card.pinned);
    repinned();
    if (last) show(...last);
  }
  new BroadcastChannel(CHANNEL).addEventListener("message", readPinned);
  readPinned();

  const figuresOf = ({ psnr, ssim, figures }) => ({ psnr, ssim, ...figures });

  /** A pinned run as a row: what a card knows of it. */
  function rowOf(card, columns) {
    const known = figuresOf(card);
    const cells = columns.map(({ key, digits }) => ({ text: Number.isFinite(known[key]) ? known[key].toFixed(digits) : "–", note: "", best: false }));
    return { key: card.id, name: `${card.sampler}, ${card.title}, ${card.of}`, pinned: true, cells };
  }

  function sort(name) {
    if (sorted.name !== name) sorted = { name, down: true };
    else sorted = sorted.down ? { name, down: false } : { name: "", down: true };
    show(...last);
    [...box.querySelectorAll("thead button")].find((button) => button.dataset.name === name)?.focus();
  }

  /** The rows in the order that is wished; what has no figure comes last, either way. */
  function ordered(rows, k) {
    if (k < 0) return rows;
    const value = ({ cells }) => number(cells[k]);
    return [...rows].sort((a, b) => (Number.isFinite(value(b)) - Number.isFinite(value(a))) || (sorted.down ? value(b) - value(a) : value(a) - value(b)) || 0);
  }

  function show(table, over) {
    last = [table, over];
    box.hidden = !table;
    if (!table) return;
    const empty = (k) => table.rows.length > 0 && table.rows.every(({ cells }) => !Number.isFinite(number(cells[k])) && (over || cells[k].text === "n/a"));
    const kept = table.columns.map((column, k) => ({ ...column, k })).filter(({ k }) => !empty(k));
    const at = kept.find(({ name }) => name === sorted.name)?.k ?? -1;
    const direction = sorted.down ? "descending" : "ascending";
    const head = ({ name, note, k }) => el("th", { scope: "col", title: note, "aria-sort": k === at ? direction : null },
      el("button", { type: "button", class: "rg-sort", "data-name": name, "data-sorted": k === at ? direction : null, onclick: () => sort(name) }, name));
    const cell = ({ text: shown, note, best }) =>
      el("td", { class: best ? "rg-best" : null, title: note || null }, shown, best ? el("span", { class: "rg-spoken" }, " (best)") : null, note && shown === "n/a" ? el("span", { class: "rg-spoken" }, note) : null);
    const title = { failed: "an error ended a run of it: it is not compared", pinned: "a run of History that is pinned" };
    const row = ({ key, name, failed, pinned: of, cells }) =>
      el("tr", { "data-key": key, class: failed ? "rg-failed" : null, title: (failed && title.failed) || (of && title.pinned) || null }, el("th", { scope: "row" }, of ? icon("pin") : marker(key), name), ...kept.map(({ k }) => cell(cells[k])));
    const scrolled = box.scrollLeft;
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.name : null; // a new table has new buttons
    box.replaceChildren(el("table", {}, el("caption", { class: "rg-spoken" }, "Figures of every sampler; the best of a column is marked"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "sampler"), ...kept.map(head))), el("tbody", {}, ...ordered([...table.rows, ...pinned.map((card) => rowOf(card, table.columns))], at).map(row))));
    box.scrollLeft = scrolled;
    if (focused) [...box.querySelectorAll("thead button")].find((button) => button.dataset.name === focused)?.focus();
  }
  show.pinned = () => pinned.map((card) => {
    const { sampler, knobs, title, of, prior, steps } = card;
    return { sampler, knobs, title, of, prior, steps, figures: figuresOf(card) };
  });
  return show;
}
