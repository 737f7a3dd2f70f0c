// The last picture of a person's own and the mask on it, kept in this browser (IndexedDB), so that a reload brings both back,
// whatever the server still knows. A browser that forbids it keeps nothing.

const OWN_SHOWN = "redgui-own"; // of this tab of the browser: it shows a picture of a person's own

/** One transaction over what is kept; `act(last)` gives a request, whose result is the promise's, undefined where it fails. */
function withOwn(mode, act) {
  return new Promise((resolve, reject) => {
    const asked = window.indexedDB.open("redgui-own", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("last");
    asked.onerror = () => reject(asked.error);
    asked.onsuccess = () => {
      const base = asked.result;
      const transaction = base.transaction("last", mode);
      const request = act(transaction.objectStore("last"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      base.close(); // once the transaction is over
    };
  }).catch(() => undefined);
}

const ownPicture = {
  mask: null, // what a reload brings back, {w, h, mask}, until the editor has a picture of that size

  keep: (file) => withOwn("readwrite", (last) => (last.clear(), last.put(file, "picture"))),
  keepMask: (mask) => ownPicture.isShown() && withOwn("readwrite", (last) => last.put(mask, "mask")),
  forget: () => withOwn("readwrite", (last) => last.clear()),
  shown(on) {
    try {
      if (on) sessionStorage.setItem(OWN_SHOWN, "yes");
      else sessionStorage.removeItem(OWN_SHOWN);
    } catch { /* nothing is kept */ }
  },
  isShown() {
    try {
      return sessionStorage.getItem(OWN_SHOWN) !== null;
    } catch {
      return false;
    }
  },
  /** After a reload: the picture that this tab has shown, and from now on its mask is expected. */
  async back() {
    if (!ownPicture.isShown()) return null;
    const picture = await withOwn("readonly", (last) => last.get("picture"));
    ownPicture.mask = (await withOwn("readonly", (last) => last.get("mask"))) ?? null;
    return picture ?? null;
  },
  /** The mask for a picture of a size that has just come; null where none is expected. */
  maskFor(w, h) {
    const found = ownPicture.mask;
    if (found?.w !== w || found?.h !== h) return null;
    ownPicture.mask = null;
    return found.mask;
  },
};
