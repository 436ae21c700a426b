"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const labels = data.samples.map((sample) => ({
  sentences: sample.sentences.map(() => null),
  regions: sample.regions.map((region) => ({ right: null, true: region.statements.map(() => null) })),
  missed: "",
}));
const redraw = [];
let questions = 0;

function element(tag, parent, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// a question with the answers yes and no; `get` and `set` hold true, false or null
function question(parent, text, get, set) {
  const group = element("fieldset", parent);
  element("legend", group, text);
  const name = "q" + questions++;
  for (const [value, word] of [[true, "yes"], [false, "no"], [null, "leave out"]]) {
    const label = element("label", group);
    const input = element("input", label);
    input.type = "radio";
    input.name = name;
    input.onchange = () => { set(value); progress(); };
    label.append(" " + word);
    redraw.push(() => { input.checked = get() === value; });
  }
}

function card(sample, label) {
  const article = element("article", document.getElementById("samples"));
  const picture = element("div", article);
  picture.className = "picture";
  if (sample.picture) {
    const image = element("img", picture);
    image.src = sample.picture;
    image.alt = "";
  } else {
    element("p", picture, "This picture cannot be shown.");
  }
  const boxes = sample.regions.map(({ box: [x1, y1, x2, y2] }) => {
    const box = element("div", picture);
    box.className = "box";
    box.style.cssText = `left:${100 * x1}%;top:${100 * y1}%;width:${100 * (x2 - x1)}%;height:${100 * (y2 - y1)}%`;
    return box;
  });
  const texts = element("div", article);
  element("h2", texts, sample.key);
  const captions = element("section", texts);
  element("h3", captions, "True of the picture?");
  sample.sentences.forEach((text, n) =>
    question(captions, text, () => label.sentences[n], (value) => { label.sentences[n] = value; }));
  sample.regions.forEach((region, n) => {
    const section = element("section", texts);
    element("h3", section, `Box ${n + 1}`);
    const show = (on) => boxes.forEach((box, other) => {
      box.classList.toggle("now", on && other === n);
      box.classList.toggle("other", on && other !== n);
    });
    section.onmouseenter = section.onfocus = () => show(true);
    section.addEventListener("focusin", () => show(true));
    section.onmouseleave = () => show(false);
    const known = label.regions[n];
    question(section, `Right box for “${region.text}”?`, () => known.right, (value) => { known.right = value; });
    region.statements.forEach((text, s) =>
      question(section, `True? ${text}`, () => known.true[s], (value) => { known.true[s] = value; }));
  });
  const missed = element("section", texts);
  const named = element("label", missed, "Objects without a box, one a line");
  const area = element("textarea", named);
  area.rows = 2;
  area.oninput = () => { label.missed = area.value; };
  redraw.push(() => { area.value = label.missed; });
}

function answered(label) {
  const all = [...label.sentences, ...label.regions.flatMap((region) => [region.right, ...region.true])];
  return [all.filter((value) => value !== null).length, all.length];
}

function progress() {
  const [done, all] = labels.map(answered).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
  document.getElementById("progress").textContent = `${done} of ${all} answered`;
}

function rows() {
  const lines = [{ labels_version: data.version }];
  data.samples.forEach((sample, n) => {
    const label = labels[n];
    if (!answered(label)[0] && !label.missed.trim()) return;
    const pairs = (texts, values) => texts.map((text, i) => ({ text, true: values[i] }));
    lines.push({
      key: sample.key,
      image: { sha256: sample.sha256 },
      sentences: pairs(sample.sentences, label.sentences),
      regions: sample.regions.map((region, r) => ({
        box: region.box,
        text: region.text,
        right: label.regions[r].right,
        statements: pairs(region.statements, label.regions[r].true),
      })),
      missed: label.missed.split("\n").map((line) => line.trim()).filter(Boolean),
    });
  });
  return lines.map((line) => JSON.stringify(line) + "\n").join("");
}

function read(text) {
  const known = new Map();
  for (const line of text.split("\n").slice(1)) {
    if (line.trim()) {
      const row = JSON.parse(line);
      known.set(row.key, row);
    }
  }
  data.samples.forEach((sample, n) => {
    const row = known.get(sample.key);
    if (!row) return;
    const found = (pairs, one) => (pairs.find((pair) => pair.text === one) ?? { true: null }).true;
    labels[n].sentences = sample.sentences.map((one) => found(row.sentences, one));
    sample.regions.forEach((region, r) => {
      const same = row.regions.find((other) => String(other.box) === String(region.box) && other.text === region.text);
      if (!same) return;
      labels[n].regions[r].right = same.right;
      labels[n].regions[r].true = region.statements.map((one) => found(same.statements, one));
    });
    labels[n].missed = row.missed.join("\n");
  });
}

function refresh() {
  for (const one of redraw) one();
  progress();
}

document.getElementById("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows()], { type: "application/jsonl" }));
  link.download = "labels.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
};
document.getElementById("load").onchange = async (event) => {
  try {
    read(await event.target.files[0].text());
    refresh();
  } catch (error) {
    document.getElementById("progress").textContent = `not a labels file: ${error.message}`;
  }
};
window.addEventListener("beforeunload", (event) => {
  if (labels.some((label) => answered(label)[0])) event.preventDefault();
});
data.samples.forEach((sample, n) => card(sample, labels[n]));
refresh();
