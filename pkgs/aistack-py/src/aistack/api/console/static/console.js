// Keeps the parts of a page up to date by server-sent events, and tells what stands under the
// pointer in a plot. Without it the pages say the same, as of when they were loaded.

const main = document.querySelector("[data-live-page]");
const link = document.getElementById("link");
const held = new Map(); // parts that came while somebody was at them

// --- parts

function isBusy(part) {
  const at = document.activeElement;
  return (
    (at !== null && at !== part && part.contains(at)) ||
    part.querySelector(".confirm[open]") !== null
  );
}

// Makes one node like another, and touches only what differs: most often a time.
function become(node, wanted) {
  const alike =
    node.nodeName === wanted.nodeName && node.childNodes.length === wanted.childNodes.length;
  if (!alike) {
    node.replaceWith(wanted);
  } else if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== wanted.data) node.data = wanted.data;
  } else if (!("own" in node.dataset)) {
    for (const { name, value } of wanted.attributes) {
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    for (const { name } of [...node.attributes]) {
      // Whether something is unfolded is for who looks at it to say.
      if (!wanted.hasAttribute(name) && name !== "open") node.removeAttribute(name);
    }
    const children = [...wanted.childNodes]; // those that are taken over leave the list
    [...node.childNodes].forEach((child, index) => become(child, children[index]));
  }
}

function put(name, html) {
  const part = main.querySelector(`[data-part="${name}"]`);
  if (part === null) return;
  if (isBusy(part)) {
    held.set(name, html); // nobody's form is taken from under their fingers
    return;
  }
  held.delete(name);
  const wanted = part.cloneNode(false);
  wanted.innerHTML = html;
  if (part.childNodes.length !== wanted.childNodes.length) part.replaceChildren(...wanted.childNodes);
  else become(part, wanted);
  part.querySelectorAll(".plots").forEach(readable);
}

function putHeld() {
  for (const [name, html] of held) put(name, html);
}

// --- the stream

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30000;
let source = null;
let wait = FIRST_WAIT;
let timer = 0;
let last = "";

function say(text, live = false) {
  link.classList.toggle("on", live);
  if (link.textContent !== text) link.textContent = text; // told aloud only when it changes
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

// The browser does not say why a stream was refused; a page that leads elsewhere does.
async function isSignedOut() {
  try {
    const page = await fetch("/console/history", { redirect: "manual", cache: "no-store" });
    return page.type === "opaqueredirect";
  } catch {
    return false; // nobody answers at all
  }
}

async function openAgain() {
  if (await isSignedOut()) location.assign("/console/");
  else if (!document.hidden) open();
}

function open() {
  close();
  const query = new URLSearchParams(location.search);
  query.delete("done");
  query.set("page", main.dataset.livePage);
  source = new EventSource(`/console/events?${query}`);
  source.addEventListener("parts", (event) => {
    wait = FIRST_WAIT;
    last = new Date().toLocaleTimeString();
    link.title = `Changed last at ${last}`;
    link.dataset.changes = String(Number(link.dataset.changes ?? 0) + 1);
    say("Live", true);
    for (const [name, html] of Object.entries(JSON.parse(event.data))) put(name, html);
  });
  source.addEventListener("away", (event) => {
    say(`Not live: ${JSON.parse(event.data)}. What stands here is of ${last || "when it was loaded"}.`);
  });
  source.addEventListener("ended", () => {
    close();
    location.assign("/console/");
  });
  source.addEventListener("error", () => {
    close(); // a new one, also where the browser would give up
    say("Not live: the connection is gone, trying again");
    timer = setTimeout(openAgain, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  });
}

// --- plots

const HOUR = 3600;
const known = new WeakSet(); // plots that listen already

function told(kind, point) {
  const [at, answered, refused, failed, ...times] = point;
  const clock = new Date(at * 1000).toISOString().slice(11, 19);
  if (kind === 0) {
    const [a, r, f] = [answered, refused, failed].map((rate) => rate.toFixed(1));
    return `${clock} UTC: ${a} answered, ${r} refused, ${f} failed a second`;
  }
  const [p50, p95, p99] = times.map((time) =>
    time === null ? "none" : `${(time * 1000).toFixed(0)} ms`,
  );
  return `${clock} UTC: p50 ${p50}, p95 ${p95}, p99 ${p99}`;
}

function readable(plots) {
  plots.querySelectorAll(".plot").forEach((plot, kind) => {
    if (!known.has(plot)) listen(plots, plot, kind);
    known.add(plot);
  });
}

function listen(plots, plot, kind) {
  const frame = plot.querySelector(".frame");
  const cursor = plot.querySelector(".cursor");
  const readout = plot.querySelector(".readout");
  const points = () => JSON.parse(plots.dataset.points);
  const begins = () => Date.now() / 1000 - HOUR;
  let chosen = 0;

  function show(all, index) {
    if (all.length === 0) return;
    chosen = Math.max(0, Math.min(all.length - 1, index));
    const share = Math.max(0, Math.min(1, (all[chosen][0] - begins()) / HOUR));
    cursor.hidden = false;
    cursor.style.transform = `translateX(${share * frame.clientWidth}px)`;
    readout.textContent = told(kind, all[chosen]);
  }

  function hide() {
    cursor.hidden = true;
    readout.textContent = "";
  }

  frame.addEventListener("pointermove", (event) => {
    const all = points();
    const box = frame.getBoundingClientRect();
    const at = begins() + ((event.clientX - box.left) / box.width) * HOUR;
    const distances = all.map((point) => Math.abs(point[0] - at));
    show(all, distances.indexOf(Math.min(...distances)));
  });
  frame.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || event.target !== plot) return;
    event.preventDefault();
    const all = points();
    show(all, cursor.hidden ? all.length - 1 : chosen + step);
  });
}

// --- begin

document.querySelectorAll(".plots").forEach(readable);
document.addEventListener("focusout", () => setTimeout(putHeld, 0));
document.addEventListener("toggle", putHeld, true);
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
if (!document.hidden) open();
