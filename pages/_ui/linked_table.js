// A table whose first column links to each row's page. Text is set as text. Columns are sorted by their raw values.
function made(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function line(row, columns) {
  const tr = made("tr");
  for (const [at, column] of columns.entries()) {
    const td = made("td", at && !Array.isArray(row.shown[at]) ? row.shown[at] : "", column.number ? { class: "number" } : {});
    if (Array.isArray(row.shown[at])) {
      td.replaceChildren(...row.shown[at].flatMap(([text, href]) => [made("a", text, { href, "data-inside": "" }), " "]));
    } else if (!at) td.append(row.href ? made("a", row.shown[0], { href: row.href, "data-inside": "" }) : row.shown[0]);
    tr.append(td);
  }
  return tr;
}

function compare(a, b) {
  return typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

export default function ({ data, parentElement }) {
  const table = parentElement.querySelector("table");
  const drawn = JSON.stringify(data);
  if (table.dataset.drawn === drawn) return;
  table.dataset.drawn = drawn;
  table.parentElement.style.maxHeight = data.height;
  for (const node of [table, table.parentElement]) node.setAttribute("aria-label", data.label);
  const [head, body, titles] = [made("thead"), made("tbody"), made("tr")];
  const fill = (rows) => body.replaceChildren(...rows.map((row) => line(row, data.columns)));
  for (const [at, column] of data.columns.entries()) {
    const th = made("th", "", { scope: "col", title: column.help, "aria-sort": "none" });
    if (column.number) th.className = "number";
    const button = made("button", column.name, { type: "button" });
    button.onclick = () => {
      const was = th.getAttribute("aria-sort");
      for (const other of titles.children) other.setAttribute("aria-sort", "none");
      // numbers are wanted largest first, words from A
      const falling = was === "none" ? column.number : was === "ascending";
      th.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const sorted = data.rows.toSorted((a, b) => compare(a.values[at], b.values[at]));
      fill(falling ? sorted.reverse() : sorted);
    };
    th.append(button);
    titles.append(th);
  }
  head.append(titles);
  fill(data.rows);
  table.replaceChildren(head, body);
}
