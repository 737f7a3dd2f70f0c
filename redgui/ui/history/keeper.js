// Keeps every run that ends, whichever tab is open, opens the link by which the page was called, and after a reload asks for
// the run of before; a server that knows none is given the person's picture again.

const PAGE = "redgui-page"; // of this tab of the browser: the key by which the server knows the page

const channel = new BroadcastChannel(CHANNEL); // to the gallery, here and in other pages of this browser
let opened = false;
let mine = null; // the picture of a person's own that was shown before a reload

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

async function begin(page) {
  let before = null;
  try {
    before = sessionStorage.getItem(PAGE);
    sessionStorage.setItem(PAGE, page);
  } catch { /* no storage: nothing to come back to */ }
  const [navigation] = performance.getEntriesByType("navigation");
  if (!(before && before !== page && navigation && navigation.type === "reload")) return openLink();
  mine = await ownPicture.back();
  return trigger("submit", { page: before });
}

watch("value", () => {
  const value = objectOrNull(props.value);
  if (value && value.loaded) begin(value.page);
  else if (value && value.unknown) mine ? bringPicture(mine) : openLink(); // the server knows nothing of before
  else if (value && value.entry) keep(JSON.parse(value.entry));
});
