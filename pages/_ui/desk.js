// The desk: one end of a unit, a box, and keys. The next unit is drawn at once, from what the server sent ahead; events
// wait in an outbox, each with its own key, until the server says that they are stored. Whatever is sent twice is stored
// once, and what could not be stored comes back into the box.
const BUSY = 'input:not([type="checkbox"]):not([type="radio"]), textarea, select, [contenteditable="true"], [role="slider"], [role="listbox"], [role="combobox"]';
const PRESSED = 'button, a, [role="button"], [role="radio"], summary';
const SHARES = [null, 0.25, 0.5, 0.75, 1];
const AGAIN_MS = 4000;
const OUTBOX = "unitscope-outbox-";

// What is not stored yet outlasts a reload of the tab.
function keep(bundle, events) {
  try { sessionStorage.setItem(OUTBOX + bundle, JSON.stringify(events)); } catch { /* then a reload loses them */ }
}

function kept(bundle) {
  try { return JSON.parse(sessionStorage.getItem(OUTBOX + bundle) ?? "[]"); } catch { return []; }
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

class Desk {
  constructor(root) {
    this.root = root;
    this.outbox = [];
    this.drafts = {};
    this.units = {};
    this.number = 0;
    this.at = null;
    this.box = root.querySelector(".box");
    this.tags = root.querySelector(".tags");
    this.completion = completing(this.box, root.querySelector(".offers"), () => this.data.completions);
    root.querySelector(".confidence").onclick = () => this.turnConfidence();
    for (const button of root.querySelectorAll("[data-does]")) button.onclick = () => this.does(button.dataset.does);
  }

  // --- from the server ---------------------------------------------------------------------------------------------

  take(data, send) {
    this.data = data;
    this.send = send;
    const fresh = this.queue !== data.queue.id;
    const again = this.session !== data.session; // a reload, or a server that was started anew
    if (this.bundle !== data.bundle) {
      if (this.bundle) keep(this.bundle, this.outbox);
      this.outbox = kept(data.bundle);
    }
    if (fresh) Object.assign(this, { queue: data.queue.id, drafts: {}, at: null, maps: null });
    if (fresh || this.blind !== data.blind) this.units = {}; // what is hidden now must not be here from before
    Object.assign(this, { bundle: data.bundle, blind: data.blind });
    this.session = data.session;
    for (const [at, unit] of Object.entries(data.units)) this.units[at] = unit;
    const backs = data.acks.map((ack) => this.acknowledged(ack)).filter((place) => place !== null);
    if (backs.length) this.show(backs[0]);
    else this.show(fresh || again || data.number === this.number ? data.at : this.at);
    Object.values(data.units).forEach(preload);
    keep(this.bundle, this.outbox);
    if (this.at !== data.at && backs.length) this.post();
    else if (this.outbox.length && (again || Date.now() - this.sent > AGAIN_MS)) this.post();
  }

  // Returns the place to go back to: of what could not be stored, or was taken back.
  acknowledged(ack) {
    const place = this.outbox.findIndex((event) => event.key === ack.key);
    if (place < 0) return null;
    const [event] = this.outbox.splice(place, 1);
    this.tries = 0;
    this.say(ack.told, ack.ok ? "good" : "bad");
    const words = ack.ok ? ack.undone : event;
    if (!words || ack.at === null || event.kind === "undo" && !ack.ok) return null;
    this.keepDraft();
    this.drafts[ack.at] = { text: words.text, tags: words.tags, confidence: words.confidence };
    if (this.units[ack.at] && !this.data.units[ack.at]) this.units[ack.at].mine = null;
    this.at = null; // so that it is filled anew
    return ack.at;
  }

  takeMaps(found) {
    this.maps = found;
    if (this.unit && found.address === this.unit.address) drawMaps(this.root, found.maps);
  }

  // --- what is shown -----------------------------------------------------------------------------------------------

  get unit() {
    return this.units[this.at];
  }

  show(at) {
    const unit = this.units[at];
    const moved = at !== this.at;
    if (moved) this.keepDraft();
    this.at = at;
    this.root.classList.toggle("waiting", !unit && !this.data.empty);
    this.root.classList.toggle("empty", Boolean(this.data.empty));
    if (!unit) {
      if (moved) this.fill(null);
      return;
    }
    drawTitle(this.root, unit, this.data.queue);
    const pictures = `${unit.address} ${unit.end}`;
    if (this.drawn !== pictures) {
      this.drawn = pictures;
      drawPictures(this.root, unit);
      if (this.maps?.address === unit.address) drawMaps(this.root, this.maps.maps);
    }
    if (!this.data.maps) drawMaps(this.root, null);
    drawKnown(this.root, unit, (n, more) => this.candidate(n, more));
    if (moved) {
      this.fill(this.drafts[at] ?? unit.mine);
      this.since = performance.now();
    }
    this.root.querySelector(".finished").hidden = !this.data.queue.finished;
  }

  fill(words) {
    this.completion.close();
    this.box.value = words?.text ?? "";
    this.tags.value = (words?.tags ?? []).join(", ");
    this.confidence = words?.confidence ?? null;
    this.drawConfidence();
  }

  keepDraft() {
    const unit = this.units[this.at];
    if (!unit) return;
    const text = this.box.value;
    if (text.trim() && text !== (unit.mine?.text ?? "")) this.drafts[this.at] = this.words();
    else delete this.drafts[this.at];
  }

  words() {
    const tags = this.tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    return { text: this.box.value, tags, confidence: this.confidence };
  }

  say(text, kind = "") {
    const line = this.root.querySelector(".status");
    line.textContent = text;
    line.dataset.kind = kind;
  }

  turnConfidence() {
    const at = SHARES.indexOf(this.confidence);
    this.confidence = SHARES[(at + 1) % SHARES.length];
    this.drawConfidence();
  }

  drawConfidence() {
    const told = this.confidence === null ? "not said" : `${Math.round(100 * this.confidence)} %`;
    this.root.querySelector(".confidence span").textContent = told;
  }

  candidate(n, more) {
    const text = this.unit?.candidates[n];
    if (text === undefined) return;
    const already = this.box.value.trim();
    this.box.value = more && already ? `${already} | ${text}` : text;
    this.completion.close();
  }

  // --- to the server -----------------------------------------------------------------------------------------------

  post(more = {}) {
    this.number += 1;
    this.sent = Date.now();
    keep(this.bundle, this.outbox);
    this.send({ number: this.number, at: this.at, queue: this.queue, events: this.outbox, ...more });
    clearTimeout(this.timer);
    if (this.outbox.length) this.timer = setTimeout(() => this.again(), AGAIN_MS);
  }

  again() {
    if (!this.outbox.length) return;
    this.say(`Not saved yet, ${this.outbox.length} waiting: trying again…`);
    this.tries = (this.tries ?? 0) + 1;
    this.post();
    // a server that was started anew knows no part of the page until all of it was drawn for it
    if (this.tries > 1) window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  }

  says(kind) {
    const unit = this.unit;
    if (!unit) return;
    const words = this.words();
    if (kind === "label" && !words.text.trim()) {
      this.say("Write a label first, or say u unsure, s skip, x uninterpretable.", "bad");
      return;
    }
    const { address, end } = unit;
    const shown = Math.round(performance.now() - this.since);
    this.outbox.push({ ...words, key: newKey(), kind, address, end, at: this.at, shown_ms: shown, hidden: unit.hidden });
    unit.mine = { ...words, kind };
    delete this.drafts[this.at];
    this.box.value = "";
    this.say(`Saving ${address}…`);
    const next = this.following();
    if (next === undefined) this.root.classList.add("waiting");
    else this.show(next);
    this.post(next === undefined ? { next: true } : {});
  }

  // The next place without a word of one's own: as the server says, or, where it has not caught up, among those known.
  following() {
    const places = this.data.number === this.number && this.data.at === this.at ? this.data.ahead : Object.keys(this.units);
    const open = places.map(Number).filter((place) => place > this.at && this.units[place] && !this.units[place].mine);
    return open.length ? Math.min(...open) : undefined;
  }

  undo() {
    this.outbox.push({ key: newKey(), kind: "undo", at: this.at });
    this.say("Taking back…");
    this.post();
  }

  go(at) {
    if (at < 0 || at >= this.data.queue.all || this.data.empty) return;
    this.show(at);
    this.post();
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  does(name) {
    if (name === "save") this.says("label");
    else if (["unsure", "skip", "uninterpretable"].includes(name)) this.says(name);
    else if (name === "undo") this.undo();
    else if (name === "next") this.go(this.at + 1);
    else if (name === "previous") this.go(this.at - 1);
    else if (name === "maps") this.post({ map: !this.data.maps });
    else if (name === "box") { this.box.focus(); this.box.select(); }
    else if (name === "tags") this.tags.focus();
    else if (name === "confidence") this.turnConfidence();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.isComposing || event.keyCode === 229) return;
    if (document.querySelector('[role="dialog"]')) return;
    const path = event.composedPath();
    const inside = path[0] === this.box || path[0] === this.tags;
    if (path[0] === this.box && !event.altKey && this.completion.onKey(event)) return this.taken(event);
    if (path[0] === this.box && event.key === "/" && !this.box.value) return this.taken(event);  // it goes where one is
    if (inside && event.key === "Escape") { path[0].blur(); return this.taken(event); }
    if (inside && event.key === "Enter") { if (!event.repeat) this.says("label"); return this.taken(event); }
    if (!inside && path.some((node) => node.matches?.(BUSY))) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    if (digit && inside === event.altKey) {
      this.candidate(Number(digit) - 1, event.shiftKey);
      return this.taken(event);
    }
    if (inside || event.altKey || (event.shiftKey && event.key !== "?" && event.key !== "/")) return;
    if (["Enter", " "].includes(event.key) && path.some((node) => node.matches?.(PRESSED))) return;
    const name = {
      Enter: "save", u: "unsure", s: "skip", x: "uninterpretable", Backspace: "undo", j: "next", k: "previous",
      ArrowRight: "next", ArrowLeft: "previous", h: "maps", l: "box", "/": "box", t: "tags", c: "confidence",
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!name) return;
    const once = !["next", "previous"].includes(name); // a key that is held down says nothing twice
    if (!(once && event.repeat)) this.does(name);
    this.taken(event);
  }

  taken(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".desk");
  const desk = (root.unitscope ??= new Desk(root));
  desk.release?.();
  const onKey = (event) => desk.onKey(event);
  const onMaps = (event) => desk.takeMaps(event.detail);
  const release = () => {
    window.removeEventListener("keydown", onKey, true);
    window.removeEventListener("unitscope-desk-maps", onMaps);
  };
  desk.release = release;
  window.addEventListener("keydown", onKey, true);
  window.addEventListener("unitscope-desk-maps", onMaps);
  desk.take(data, (message) => setTriggerValue("said", message));
  return () => { release(); if (!root.isConnected) clearTimeout(desk.timer); };
}
