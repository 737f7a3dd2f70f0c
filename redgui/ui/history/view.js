// The runs of this browser: a gallery, and one of them at large with what reproduces it.

const LARGEST_RECORD = 16 * 2 ** 20; // bytes; the server reads no more
const UNDO_SECONDS = 12;
const root = element.querySelector(".rg-history");
const channel = new BroadcastChannel(CHANNEL);
let removed = []; // what "Undo" brings back
let undoTimer = 0;
let position = 50;
let cards = [];

const file = el("input", { type: "file", accept: ".json,application/json", hidden: true, onchange: chosen });
const openFile = el("button", { type: "button", class: "rg-text-button", onclick: () => file.click() },
  icon("upload"), el("span", {}, "Open a record.json"));
const deleteAll = el("button", { type: "button", class: "rg-text-button", onclick: () => remove(cards.map((card) => card.id)) },
  icon("clear"), el("span", {}, "Delete all"));
const count = el("span", { class: "rg-history-count" });
const head = el("div", { class: "rg-history-head" }, el("h2", {}, "Runs of this browser"), count,
  el("div", { class: "rg-history-buttons" }, openFile, deleteAll, file));
const notice = el("div", { class: "rg-history-notice", role: "status", hidden: true });
const problem = el("p", { class: "rg-history-problem", role: "alert", hidden: true });
const gallery = el("ul", { class: "rg-runs", "aria-label": "Runs of this browser" });
const empty = el("div", { class: "rg-history-empty" }, icon("picture"),
  el("p", {}, el("b", {}, "No runs yet.")),
  el("p", {}, `Run something in the Restore tab: the last ${MOST_RUNS} runs are kept here, in this browser alone, with all that reproduces them.`),
  el("p", {}, "A record.json can be dropped here, too."));
const large = el("div", { class: "rg-run-large", hidden: true });
root.replaceChildren(head, problem, notice, large, gallery, empty);

// ---- the gallery

function decibels(card) {
  if (card.psnr === null) return "no original";
  return `${card.psnr.toFixed(2)} dB` + (card.ssim === null ? "" : ` · SSIM ${card.ssim.toFixed(3)}`);
}

function when(card) {
  return new Date(card.when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function tile(card) {
  const pictures = el("span", { class: "rg-run-pictures" },
    el("img", { src: isPicture(card.thumb) ? card.thumb : "", alt: "Restored", draggable: "false" }),
    el("img", { src: isPicture(card.before) ? card.before : "", alt: "", class: "rg-run-before", draggable: "false" }),
    el("span", { class: "rg-run-tag" }, "measurement"));
  const show = el("button", { type: "button", class: "rg-run-open", onclick: () => showRun(card.id) }, pictures,
    el("span", { class: "rg-run-text" },
      el("b", {}, card.title),
      el("span", {}, el("span", { class: "rg-run-sampler" }, card.sampler), ` ${card.knobs}`),
      el("span", { class: "rg-run-figures" }, decibels(card)),
      el("span", { class: "rg-run-when" }, when(card))));
  const away = iconButton("clear", `Delete this run: ${card.title}, ${card.sampler}`, () => remove([card.id]), { "data-tip": null, title: "Delete" });
  away.classList.add("rg-run-delete");
  return el("li", { class: "rg-run", "data-id": card.id }, show, away);
}

async function refresh() {
  try {
    cards = await listRuns();
    tell(notedTrouble());
  } catch (error) {
    cards = [];
    tell(storageTrouble(error));
  }
  gallery.replaceChildren(...cards.map(tile));
  count.textContent = cards.length ? String(cards.length) : "";
  const browsing = large.hidden;
  deleteAll.hidden = !cards.length || !browsing;
  gallery.hidden = !cards.length || !browsing;
  empty.hidden = cards.length > 0 || !browsing;
  root.dataset.runs = String(cards.length);
}

function tell(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

async function remove(ids) {
  try {
    removed = await removeRuns(ids);
  } catch (error) {
    return tell(storageTrouble(error));
  }
  const undo = el("button", { type: "button", class: "rg-text-button", onclick: putBack }, icon("undo"), el("span", {}, "Undo"));
  notice.replaceChildren(el("span", {}, ids.length === 1 ? "The run was deleted." : `${ids.length} runs were deleted.`), undo);
  notice.hidden = false;
  clearTimeout(undoTimer);
  undoTimer = setTimeout(forget, UNDO_SECONDS * 1000);
  showGallery();
  await changed();
  return undo.focus({ preventScroll: true });
}

function forget() {
  if (notice.contains(document.activeElement) || notice.matches(":hover")) {
    undoTimer = setTimeout(forget, 2000); // not under somebody's finger
    return;
  }
  removed = [];
  notice.hidden = true;
}

async function putBack() {
  try {
    await putRuns(removed);
    removed = [];
    notice.hidden = true;
    clearTimeout(undoTimer);
  } catch (error) {
    tell(storageTrouble(error));
  }
  await changed();
}

async function changed() {
  channel.postMessage("changed"); // other pages of this browser
  await refresh();
}

// ---- one run

async function showRun(id) {
  let run;
  try {
    run = await readRun(id);
  } catch (error) {
    return tell(storageTrouble(error));
  }
  return run ? draw(run) : refresh();
}

function showGallery() {
  const last = large.dataset.id;
  large.hidden = true;
  large.dataset.id = "";
  large.replaceChildren();
  gallery.hidden = deleteAll.hidden = !cards.length;
  empty.hidden = cards.length > 0;
  const tiles = [...gallery.children].find((child) => child.dataset.id === last);
  if (tiles) tiles.querySelector(".rg-run-open").focus({ preventScroll: true });
}

async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page that is not served by https or from this machine has no clipboard
    const box = el("textarea", { style: "position: fixed; opacity: 0", "aria-hidden": "true" });
    box.value = text;
    document.body.append(box);
    box.select();
    done = document.execCommand("copy");
    box.remove();
    button.focus({ preventScroll: true });
  }
  const label = button.querySelector("span");
  label.textContent = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (label.textContent = "Copy"), 1600);
}

function copyable(name, title, text, note) {
  const code = el("pre", { class: "rg-code", tabindex: "0", "aria-label": title }, el("code", {}, text));
  const button = el("button", { type: "button", class: "rg-text-button rg-copy", "aria-label": `Copy: ${title}`, onclick: () => copy(text, button) },
    icon("copy"), el("span", { "aria-live": "polite" }, "Copy"));
  return el("section", { class: "rg-copyable", "data-name": name }, el("div", { class: "rg-copy-head" }, el("h3", {}, title), text ? button : null),
    text ? code : null, note ? el("p", { class: "rg-run-note" }, note) : null);
}

function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function downloads(body) {
  const record = el("button", { type: "button", class: "rg-download", "data-name": "record.json", onclick: () => save("record.json", body.record) },
    icon("download"), el("span", {}, "record.json"));
  const files = [...(body.after ? [{ name: "restored.png", href: body.after.src }] : []), ...body.files];
  const links = files.filter(({ href }) => isPicture(href)).map(downloadLink);
  return el("div", { class: "rg-downloads" }, record, ...links);
}

function pictures(body) {
  const after = body.after || body.befores.at(-1);
  const view = beforeAfter({ before: body.before, after, w: body.w, h: body.h, position, onMove: (at) => { position = at; } });
  if (Math.max(body.w, body.h) <= 128) view.node.classList.add("rg-run-pixels");
  const select = el("select", { class: "rg-select", "aria-label": "What to compare with" },
    ...body.befores.map((entry, k) => el("option", { value: k }, entry.name)));
  select.addEventListener("change", () => view.update({ before: body.befores[Number(select.value)], after, w: body.w, h: body.h }));
  const unknown = body.after ? null : el("p", { class: "rg-run-note" }, "A record does not hold the restored picture; Replay makes it again.");
  return el("div", { class: "rg-run-view" }, view.node, el("label", { class: "rg-choice" }, "Compare with ", select), unknown);
}

/** A run that is pinned is a row of Compare's table, too. */
function pinButton(run) {
  const button = el("button", { type: "button", class: "rg-text-button", "aria-pressed": String(Boolean(run.pinned)), onclick: async () => {
    run.pinned = !run.pinned;
    button.setAttribute("aria-pressed", String(run.pinned));
    try {
      await putRuns([run]);
    } catch (error) {
      tell(storageTrouble(error));
    }
    await changed();
  } }, icon("pin"), el("span", {}, "Pin to Compare"));
  return button;
}

function draw(run) {
  const { body } = run;
  const back = el("button", { type: "button", class: "rg-text-button", onclick: showGallery }, "‹ ", el("span", {}, "All runs"));
  const buttons = el("div", { class: "rg-run-actions" },
    el("button", { type: "button", class: "rg-text-button rg-primary", onclick: () => trigger("submit", { record: body.record }) }, icon("play"), el("span", {}, "Replay")),
    el("button", { type: "button", class: "rg-text-button", onclick: () => trigger("select", { record: body.record }) }, icon("sliders"), el("span", {}, "Open in Restore")),
    body.record && JSON.parse(body.record).sampler?.name === "reddiff" ? el("button", { type: "button", class: "rg-text-button", onclick: () => trigger("expand", { record: body.record }) }, icon("eye"), el("span", {}, "Explain in Learn")) : null,
    run.when && run.psnr !== null ? pinButton(run) : null,
    run.when ? el("button", { type: "button", class: "rg-text-button", onclick: () => remove([run.id]) }, icon("clear"), el("span", {}, "Delete")) : null);
  const facts = el("dl", { class: "rg-facts-list" }, ...body.facts.flatMap(({ name, text }) => [el("dt", {}, name), el("dd", {}, text)]));
  const figures = el("div", { class: "rg-figures" }, ...body.figures.map(figureCard));
  const names = body.files.map(({ name }) => name).join(" and ");
  const beside = body.command && names ? `It needs ${names} beside it, which can be downloaded above.` : "";
  large.replaceChildren(
    el("div", { class: "rg-run-large-head" }, back, el("h2", { tabindex: "-1" }, run.title), el("span", { class: "rg-run-when" }, run.when ? when(run) : "from a file")),
    el("div", { class: "rg-run-columns" }, pictures(body), el("div", { class: "rg-run-about" }, buttons, figures, facts, downloads(body))),
    el("div", { class: "rg-copyables" },
      copyable("link", "Link", address(body.link), body.link_note),
      body.command ? copyable("command", "Command line", body.command, beside) : null,
      copyable("replay", body.command ? "Command line, from the record" : "Command line", body.replay, body.note || "It needs record.json beside it."),
      copyable("snippet", "Python", body.snippet, body.command ? beside : "It needs record.json beside it.")),
  );
  large.dataset.id = run.id;
  large.hidden = false;
  gallery.hidden = empty.hidden = deleteAll.hidden = true;
  large.querySelector("h2").focus({ preventScroll: true });
  const bar = root.getBoundingClientRect();
  if (bar.top < 0) root.scrollIntoView({ block: "start" });
}

// ---- a record.json from outside

function chosen() {
  const [found] = file.files;
  file.value = ""; // so that the same file, mended, counts as another
  if (found) open(found);
}

async function open(found) {
  if (found.size > LARGEST_RECORD) return tell(`${found.name} has ${(found.size / 2 ** 20).toFixed(0)} MB; a record has at most ${LARGEST_RECORD / 2 ** 20}.`);
  tell("");
  return trigger("upload", { record: await found.text() });
}

let within = 0; // dragenter and dragleave come from every child
function dragged(event) {
  return event.dataTransfer && [...event.dataTransfer.types].includes("Files");
}
root.addEventListener("dragenter", (event) => {
  if (!dragged(event)) return;
  within += 1;
  root.classList.add("rg-dropping");
});
root.addEventListener("dragleave", () => {
  within = Math.max(0, within - 1);
  if (!within) root.classList.remove("rg-dropping");
});
root.addEventListener("dragover", (event) => dragged(event) && event.preventDefault());
root.addEventListener("drop", (event) => {
  if (!dragged(event)) return;
  event.preventDefault();
  within = 0;
  root.classList.remove("rg-dropping");
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});
root.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !large.hidden) showGallery();
});

watch("value", () => {
  const value = objectOrNull(props.value);
  if (!value) return;
  tell(value.error || "");
  if (value.entry) draw(JSON.parse(value.entry));
});
channel.addEventListener("message", refresh);
refresh();
