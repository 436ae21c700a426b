"use strict";
// Without this script the page still shows everything: regions are plain <details>.
for (const card of document.querySelectorAll(".card")) {
  const boxes = [...card.querySelectorAll(".box")];
  const regions = [...card.querySelectorAll(".region")];
  const choose = (id) => {
    for (const region of regions) region.open = region.id === id;
    for (const box of boxes) box.classList.toggle("on", box.dataset.region === id);
  };
  for (const box of boxes) {
    for (const event of ["pointerenter", "focus", "click"]) {
      box.addEventListener(event, () => choose(box.dataset.region));
    }
  }
  for (const region of regions) {
    const mark = (on) => boxes.find((b) => b.dataset.region === region.id)?.classList.toggle("on", on);
    region.addEventListener("pointerenter", () => mark(true));
    region.addEventListener("pointerleave", () => mark(false));
  }
}
const text = document.getElementById("filter-text");
if (text) {
  const attribute = document.getElementById("filter-attribute");
  const regions = document.getElementById("filter-regions");
  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const card of document.querySelectorAll(".card")) {
      card.hidden =
        (wanted && !card.textContent.toLowerCase().includes(wanted)) ||
        (attribute.value && !card.dataset.attributes.split(" ").includes(attribute.value)) ||
        (regions.checked && card.dataset.regions === "0");
      shown += !card.hidden;
    }
    document.getElementById("filter-count").textContent = `${shown} shown`;
  };
  for (const control of [text, attribute, regions]) control.addEventListener("input", filter);
  document.getElementById("hide-boxes").addEventListener("input", (event) => {
    document.body.classList.toggle("boxes-hidden", event.target.checked);
  });
}
