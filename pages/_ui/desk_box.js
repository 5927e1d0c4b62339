// The field for the label: completion from what was said before, one sense at a time ("dogs | stripes").
const MOST_OFFERED = 8;

function lastSense(text) {
  const at = text.lastIndexOf("|");
  return { before: at < 0 ? "" : `${text.slice(0, at).trimEnd()} | `, sense: text.slice(at + 1).trimStart() };
}

function offered(text, known) {
  const { sense } = lastSense(text);
  const wanted = sense.toLocaleLowerCase().trim();
  if (!wanted) return [];
  const first = [];
  const others = [];
  for (const each of known) {
    const at = each.toLocaleLowerCase().indexOf(wanted);
    if (at < 0 || each === sense) continue;
    (at === 0 ? first : others).push(each);
    if (first.length === MOST_OFFERED) break;
  }
  return [...first, ...others].slice(0, MOST_OFFERED);
}

// Returns what the desk needs of the box: to close its list, and to handle a key while the list is open.
function completing(box, list, known) {
  let texts = [];
  let at = -1;
  const mark = () => {
    [...list.children].forEach((item, n) => item.setAttribute("aria-selected", String(n === at)));
    if (at < 0) box.removeAttribute("aria-activedescendant");
    else box.setAttribute("aria-activedescendant", `offer-${at}`);
  };
  const close = () => {
    texts = [];
    at = -1;
    list.replaceChildren();
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    mark();
  };
  const take = (n) => {
    box.value = lastSense(box.value).before + texts[n];
    close();
    box.focus();
  };
  const open = () => {
    texts = offered(box.value, known());
    at = -1;
    list.replaceChildren(
      ...texts.map((text, n) => {
        const item = made("li", "", text);
        item.id = `offer-${n}`;
        item.setAttribute("role", "option");
        item.onmousedown = (event) => { event.preventDefault(); take(n); };
        return item;
      }),
    );
    list.hidden = !texts.length;
    box.setAttribute("aria-expanded", String(Boolean(texts.length)));
    mark();
  };
  box.oninput = open;
  box.onblur = close;
  const onKey = (event) => {
    if (!texts.length) return false;
    if (event.key === "ArrowDown") at = (at + 1) % texts.length;
    else if (event.key === "ArrowUp") at = (at <= 0 ? texts.length : at) - 1;
    else if (event.key === "Tab" || (event.key === "Enter" && at >= 0)) { take(Math.max(0, at)); return true; }
    else if (event.key === "Escape") { close(); return true; }
    else return false;
    mark();
    return true;
  };
  return { close, onKey };
}
