// Draws rows of {id, src, alt, caption, overlay, href}. Everything from Python is set as an attribute or as text: no HTML.
// A row with an address is a link to it; one without is a button that tells Python.
function picture(address, alt, name) {
  const image = document.createElement("img");
  image.src = address;
  image.alt = alt;
  image.className = name;
  image.draggable = false;
  return image;
}

function cell(row, selected, choose) {
  const button = document.createElement(row.href ? "a" : "button");
  if (row.href) {
    button.href = row.href;
    button.dataset.inside = "";
  } else {
    button.type = "button";
    button.setAttribute("aria-pressed", String(row.id === selected));
    button.onclick = () => choose(row.id);
  }
  button.className = "cell";
  button.dataset.id = row.id;
  button.title = row.alt;
  const frame = document.createElement("span");
  frame.className = "frame";
  if (row.src) {
    const image = picture(row.src, row.alt, "thumb");
    image.onerror = () => { image.remove(); frame.classList.add("missing"); };
    frame.append(image);
  } else {
    frame.classList.add("missing");
  }
  if (row.overlay) frame.append(picture(row.overlay, "", "overlay"));
  button.append(frame);
  if (row.caption) {
    const caption = document.createElement("span");
    caption.className = "caption";
    caption.textContent = row.caption;
    button.append(caption);
  }
  return button;
}

// Arrow keys move among the images; up and down by the number of images that fit in a line.
function move(grid, event) {
  const cells = [...grid.children];
  const at = cells.indexOf(event.target.closest(".cell"));
  if (at < 0) return;
  const wide = Math.max(1, cells.filter((c) => c.offsetTop === cells[0].offsetTop).length);
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  event.stopPropagation(); // or the page's own arrow keys would step to another head
  cells[Math.min(cells.length - 1, Math.max(0, at + step))].focus();
}

export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  const drawn = JSON.stringify(data);
  grid.onkeydown = (event) => move(grid, event);
  if (grid.dataset.drawn === drawn) return;
  grid.dataset.drawn = drawn;
  grid.setAttribute("aria-label", data.label);
  grid.style.setProperty("--size", `${data.size}px`);
  const focused = grid.getRootNode().activeElement?.dataset?.id;
  const cells = data.rows.map((row) => cell(row, data.selected, (id) => setTriggerValue("clicked", id)));
  grid.replaceChildren(...cells);
  if (focused !== undefined) cells.find((c) => c.dataset.id === focused)?.focus();
}
