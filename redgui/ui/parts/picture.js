// A small picture with a caption: the measurement, following every change.

const root = element.querySelector(".rg-picture");
const image = el("img", { alt: "", draggable: "false" });
const caption = el("p", { class: "rg-caption" });
const stage = el("div", { class: "rg-picture-stage" }, image);
root.replaceChildren(stage, caption);
if (element.closest(".rg-canvas")) canvasOf(element).layer(stage);

const update = oncePerFrame(() => {
  const value = objectOrNull(props.value);
  root.hidden = !value;
  if (!value) return;
  image.src = isPicture(value.src) ? value.src : "";
  image.alt = value.alt || "";
  root.classList.toggle("rg-wrong", Boolean(value.wrong));
  stage.hidden = !isPicture(value.src);
  caption.textContent = value.caption || "";
  root.dataset.version = value.version || 0;
});
watch("value", update);
update();
