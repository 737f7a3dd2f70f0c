// Things to try: a card for each task, measurement and result side by side. A click asks the app to open it.
// One stop for the Tab key, arrows from card to card, as in any toolbar.

const root = element.querySelector(".rg-cards");
const strip = el("div", { class: "rg-cards-strip", role: "toolbar", "aria-label": "Examples: opens the settings with their finished result" });
root.replaceChildren(strip);

function focusOn(k) {
  const cards = [...strip.children];
  const at = Math.max(0, Math.min(cards.length - 1, k));
  cards.forEach((card, j) => card.setAttribute("tabindex", j === at ? "0" : "-1"));
  cards[at].focus();
}

strip.addEventListener("keydown", (event) => {
  const k = [...strip.children].indexOf(document.activeElement);
  const to = { ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: strip.children.length - 1 }[event.key];
  if (k < 0 || to === undefined) return;
  event.preventDefault();
  focusOn(to);
});

function open(task) {
  for (const card of strip.children) {
    const chosen = card.dataset.name === task.name;
    card.toggleAttribute("aria-current", chosen);
    card.setAttribute("tabindex", chosen ? "0" : "-1");
  }
  root.dataset.chosen = task.name;
  trigger("select", { name: task.name });
}

function card(task, k) {
  const image = (src) => el("img", { src: isPicture(src) ? src : "", alt: "", draggable: "false" });
  return el("button", {
    type: "button", class: "rg-card", "data-name": task.name, title: `${task.about} ${task.note}`, tabindex: k ? "-1" : "0", onclick: () => open(task),
  }, el("span", { class: "rg-card-pair" }, image(task.before), image(task.after)), el("span", { class: "rg-card-name" }, task.label));
}

function load() {
  const value = objectOrNull(props.value);
  const tasks = value ? plain(value).tasks || [] : [];
  root.hidden = !tasks.length;
  strip.replaceChildren(...tasks.map(card));
}
watch("value", load);
load();
