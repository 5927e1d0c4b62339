// Draws cards of {address, href, kind, layer, label, hand, score, why, "images of", similar, images}. Everything from Python is
// set as an attribute or as text: no HTML.
function made(tag, name, text = "") {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.textContent = text;
  return node;
}

function link(href, name, text) {
  const node = made("a", name, text);
  node.href = href;
  node.dataset.inside = "";
  return node;
}

function strip(card) {
  const pictures = link(card.href, "strip", "");
  pictures.tabIndex = -1; // the title leads to the same page
  for (const { id, src } of card.images) {
    const image = document.createElement("img");
    image.src = src;
    image.alt = `image ${id}`;
    image.draggable = false;
    image.onerror = () => image.classList.add("missing");
    pictures.append(image);
  }
  if (!card.images.length) pictures.append(made("span", "none", "no pictures"));
  return pictures;
}

function drawn(card, ticked, toggle) {
  const node = made("article", "card");
  node.setAttribute("role", "listitem");
  node.dataset.address = card.address;
  const top = made("div", "top");
  const tick = made("button", "tick");
  tick.type = "button";
  tick.setAttribute("role", "checkbox");
  tick.setAttribute("aria-checked", String(ticked));
  tick.setAttribute("aria-label", `Tick ${card.address}`);
  tick.title = "Tick (x)";
  tick.onclick = () => toggle(card.address, tick);
  top.append(link(card.href, "address", card.address), made("span", "kind", [card.kind, card.layer].filter(Boolean).join(" · ")), tick);
  node.append(top, made("div", "label", card.label));
  for (const said of card.hand) node.append(made("div", "hand", `✎ ${said}`));
  node.append(strip(card));
  const why = made("div", "why", [card.why, card["images of"]].filter(Boolean).join(" · "));
  node.append(why);
  const foot = made("div", "foot");
  foot.append(made("span", "score", card.score));
  if (card.similar) foot.append(link(card.similar, "similar", "similar units"));
  node.append(foot);
  return node;
}

export default function ({ data, parentElement, setStateValue }) {
  const grid = parentElement.querySelector(".cards");
  const ticked = new Set(data.ticked);
  const toggle = (address, tick) => {
    if (!ticked.delete(address)) ticked.add(address);
    tick.setAttribute("aria-checked", String(ticked.has(address)));
    setStateValue("ticked", [...ticked]);
  };
  const text = JSON.stringify(data.cards);
  if (grid.dataset.drawn !== text) {
    grid.dataset.drawn = text;
    const focused = grid.getRootNode().activeElement?.closest(".card")?.dataset.address;
    grid.replaceChildren(...data.cards.map((card) => drawn(card, ticked.has(card.address), toggle)));
    for (const card of grid.children) if (card.dataset.address === focused) card.querySelector(".address").focus();
  } else {
    for (const card of grid.children) {
      const tick = card.querySelector(".tick");
      tick.setAttribute("aria-checked", String(ticked.has(card.dataset.address)));
      tick.onclick = () => toggle(card.dataset.address, tick);
    }
  }

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !"jkx".includes(event.key)) return;
    const typed = (node) => node.matches?.('input, textarea, select, [contenteditable="true"], [role="combobox"], [role="slider"]');
    if (event.composedPath().some(typed) || document.querySelector('[role="dialog"]')) return;
    const cards = [...grid.children];
    const at = cards.indexOf(grid.getRootNode().activeElement?.closest(".card"));
    if (event.key === "x" && at >= 0) cards[at].querySelector(".tick").click();
    else if (event.key !== "x" && cards.length) {
      const next = cards[Math.min(cards.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
      next.querySelector(".address").focus({ preventScroll: true });
      next.scrollIntoView({ block: "nearest" });
    } else return;
    event.preventDefault();
  };
  grid.keys?.();
  window.addEventListener("keydown", onKey);
  grid.keys = () => window.removeEventListener("keydown", onKey);
  return grid.keys;
}
