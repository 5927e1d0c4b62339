// Keeps who labels in this browser: a name, and a token that tells this browser from another where two use one name.
const NAME = "unitscope-annotator";
const DESK = "unitscope-desk";

function kept(name) {
  try { return localStorage.getItem(name) || ""; } catch { return ""; } // a browser may forbid it
}

function keep(name, value) {
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch { /* then it lasts as long as the tab */ }
}

function token() {
  const known = kept(DESK) || window.unitscopeDesk;
  if (/^[0-9a-f]{32}$/.test(known)) return known;
  const made = [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
  keep(DESK, made);
  window.unitscopeDesk = made;
  return made;
}

export default function ({ data, parentElement, setStateValue }) {
  if (data.forget) keep(NAME, "");
  else if (data.name) keep(NAME, data.name);
  const who = { name: kept(NAME) || data.name, desk: token() };
  const told = JSON.stringify([who, data.session]); // a session that was begun anew has not heard it
  const host = parentElement.host ?? parentElement; // with styles apart it is a shadow root
  if (host.dataset.told === told) return;
  host.dataset.told = told;
  setStateValue("who", who);
}
