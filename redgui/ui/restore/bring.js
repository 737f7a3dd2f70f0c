// A picture that is dropped or pasted anywhere on the page goes where a chosen file goes: to the Restore tab's picture.

(() => {
  const input = () => document.querySelector("#picture input[type='file']");
  const pictureOf = (data) => [...(data?.files ?? [])].find((file) => file.type.startsWith("image/"));
  const carries = (data) => [...(data?.items ?? [])].some((item) => item.kind === "file" && item.type.startsWith("image/"));

  function bring(file) {
    const list = new DataTransfer();
    list.items.add(file);
    input().files = list.files;
    input().dispatchEvent(new Event("change", { bubbles: true }));
    document.querySelector("button[role='tab']")?.click(); // Restore is the first
  }

  const mark = (on) => document.body.classList.toggle("rg-bringing", on);
  document.addEventListener("dragover", (event) => {
    if (!carries(event.dataTransfer) || !input()) return;
    event.preventDefault();
    mark(true);
  }, true);
  for (const name of ["dragleave", "dragend"]) document.addEventListener(name, (event) => event.relatedTarget || mark(false), true);
  document.addEventListener("drop", (event) => {
    mark(false);
    const file = pictureOf(event.dataTransfer);
    if (!file || !input()) return;
    event.preventDefault();
    event.stopPropagation(); // Gradio's own place to drop is no other one
    bring(file);
  }, true);
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    if (!file || !input() || event.target.closest?.("input, textarea, [contenteditable]")) return;
    event.preventDefault();
    event.stopPropagation();
    bring(file);
  }, true);
})();
