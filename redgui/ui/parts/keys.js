// The keys of the whole page, and what `?` shows: all keys there are. Those of one letter can be switched off, since software
// that turns speech into keys would press them by chance (WCAG 2.1.4).

const RUNS = ["run", "compare-run", "sweep-run", "particles-run"];
const STOPS = ["stop", "compare-stop", "sweep-stop", "particles-stop"];
const KEYS = [
  ["Everywhere", [["?", "these keys"], ["1 to 6", "the tabs, from Restore to History"], ["Ctrl + Enter", "Run, Compare, Sweep"], ["Ctrl + .", "Stop"], ["Tab, Shift + Tab", "the next or last control"], ["arrows", "move a slider or the choice of a list; in the strip of tasks, the next one"]]],
  ["Mask", [["arrows, Space", "move the brush, paint (Shift: eight pixels)"], ["B R L E", "brush, rectangle, lasso, eraser"], ["[ ]", "size of the brush"], ["Ctrl + Z, Ctrl + Y", "undo, redo"], ["0", "the whole picture"]]],
  ["Pictures of Compare and Sweep", [["Enter", "pick a picture, to lay two over one another"], ["+ − 0", "zoom in, out, whole"], ["arrows", "move the zoomed picture; in a grid, the next one"], ["E", "Compare: error maps |x − x₀| in place of the pictures"]]],
  ["History", [["Escape", "from one run back to all"]]],
];
const STORED = "redgui-keys"; // "off" where a person wants none of one letter

const root = element.querySelector(".rg-keys");
const read = () => { try { return localStorage.getItem(STORED); } catch { return null; } };
let single = read() !== "off";
const box = el("input", { type: "checkbox", onchange: () => {
  single = box.checked;
  try { localStorage.setItem(STORED, single ? "on" : "off"); } catch { /* a browser that keeps nothing */ }
} });
box.checked = single;
const table = ([title, keys]) => el("section", {}, el("h3", {}, title),
  el("dl", {}, ...keys.flatMap(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)])));
const close = iconButton("close", "Close", () => dialog.close());
const dialog = el("dialog", { class: "rg-keys-dialog", "aria-labelledby": "rg-keys-title" },
  el("div", { class: "rg-keys-head" }, el("h2", { id: "rg-keys-title" }, "Keyboard"), close),
  el("div", { class: "rg-keys-tables" }, ...KEYS.map(table)),
  el("label", { class: "rg-keys-single" }, box, "Keys of one letter or digit (? and 1 to 6)"));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
const open = el("button", { type: "button", class: "rg-keys-open", "aria-label": "Keyboard shortcuts", "aria-keyshortcuts": "?", onclick: () => dialog.showModal() }, "?");
root.replaceChildren(open, dialog);

const typing = (node) => node.matches?.("textarea, select, [contenteditable=true], input:not([type=range], [type=checkbox], [type=radio], [type=button])");
const press = (ids) => ids.map((id) => document.getElementById(id)).find((button) => button?.offsetParent && !button.disabled)?.click();

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || dialog.open || !root.isConnected) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "Enter") press(RUNS);
    else if (event.key === ".") press(STOPS);
    else return;
  } else {
    if (!single || typing(event.target)) return;
    const tab = document.querySelectorAll("[role=tablist] [role=tab]")[Number(event.key) - 1];
    if (event.key === "?") dialog.showModal();
    else if (/^[1-6]$/.test(event.key) && tab) { tab.click(); tab.focus(); }
    else return;
  }
  event.preventDefault();
});
