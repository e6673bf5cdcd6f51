// What a screen reader would stumble over.
const wrong = [];
if (document.documentElement.lang !== "en") wrong.push("no language");
if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
for (const field of document.querySelectorAll("input:not([type=hidden]), select")) {
  if (!field.labels.length) wrong.push(`no label: ${field.outerHTML}`);
}
for (const button of document.querySelectorAll("button, a, summary")) {
  if (!button.textContent.trim() && !button.ariaLabel) wrong.push(`no name: ${button.outerHTML}`);
}
for (const head of document.querySelectorAll("th")) {
  if (!head.scope) wrong.push(`no scope: ${head.outerHTML}`);
}
for (const image of document.querySelectorAll("img")) {
  if (!image.hasAttribute("alt")) wrong.push("no alt");
}
for (const shape of document.querySelectorAll("svg")) {
  if (shape.getAttribute("aria-hidden") !== "true") wrong.push("a drawing is read aloud");
}
let level = 1;
for (const heading of document.querySelectorAll("h1, h2, h3")) {
  const now = Number(heading.tagName[1]);
  if (now > level + 1) wrong.push(`a heading is left out before ${heading.textContent}`);
  level = now;
}
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
if (new Set(ids).size !== ids.length) wrong.push("an id twice");
return wrong;
