// Keeps every run that ends, whichever tab is open, and opens the link by which the page was called.

const channel = new BroadcastChannel(CHANNEL); // to the gallery, here and in other pages of this browser
let opened = false;

async function keep(entry) {
  try {
    await keepRun({ ...entry, when: Date.now() });
    noteTrouble("");
  } catch (error) {
    noteTrouble(storageTrouble(error));
  }
  channel.postMessage("changed");
}

async function openLink() {
  const query = window.location.search;
  if (opened || query.length < 2) return;
  opened = true;
  let record = null;
  try {
    const number = new URLSearchParams(query).get("picture");
    if (number) record = await recordWithPicture(number);
  } catch { /* no storage: the picture has to be given */ }
  trigger("select", { query, record });
}

watch("value", () => {
  const value = objectOrNull(props.value);
  if (value && value.loaded) openLink();
  else if (value && value.entry) keep(JSON.parse(value.entry));
});
