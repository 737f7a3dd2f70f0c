// The runs that this browser keeps, in IndexedDB: small cards for the gallery, and apart from them what is shown at large.
// Nothing of it is sent anywhere by this file.

const MOST_RUNS = 24;
const CHANNEL = "redgui-runs";
const TROUBLE = "redgui-runs-trouble";
let database = null;

function openDatabase() {
  database ||= new Promise((resolve, reject) => {
    const asked = window.indexedDB.open("redgui-runs", 1); // throws where a browser forbids it; a promise makes that a refusal
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("cards", { keyPath: "id" });
      asked.result.createObjectStore("bodies", { keyPath: "id" });
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => asked.result.close(); // another page wants to delete or renew it
      asked.result.onclose = () => (database = null);
      resolve(asked.result);
    };
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error("another page of this app holds the storage"));
  });
  database.catch(() => (database = null));
  return database;
}

/** One transaction over both stores; `act(cards, bodies)` may return a request, whose result is the promise's. */
async function transact(mode, act) {
  const base = await openDatabase();
  return new Promise((resolve, reject) => {
    const transaction = base.transaction(["cards", "bodies"], mode);
    let request = null;
    transaction.oncomplete = () => resolve(request ? request.result : undefined);
    transaction.onabort = () => reject(transaction.error || new Error("the browser broke the storing off"));
    try {
      request = act(transaction.objectStore("cards"), transaction.objectStore("bodies"));
    } catch (error) {
      reject(error);
      transaction.onabort = null;
      transaction.abort();
    }
  });
}

/** All cards, the newest first. */
async function listRuns() {
  const cards = await transact("readonly", (cards) => cards.getAll());
  return cards.sort((a, b) => b.when - a.when);
}

/** A run with its body, or undefined. */
async function readRun(id) {
  const card = await transact("readonly", (cards) => cards.get(id));
  const body = card && (await transact("readonly", (cards, bodies) => bodies.get(id)));
  return body && { ...card, body: body.body };
}

function putRuns(runs) {
  return transact("readwrite", (cards, bodies) => {
    for (const { body, ...card } of runs) {
      cards.put(card);
      bodies.put({ id: card.id, body });
    }
  });
}

/** Away with runs; gives them, so that they can be put back. */
async function removeRuns(ids) {
  const removed = (await Promise.all(ids.map(readRun))).filter(Boolean);
  await transact("readwrite", (cards, bodies) => {
    for (const id of ids) {
      cards.delete(id);
      bodies.delete(id);
    }
  });
  return removed;
}

/** Keeps a run, the oldest ones making room for it: no more than MOST_RUNS, and fewer where the storage is full. */
async function keepRun(run) {
  for (;;) {
    try {
      await putRuns([run]);
      break;
    } catch (error) {
      const older = (await listRuns()).filter((card) => card.id !== run.id);
      if (error.name !== "QuotaExceededError" || !older.length) throw error;
      await removeRuns([older.at(-1).id]);
    }
  }
  const tooMany = (await listRuns()).slice(MOST_RUNS).map((card) => card.id);
  if (tooMany.length) await removeRuns(tooMany);
}

/** The record (JSON) of a run whose picture has this number, or null. */
async function recordWithPicture(number) {
  const found = (await listRuns()).find((card) => card.picture === number);
  return found ? (await readRun(found.id)).body.record : null;
}

/** What is wrong with the storage, for a person; an empty text once it works again. */
function storageTrouble(error) {
  if (error && error.name === "QuotaExceededError") return "The browser's storage is full: the last run was not kept. Free some space, or save its record.json.";
  return error ? `This browser does not let the app store runs (${error.message || error.name}). Save record.json to keep a run.` : "";
}

function noteTrouble(text) {
  try {
    if (text) sessionStorage.setItem(TROUBLE, text);
    else sessionStorage.removeItem(TROUBLE);
  } catch { /* the same browser that forbids the one may forbid the other */ }
}

function notedTrouble() {
  try {
    return sessionStorage.getItem(TROUBLE) || "";
  } catch {
    return "";
  }
}
