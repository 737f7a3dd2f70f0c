// What becomes of a person's own picture, in a line, and the ways to take it: a click takes another.

const root = element.querySelector(".rg-taken");
const text = el("span", { class: "rg-taken-text", role: "status" });
const forget = el("button", { type: "button", class: "rg-link", title: "This browser keeps your picture, so that a reload brings it back. This takes it away, and from the server, too.", onclick: () => {
  ownPicture.forget();
  trigger("select", { name: "forget" });
} }, "forget it");
const ways = el("div", { class: "rg-taken-ways", role: "group", "aria-label": "How the picture is taken" });
root.replaceChildren(el("div", {}, text, " ", forget), ways);
let own = false;

function load() {
  const value = objectOrNull(props.value);
  root.hidden = !value;
  if (own !== (value !== null)) ownPicture.shown(own = value !== null);
  if (!value) return;
  const found = plain(value);
  text.textContent = found.text;
  ways.replaceChildren(
    ...found.ways.map(({ name, text: label, chosen }) =>
      el("button", { type: "button", class: "rg-taken-way", "data-name": name, "aria-pressed": String(chosen), onclick: () => chosen || trigger("select", { name }) }, label)),
  );
}
watch("value", load);
load();
