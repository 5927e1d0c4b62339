// A table of links, a cell a head. Everything from Python is set as an attribute or as text: no HTML.
const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, LEFT, TOP] = [150, 72, 44, 24]; // of the exported figure, in pixels

function made(tag, className, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function cell(head) {
  const link = made("a", "head", "", { href: head.href, "data-inside": "", tabindex: -1, "aria-label": head.says });
  link.title = head.hover;
  link.style.setProperty("--fill", head.fill);
  link.style.setProperty("--ink", head.ink);
  const top = made("span", "top");
  top.append(made("span", "name", head.name), made("span", "value", head.value));
  const label = made("span", "label");
  if (head.note) label.append(made("em", "note", head.note), " · ");
  label.append(head.label);
  link.append(top, label);
  const box = made("div", "box", "", { role: "gridcell" });
  box.append(link);
  return box;
}

function table(data) {
  const grid = made("div", "grid", "", { role: "grid", "aria-label": data.label });
  grid.style.setProperty("--columns", data.columns.length);
  if (data.columns.some(Boolean)) {
    const line = made("div", "line", "", { role: "row" });
    line.append(made("span", "", "", { role: "columnheader" }));
    line.append(...data.columns.map((name) => made("span", "across", name, { role: "columnheader" })));
    grid.append(line);
  }
  for (const row of data.rows) {
    const line = made("div", "line", "", { role: "row" });
    line.append(made("span", "down", row.name, { role: "rowheader" }), ...row.heads.map(cell));
    grid.append(line);
  }
  return grid;
}

// One cell is reached by Tab; the arrows, Home and End go on from there.
function move(grid, event) {
  const lines = [...grid.querySelectorAll(".line")].map((line) => [...line.querySelectorAll(".head")]);
  const rows = lines.filter((line) => line.length);
  const y = rows.findIndex((line) => line.includes(event.target));
  if (y < 0) return;
  const x = rows[y].indexOf(event.target);
  const to = {
    ArrowRight: rows[y][x + 1], ArrowLeft: rows[y][x - 1], ArrowDown: rows[y + 1]?.[x], ArrowUp: rows[y - 1]?.[x],
    Home: rows[y][0], End: rows[y].at(-1),
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

function lines(text, width, most) {
  const found = [""];
  for (const word of text.split(" ")) {
    if ((found.at(-1) + word).length > width) found.push("");
    found[found.length - 1] += `${word.slice(0, width)} `;
  }
  return found.length > most ? [...found.slice(0, most - 1), `${found[most - 1].slice(0, width - 2).trim()} …`] : found;
}

function figure(data) {
  const [width, height] = [LEFT + WIDE * data.columns.length, TOP + HIGH * data.rows.length + 30];
  const root = document.createElementNS(SVG, "svg");
  const add = (tag, attributes, text = "") => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    root.append(node);
  };
  for (const [name, value] of Object.entries({ xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` }))
    root.setAttribute(name, value);
  root.setAttribute("font-family", "Helvetica, Arial, sans-serif");
  root.setAttribute("font-size", "11");
  add("rect", { width, height, fill: "#ffffff" });
  data.columns.forEach((name, x) => add("text", { x: LEFT + (x + 0.5) * WIDE, y: 16, "text-anchor": "middle" }, name));
  data.rows.forEach((row, y) => {
    add("text", { x: 6, y: TOP + (y + 0.5) * HIGH + 4 }, row.name);
    row.heads.forEach((head, x) => {
      const [left, top] = [LEFT + x * WIDE, TOP + y * HIGH];
      add("rect", { x: left + 1, y: top + 1, width: WIDE - 2, height: HIGH - 2, fill: head.fill });
      add("text", { x: left + 8, y: top + 16, fill: head.ink, "font-weight": "bold" }, head.name);
      add("text", { x: left + WIDE - 8, y: top + 16, fill: head.ink, "text-anchor": "end" }, head.value);
      lines(head.note ? `${head.note} · ${head.label}` : head.label, 23, 3).forEach((text, n) =>
        add("text", { x: left + 8, y: top + 32 + 14 * n, fill: head.ink }, text));
    });
  });
  add("text", { x: LEFT, y: height - 10 }, `${data.label} (${data.scale.low} to ${data.scale.high}), ${data.population}`);
  return { text: new XMLSerializer().serializeToString(root), width, height };
}

function save(blob, format) {
  const link = made("a", "", "", { href: URL.createObjectURL(blob), download: `unitscope-heads.${format}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function take(data, format) {
  const { text, width, height } = figure(data);
  const blob = new Blob([text], { type: "image/svg+xml" });
  if (format === "svg") return save(blob, format);
  const image = new Image();
  image.onload = () => {
    const scale = Math.min(3, 16_000 / Math.max(width, height)); // browsers refuse larger canvases
    const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.drawImage(image, 0, 0);
    canvas.toBlob((made) => save(made, format), "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

function foot(data) {
  const line = made("div", "foot");
  const scale = made("div", "scale", "", { "aria-hidden": "true" });
  const bar = made("span", "bar");
  bar.style.background = `linear-gradient(90deg, ${data.scale.stops.join(", ")})`;
  scale.append(made("span", "", data.scale.low), bar, made("span", "", data.scale.high));
  const buttons = made("div", "take");
  for (const format of ["png", "svg"]) {
    const button = made("button", "", format.toUpperCase(), { type: "button" });
    button.onclick = () => take(data, format);
    buttons.append(button);
  }
  line.append(scale, buttons);
  return line;
}

export default function ({ data, parentElement }) {
  const place = parentElement.querySelector(".heads");
  const drawn = JSON.stringify(data);
  if (place.dataset.drawn === drawn) return;
  place.dataset.drawn = drawn;
  const scroller = made("div", "scroller");
  const grid = table(data);
  scroller.append(grid);
  grid.onkeydown = (event) => move(grid, event);
  grid.querySelector(".head").tabIndex = 0;
  place.replaceChildren(scroller, foot(data));
}
