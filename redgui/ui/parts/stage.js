// What every view of a run has: its status, a message or the place in line, what is said aloud, figures and downloads, and
// one way to draw: the newest value, once a frame. Every value holds all there is to show, so that a lost one does no harm.
// While something is played the page fetches what has changed past Gradio (`redgui.ui.host.feed`).

const STATUS = { idle: "Ready", waiting: "Waiting", running: "Running", stopped: "Stopped", done: "Done", error: "Error" };

/**
 * createStage(name, element, props, trigger, watch, draw) -> {root, chip, message, downloads, spoken, scrub}
 *
 * `draw(value, now)` shows a value, after chip and message; now = {status, changed, another, place}: whether the status is
 * another one, whether the run is, and the place in line. A view that `speaks` for itself is left to do so.
 */
function createStage(name, element, props, trigger, watch, draw, speaks = false) {
  const root = element.querySelector(`.rg-${name}`);
  const chip = el("span", { class: "rg-chip" }, STATUS.idle);
  const message = el("span", { class: `rg-${name}-message` });
  const downloads = el("div", { class: "rg-downloads" });
  const spoken = el("span", { class: "rg-spoken", role: "status", "aria-live": "polite" });
  let place = ""; // in line
  let run = null;
  let feed = { name: "", value: null }; // what is fetched of the run in progress

  const scrub = createScrubber(() => redraw());
  const redraw = oncePerFrame(() => {
    const told = objectOrNull(props.value) || { status: "idle" };
    if (told.status === "running" && told.feed && told.feed !== feed.name) feed = follow(plain(told), redraw);
    const value = scrub.of(feed.value && told.feed === feed.name ? feed.value : told);
    const status = value.status in STATUS ? value.status : "idle";
    const now = { status, changed: root.dataset.status !== status, another: value.run !== run, place };
    run = value.run;
    Object.assign(root.dataset, { status, run: run ?? 0 });
    chip.textContent = STATUS[status];
    message.textContent = (status === "waiting" && place) || value.message || "";
    draw(value, now);
    const links = plain(value.downloads || []);
    if (links.length !== downloads.children.length || now.changed) downloads.replaceChildren(...links.map((link) => downloadLink(link, trigger)));
    if (now.changed && !speaks) spoken.textContent = [STATUS[status], value.message].filter(Boolean).join(", ");
  });
  watch("value", redraw);
  document.addEventListener("redgui-place", ({ detail }) => {
    if (!element.isConnected || !element.closest(`#${CSS.escape(detail.of)}`)) return;
    if (detail.text && where(detail.text) !== where(place) && !speaks) spoken.textContent = where(detail.text);
    place = detail.text;
    redraw();
  });
  redraw();
  return { root, chip, message, downloads, spoken, scrub: scrub.node };
}

/** Fetches what changes in a value, from now until its feed is over: {name, value}, no value where it cannot be fetched. */
function follow(value, redraw) {
  const feed = { name: value.feed, value: null };
  const fetched = async () => {
    const root = window.location.pathname.replace(/\/$/, ""); // wherever a proxy has put the app
    for (let at = 0; ; ) {
      const answer = await fetch(`${root}/gradio_api/redgui/feed/${feed.name}?after=${at}`, { cache: "no-store" });
      if (answer.status === 204) return; // over: the last one stays until Gradio tells the end
      const news = await answer.json();
      for (const [name, ...rest] of news.parts) {
        if (rest.length === 1) value[name] = rest[0];
        else value[name] = { ...value[name], [rest[0]]: rest[1] };
      }
      at = news.at;
      if (at) feed.value = value;
      redraw();
    }
  };
  fetched().catch(() => (feed.value = null));
  return feed;
}

/** The moments of a run that is over, to look through: what a value has in `moments` was another one at each of them. */
function createScrubber(redraw) {
  const player = createPlayer("moment", "Moment of the run", (k) => {
    redraw();
    return k < moments.length ? moments[k].said : "the end";
  });
  let text = "";
  let moments = [];
  player.node.hidden = true;

  /** A value as it was at the moment that is looked at. */
  function of(value) {
    if ((value.moments || "") !== text) {
      text = value.moments || "";
      moments = parse(text) || [];
      player.node.hidden = !moments.length;
      player.load(moments.length && moments.length + 1);
    }
    return moments.length ? { ...value, ...moments[player.at()] } : value;
  }
  return { node: player.node, of };
}

/** The part of a place in line, "3rd in line, about 20 s", that is worth saying aloud: not every new guess at the seconds. */
function where(text) {
  return /^(You are next|\d+\w+ in line)/.exec(text)?.[0] ?? text;
}

/** A part of a value that is JSON in itself. */
function parse(text) {
  return typeof text === "string" && text ? JSON.parse(text) : null;
}

/** A part of a value out of Gradio's proxy, once, since reading through it costs at every access. */
function plain(value) {
  return JSON.parse(JSON.stringify(value));
}

/** The shape of pictures, within limits, as a number for the stylesheet. */
function shapeOf({ w, h }) {
  return w > 0 && h > 0 ? Math.min(1.8, Math.max(0.6, w / h)) : 1;
}

/** A link to a file. One that is `asked` for is made by the server when it is clicked on (the event `download`). */
function downloadLink({ name, text, href, asked }, trigger) {
  const link = el("a", { class: "rg-download", href: asked ? "#" : href, download: name }, icon("download"), el("span", {}, text ?? name));
  if (asked) link.addEventListener("click", (event) => {
    if (link.dataset.made) return;
    event.preventDefault();
    if (link.ariaBusy === "true") return;
    link.ariaBusy = "true";
    trigger("download", { name });
  });
  return link;
}

/** A file that was asked for, or none where it could not be made: the link has it from now on, and downloads it. */
function handOver(of, { name, href }) {
  const link = document.querySelector(`#${CSS.escape(of)} a[aria-busy="true"][download="${CSS.escape(name)}"]`);
  if (!link) return;
  link.ariaBusy = null;
  if (!href) return;
  Object.assign(link, { href }).dataset.made = "yes";
  link.click();
}

function figureCard({ name, text, note }) {
  return el("div", { "data-name": name }, el("b", {}, text), el("span", {}, name), note ? el("span", { class: "rg-figure-note" }, note) : null);
}

/** Scrolls a component to its start where a part of it is out of sight: a phone's person who pressed Run is above it. */
function scrollToOutcome(root, part) {
  const area = part.getBoundingClientRect();
  if (area.height && (area.top < 0 || area.top > window.innerHeight - 80)) root.scrollIntoView({ block: "start", behavior: "instant" });
}
