// Keys press the buttons that are on the page, so whatever a key does can be done and seen without it.
// Listens in the capture phase on window: Streamlit's own R (run again) would otherwise take R from "random".
const BUSY = 'input, textarea, select, [contenteditable="true"], [role="slider"], [role="listbox"], [role="combobox"]';
const OWN_ARROWS = '[role="radiogroup"], [role="radio"], [role="tab"], [role="tablist"], [role="grid"], .cell, canvas';

function within(event, selector) {
  return event.composedPath().some((node) => node.matches && node.matches(selector));
}

function press(name) {
  const button = document.querySelector(`.st-key-${name} button:not([disabled])`);
  if (button) button.click();
  return Boolean(button);
}

function search() {
  const field = document.querySelector('[class*="st-key-"][class*="search"] :is(input, textarea)');
  if (field) { field.focus(); field.select?.(); }
  return Boolean(field);
}

const ACTIONS = {
  j: () => press("key-next"), ArrowRight: () => press("key-next"),
  k: () => press("key-previous"), ArrowLeft: () => press("key-previous"),
  "shift+j": () => press("key-higher"), "shift+k": () => press("key-lower"),
  r: () => press("key-random"), "?": () => press("key-help"), "/": search,
};

// A letter's name does not depend on caps lock; of "?" and "/" only the character counts, which Shift makes on some keyboards.
function named(event) {
  const letter = /^[a-z]$/i.test(event.key);
  return letter ? (event.shiftKey ? "shift+" : "") + event.key.toLowerCase() : event.key;
}

export default function () {
  const onKey = (event) => {
    const action = ACTIONS[named(event)];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key === "r") return;
    if (within(event, BUSY) || document.querySelector('[role="dialog"]')) return;
    if (event.key.startsWith("Arrow") && within(event, OWN_ARROWS)) return;
    if (action()) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  };
  window.addEventListener("keydown", onKey, true);
  document.documentElement.dataset.keys = "on"; // tells whoever looks from outside that keys are heard
  return () => {
    window.removeEventListener("keydown", onKey, true);
    delete document.documentElement.dataset.keys;
  };
}
