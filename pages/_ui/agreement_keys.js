// Digits choose an answer and go to the reason, Enter saves (in a field its form does that), Escape leaves a field.
const BUSY = 'input, textarea, select, button, a, [contenteditable="true"], [role="slider"], [role="listbox"], [role="combobox"]';

let leaving = false;

function press(name) {
  const button = document.querySelector(`[class*="st-key-${name}"] button:not([disabled])`);
  if (button) button.click();
  return Boolean(button);
}

// The run that follows may draw the field anew, which loses the focus: then the same field gets it again, for a moment.
function focusReason(name = "decide-reason", until = Date.now() + 1500) {
  const place = document.querySelector(`[class*="st-key-${name}"]`);
  const active = document.activeElement;
  if (!place || leaving || Date.now() > until) return;
  if (!active || active === document.body || active.matches("button")) place.querySelector("input")?.focus();
  setTimeout(focusReason, 50, place.className.match(/st-key-(decide-reason\S*)/)[1], until);
}

export default function () {
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector('[role="dialog"]')) return;
    const path = event.composedPath();
    const inside = path.some((node) => node.matches && node.matches('[class*="st-key-decide-"]'));
    leaving = event.key === "Enter" || event.key === "Escape";
    if (event.key === "Escape" && inside) {
      document.activeElement?.blur();
      return;
    }
    const typing = path.some((node) => node.matches && node.matches(BUSY));
    // a button that was just pressed has the focus: digits mean the same there, Enter is its own
    const onButton = path[0]?.matches?.("button");
    if (typing && !(onButton && /^[1-9]$/.test(event.key))) return;
    if (/^[1-9]$/.test(event.key) && press(`choice-${event.key}`)) focusReason();
    else if (event.key === "Enter" && press("decide-save")) { /* saved */ }
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", onKey, true);
  return () => window.removeEventListener("keydown", onKey, true);
}
