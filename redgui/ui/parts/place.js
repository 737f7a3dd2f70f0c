// Passes this page's place in line on to the component that shows what waits there (see `onPlace`), and files that were asked for.

watch("value", () => {
  const value = objectOrNull(props.value);
  if (value && value.file) return handOver(value.of, plain(value.file));
  if (value && value.of) document.dispatchEvent(new CustomEvent("redgui-place", { detail: { of: value.of, text: value.text || "" } }));
});
