// What the desk draws. Everything from Python or from people is set as text or as an attribute, never parsed as HTML.
function made(tag, name = "", text = "") {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.textContent = text;
  return node;
}

const preloaded = new Set();

// Pictures of the units to come are fetched while one looks at this one.
function preload(unit) {
  for (const row of [...unit.rows, ...unit.intervals]) {
    for (const image of row.images) {
      if (!image.src || image.src.startsWith("data:") || preloaded.has(image.src)) continue;
      preloaded.add(image.src);
      new Image().src = image.src;
    }
  }
}

function picture(image) {
  const cell = made("figure", "cell");
  cell.dataset.id = image.id;
  const frame = made("span", "frame");
  if (image.src) {
    const thumb = document.createElement("img");
    Object.assign(thumb, { src: image.src, alt: image.alt, title: image.alt, decoding: "sync", draggable: false });
    thumb.onerror = () => { thumb.remove(); frame.classList.add("missing"); };
    frame.append(thumb);
  } else {
    frame.classList.add("missing");
  }
  cell.append(frame);
  if (image.caption) cell.append(made("figcaption", "", image.caption));
  return cell;
}

function strip(row, kind) {
  const section = made("section", `strip ${kind}`);
  section.setAttribute("aria-label", row.title);
  const title = made("h3", "", row.title);
  if (row.note) title.append(made("small", "", ` ${row.note}`));
  const images = made("div", "images");
  images.append(...row.images.map(picture));
  if (!row.images.length) images.append(made("p", "quiet", "No images."));
  section.append(title, images);
  return section;
}

function drawPictures(root, unit) {
  const ends = root.querySelector(".ends");
  const intervals = root.querySelector(".intervals");
  ends.replaceChildren(...unit.rows.map((row, at) => strip(row, at ? "second" : "first")));
  intervals.replaceChildren(...unit.intervals.map((row) => strip(row, "interval")));
  if (unit.intervals.length) intervals.prepend(made("h3", "between", "Between the ends, by quantile"));
}

// Heatmaps of one unit, which the server may send long after its pictures.
function drawMaps(root, maps) {
  for (const cell of root.querySelectorAll(".cell")) {
    const frame = cell.querySelector(".frame");
    frame.querySelector(".overlay")?.remove();
    const source = maps?.[cell.dataset.id];
    if (!source) continue;
    const overlay = made("img", "overlay");
    Object.assign(overlay, { src: source, alt: "" });
    frame.append(overlay);
  }
}

function drawTitle(root, unit, queue) {
  const link = made("a", "address", unit.address);
  link.href = unit.href;
  link.dataset.inside = "";
  link.title = "Its own page";
  const end = { "+": "+ end", "-": "− end", "": "concept" }[unit.end];
  root.querySelector(".title").replaceChildren(link, made("span", "end", end), made("span", "quiet", unit.told));
  root.dataset.address = unit.address;
  root.dataset.end = unit.end;
  root.querySelector(".box").placeholder = `What do ${unit.end ? "the images of this end" : "these images"} have in common?`;
  const bar = root.querySelector("progress");
  bar.max = Math.max(1, queue.all);
  bar.value = queue.done;
  root.querySelector(".count").textContent = queue.told;
}

// What is known of the unit: nothing in blind mode until one's own word is saved.
function drawKnown(root, unit, choose) {
  const list = root.querySelector(".candidates");
  list.replaceChildren(
    ...unit.candidates.map((text, at) => {
      const button = made("button", "candidate");
      button.type = "button";
      if (at < 9) button.append(made("kbd", "", String(at + 1)));
      button.append(made("span", "", text));
      button.onclick = (event) => choose(at, event.shiftKey);
      const item = made("li");
      item.append(button);
      return item;
    }),
  );
  const automatic = root.querySelector(".automatic");
  automatic.replaceChildren();
  if (unit.hidden) automatic.append(made("p", "quiet", "Blind: the automatic label and what others said are hidden until yours is saved."));
  else if (unit.automatic) automatic.append(made("h3", "", "Automatic label"), made("p", "", unit.automatic));
  if (unit.score) automatic.append(made("p", "quiet", unit.score));
  const said = root.querySelector(".said");
  const lines = unit.said.map((word) => {
    const line = made("p", word.undone ? "word undone" : "word");
    line.append(made("b", "", word.who), made("span", "", ` ${word.what} `));
    if (word.text) line.append(made("q", "", word.text));
    line.append(made("small", "quiet", ` ${word.more}`));
    return line;
  });
  said.replaceChildren(...(lines.length ? [made("h3", "", "Said of it"), ...lines] : []));
}
