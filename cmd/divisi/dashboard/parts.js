// What all parts of the page share.

export const period = 1000; // milliseconds between looks
export const $ = id => document.getElementById(id);

// set changes a text only if it is another one: what a reader has selected stays selected.
export function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
export function type(element, name) {
  if (element.className !== name) element.className = name;
}
export function element(tag, className = "", text = "") {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}
export function count(n) {
  return n === 0 ? "0" : n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}
export function millis(n) {
  return n === null ? "–" : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}

export const mood = {
  ready: "good", running: "good", started: "good", upgraded: "good", adopted: "good", replaced: "good", answered: "good", listening: "good", asked: "warn",
  starting: "warn", draining: "warn", stopping: "warn", backoff: "warn", unclaimed: "warn", "not ready": "warn", silent: "warn",
  hung: "bad", failed: "bad", exited: "bad", degraded: "bad", "not running": "bad",
};

// keep shows items as children of a list, and keeps those that are there already: what is written, selected or
// focused in them stays so. What made makes is filled at each look.
export function keep(list, items, key, make, fill) {
  const old = new Map([...list.children].map(child => [child.dataset.key, child]));
  items.forEach((item, i) => {
    const k = key(item);
    const child = old.get(k) ?? make(item);
    child.dataset.key = k;
    old.delete(k);
    fill(child, item);
    if (list.children[i] !== child) list.insertBefore(child, list.children[i] ?? null);
  });
  for (const child of old.values()) {
    if (child.contains(document.activeElement)) $("app").focus();
    child.remove();
  }
}

// rows shows items as rows of a table. fill returns the cells' texts, each perhaps with a class, the class of a
// chip, more text, a tip, what a press of it does, or buttons.
export function rows(table, items, key, head, fill) {
  const make = item => {
    const row = document.createElement("tr");
    fill(item).forEach((c, n) => {
      const cell = element(n === 0 && head ? "th" : "td");
      if (n === 0 && head) cell.scope = "row";
      cell.append(element(c.press ? "button" : "span"), ...c.more ? [element("span", "more")] : []);
      if (c.press) cell.firstChild.addEventListener("click", c.press);
      for (const b of c.buttons ?? []) {
        const button = element("button", "small");
        button.addEventListener("click", b.press);
        cell.append(button);
      }
      row.append(cell);
    });
    return row;
  };
  keep(table.tBodies[0], items, key, make, (row, item) => fill(item).forEach((c, n) => {
    const cell = row.cells[n];
    type(cell, c.type ?? "");
    type(cell.firstChild, c.chip ?? "");
    set(cell.firstChild, c.text ?? "");
    if (c.more) set(cell.lastChild, c.more);
    cell.title = c.tip ?? "";
    (c.buttons ?? []).forEach((b, i) => {
      const button = cell.children[i + 1];
      set(button, b.text);
      button.ariaLabel = b.label;
      button.hidden = b.hidden;
      button.disabled = b.disabled;
    });
  }));
}

// shown is what the page is about.
export const shown = { of: "" };
const about = fields => "?" + new URLSearchParams({ of: shown.of, ...fields });

// ask asks for something about what is shown.
export async function ask(path, fields = {}) {
  const answer = await fetch(path + about(fields), { cache: "no-store", signal: AbortSignal.timeout(10 * period) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

// tell has what is shown do something, and returns its answer, or throws what it says against that.
export async function tell(path, order) {
  const answer = await fetch(path + about(), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(order),
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let said = { error: text };
  try {
    said = JSON.parse(text);
  } catch { /* it is a plain text */ }
  throw Object.assign(new Error(said.error || `status ${answer.status}`), { code: said.code });
}

// say shows for a while what was done.
let saidLast;
export function say(text, bad = false) {
  set($("said"), text);
  type($("said"), bad ? "bad" : "");
  clearTimeout(saidLast);
  saidLast = setTimeout(() => set($("said"), ""), (bad ? 30 : 10) * period);
}
