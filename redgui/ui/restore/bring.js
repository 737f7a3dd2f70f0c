// A picture that is dropped or pasted anywhere on the page goes where a chosen file goes: to the Restore tab's picture.

const pictureInput = () => document.querySelector("#picture input[type='file']");

function bringPicture(file) {
  const list = new DataTransfer();
  list.items.add(file);
  pictureInput().files = list.files;
  pictureInput().dispatchEvent(new Event("change", { bubbles: true }));
  document.querySelector("button[role='tab']")?.click(); // Restore is the first
}

(() => {
  const pictureOf = (data) => [...(data?.files ?? [])].find((file) => file.type.startsWith("image/"));
  const carries = (data) => [...(data?.items ?? [])].some((item) => item.kind === "file" && item.type.startsWith("image/"));

  document.addEventListener("change", ({ target }) => {
    if (target === pictureInput() && target.files.length) ownPicture.keep(target.files[0]);
  }, true);

  const mark = (on) => document.body.classList.toggle("rg-bringing", on);
  document.addEventListener("dragover", (event) => {
    if (!carries(event.dataTransfer) || !pictureInput()) return;
    event.preventDefault();
    mark(true);
  }, true);
  for (const name of ["dragleave", "dragend"]) document.addEventListener(name, (event) => event.relatedTarget || mark(false), true);
  document.addEventListener("drop", (event) => {
    mark(false);
    const file = pictureOf(event.dataTransfer);
    if (!file || !pictureInput()) return;
    event.preventDefault();
    event.stopPropagation(); // Gradio's own place to drop is no other one
    bringPicture(file);
  }, true);
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    if (!file || !pictureInput() || event.target.closest?.("input, textarea, [contenteditable]")) return;
    event.preventDefault();
    event.stopPropagation();
    bringPicture(file);
  }, true);
})();
