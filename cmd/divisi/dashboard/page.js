import { draw } from "/graph.js";

const period = 1000; // milliseconds between looks
const kept = 6; // looks that rates are computed from
const $ = id => document.getElementById(id);

// set changes a text only if it is another one: what a reader has selected stays selected.
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function type(element, name) {
  if (element.className !== name) element.className = name;
}
function element(tag, className = "", text = "") {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}
function count(n) {
  return n === 0 ? "0" : n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}
function millis(n) {
  return n === null ? "–" : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}

const mood = {
  ready: "good", running: "good", started: "good", upgraded: "good", listening: "good",
  starting: "warn", draining: "warn", stopping: "warn", backoff: "warn",
  hung: "bad", failed: "bad", exited: "bad", degraded: "bad",
};

// rows shows items as rows of a table, and keeps those that are there already. fill returns the
// cells' texts, each perhaps with a class and the class of a chip.
function rows(table, items, key, head, fill) {
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map(row => [row.dataset.key, row]));
  items.forEach((item, i) => {
    const k = key(item);
    let row = old.get(k);
    const cells = fill(item);
    if (!row || row.cells.length !== cells.length) {
      row?.remove();
      row = document.createElement("tr");
      row.dataset.key = k;
      cells.forEach((c, n) => {
        const cell = element(n === 0 && head ? "th" : "td");
        if (n === 0 && head) cell.scope = "row";
        cell.append(element("span"), ...c.more ? [element("span", "more")] : []);
        row.append(cell);
      });
    }
    old.delete(k);
    cells.forEach((c, n) => {
      const cell = row.cells[n];
      type(cell, c.type ?? "");
      type(cell.firstChild, c.chip ?? "");
      set(cell.firstChild, c.text);
      if (c.more) set(cell.lastChild, c.more);
    });
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null);
  });
  for (const row of old.values()) row.remove();
}

// Rates.

const samples = []; // { time, calls: Map }
const history = []; // calls per second

// rates returns what happened per second since the oldest look that is kept. Counts that shrink
// are those of a process that has ended.
function rates(data) {
  const time = Date.parse(data.time);
  const now = new Map(data.calls.map(c => [c.caller + " " + c.component + " " + c.method, c]));
  samples.push({ time, calls: now });
  if (samples.length > kept) samples.shift();
  const first = samples[0], seconds = (time - first.time) / 1000;
  const list = [];
  for (const [key, c] of now) {
    const before = first.calls.get(key) ?? { count: 0, errors: 0, micros: 0 };
    const more = field => seconds > 0 ? Math.max(0, c[field] - before[field]) : 0;
    const calls = more("count");
    list.push({ ...c, key, calls, rate: calls / (seconds || 1), errorRate: more("errors") / (seconds || 1),
      micros: more("micros"), mean: calls > 0 ? more("micros") / calls / 1000 : null });
  }
  return list.sort((a, b) => a.component.localeCompare(b.component) || a.method.localeCompare(b.method) ||
    a.caller.localeCompare(b.caller));
}

// The parts of the page.

function showHeader(data) {
  const s = data.status;
  document.title = `${s.app} · Divisi`;
  set($("app"), s.app);
  set($("state"), s.state);
  type($("state"), "chip " + (mood[s.state] ?? ""));
  set($("version"), s.version.slice(0, 12));
  $("version").title = s.version;
  set($("uptime"), age(Date.parse(data.time) - Date.parse(s.started)));
  const links = s.listeners.filter(l => /^https?:\/\//.test(l.url));
  if ($("links").dataset.key !== JSON.stringify(links)) {
    $("links").dataset.key = JSON.stringify(links);
    $("links").replaceChildren(...links.map(l => {
      const a = element("a", "", `${l.name} ${l.url}`);
      a.href = l.url;
      return a;
    }));
  }
}

function showTiles(data, list) {
  const groups = data.status.groups, sum = (of, field) => of.reduce((n, x) => n + x[field], 0);
  const ready = sum(groups, "ready"), wanted = sum(groups, "wanted");
  const calls = sum(list, "rate"), errors = sum(list, "errorRate"), made = sum(list, "calls");
  set($("ready"), `${ready} of ${wanted}`);
  set($("calls"), count(calls));
  set($("errors"), count(errors));
  set($("mean"), made > 0 ? millis(sum(list, "micros") / made / 1000) + " ms" : "–");
  set($("restarts"), String(sum(data.status.replicas, "restarts")));
  type($("ready").parentElement, ready < wanted ? "tile bad" : "tile");
  type($("errors").parentElement, errors > 0 ? "tile bad" : "tile");
  history.push(calls);
  if (history.length > 60) history.shift();
  const top = Math.max(...history, 1);
  $("spark").firstElementChild.setAttribute("points", history.length < 2 ? "" : history.map((n, i) =>
    `${(120 - (history.length - 1 - i) * 120 / 59).toFixed(1)},${(26 - 23 * n / top).toFixed(1)}`).join(" "));
}

let graph = null, drawn = "";

function showGraph(data, list) {
  const s = data.status;
  const names = [...new Set(s.groups.flatMap(g => g.components))];
  const edges = s.edges.filter(e => names.includes(e.from) && names.includes(e.to));
  const key = JSON.stringify([names, edges]);
  if (key !== drawn && names.length > 0) {
    drawn = key;
    graph = draw(names, edges);
    $("graph").replaceChildren(graph.picture);
  }
  if (!graph) return;
  for (const g of s.groups) {
    const health = g.ready >= g.wanted ? "good" : g.ready > 0 ? "warn" : "bad";
    for (const c of g.components) {
      const { node, under, tip } = graph.nodes.get(c);
      node.setAttribute("class", "node " + health);
      set(under, `${g.ready} of ${g.wanted} in ${g.name}`);
      set(tip, `${c} in the group ${g.name}: ${g.ready} of ${g.wanted} replicas are ready`);
    }
  }
  const between = new Map();
  for (const m of list) {
    const edge = m.caller + " " + m.component, sum = between.get(edge) ?? { rate: 0, errors: 0 };
    between.set(edge, { rate: sum.rate + m.rate, errors: sum.errors + m.errorRate });
  }
  for (const [edge, { line, tip, label }] of graph.lines) {
    const { rate, errors } = between.get(edge) ?? { rate: 0, errors: 0 };
    line.setAttribute("class", "edge" + (errors > 0 ? " bad" : rate > 0 ? " on" : ""));
    line.style.strokeWidth = (1.5 + Math.min(4, Math.log10(1 + rate) * 1.5)).toFixed(2) + "px";
    line.setAttribute("marker-end", rate > 0 ? "url(#arrow-on)" : "url(#arrow)");
    set(label, rate > 0 ? `${count(rate)}/s` : "");
    set(tip, `${edge.replace(" ", " calls ")}: ${count(rate)} calls and ${count(errors)} errors per second`);
  }
  graph.picture.setAttribute("aria-label", `${names.length} components; ` +
    s.edges.map(e => `${e.from} calls ${e.to}`).join(", "));
}

function showReplicas(data) {
  const s = data.status, now = Date.parse(data.time), items = [];
  for (const g of s.groups) {
    items.push({ group: g }, ...s.replicas.filter(r => r.group === g.name));
  }
  items.push(...s.replicas.filter(r => !s.groups.some(g => g.name === r.group)));
  rows($("replicas"), items, item => item.group.components ? "group " + item.group.name : "replica " + item.name + " " + item.version,
    true, item => {
      if (item.group.components) {
        const g = item.group;
        return [{ text: g.name, more: `${g.ready} of ${g.wanted} ready · ${g.components.join(", ")}` }];
      }
      const exit = item.last_exit;
      return [
        { text: item.name, more: `version ${item.version.slice(0, 8)}` },
        { text: item.state, chip: "chip " + (mood[item.state] ?? "") },
        { text: item.pid ? String(item.pid) : "–", type: item.pid ? "n" : "n zero" },
        { text: String(item.restarts), type: item.restarts ? "n" : "n zero" },
        { text: item.pid ? age(now - Date.parse(item.started)) : "–", type: item.pid ? "n" : "n zero" },
        { text: exit ? `${exit.text}, ${age(now - Date.parse(exit.time))} ago` : "–", type: exit ? "text" : "text zero" },
        { text: item.next_start ? `in ${age(Date.parse(item.next_start) - now + 999)}` : "–",
          type: item.next_start ? "" : "zero" },
      ];
    });
  for (const row of $("replicas").tBodies[0].rows) {
    const group = row.cells.length === 1;
    type(row, group ? "group" : "replica");
    if (group) row.cells[0].colSpan = 7;
    else row.dataset.replica = row.dataset.key.slice("replica ".length);
  }
}

function showMethods(list) {
  $("quiet").hidden = list.length > 0;
  rows($("methods"), list, m => m.key, true, m => [
    { text: `${m.component}.${m.method}` },
    { text: m.caller },
    { text: count(m.rate), type: m.rate > 0 ? "n" : "n zero" },
    { text: count(m.errorRate), type: m.errorRate > 0 ? "n bad" : "n zero" },
    { text: millis(m.mean), type: m.mean === null ? "n zero" : "n" },
    { text: m.count.toLocaleString("en"), type: "n" },
  ]);
}

function showEvents(data) {
  const latest = data.events.slice(-40).reverse();
  rows($("events"), latest, e => e.time + e.kind + (e.name ?? ""), false, e => [
    { text: new Date(e.time).toLocaleTimeString("en-GB") },
    { text: e.kind, chip: "chip " + (mood[e.kind] ?? "") },
    { text: e.text, type: "text" },
  ]);
}

const levels = { warn: "warn", error: "bad" };

function showLog(entries) {
  const seen = new Map(); // entries may be equal
  const latest = entries.reverse().map(e => {
    const text = [e.component ? `[${e.component.split("/").slice(-2).join(".")}]` : "", e.msg,
      ...Object.entries(e.attrs ?? {}).map(([k, v]) => `${k}=${v}`)].filter(Boolean).join(" ");
    const key = e.time + e.replica + text, nth = (seen.get(key) ?? 0) + 1;
    seen.set(key, nth);
    return { ...e, text, key: key + nth };
  });
  $("silent").hidden = latest.length > 0;
  rows($("log"), latest, e => e.key, false, e => [
    { text: new Date(e.time).toLocaleTimeString("en-GB") },
    { text: e.level, chip: "chip " + (levels[e.level] ?? "") },
    { text: e.replica ?? "" },
    { text: e.text, type: "text" },
  ]);
}

// The log is read from files each time, so it is asked for only while it can be seen.
let logSeen = false;
new IntersectionObserver(changes => { logSeen = changes.at(-1).isIntersecting; }).observe($("log").closest("section"));

async function fetchJSON(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10 * period) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

let failures = 0;

async function look() {
  try {
    const data = await fetchJSON("/data");
    for (const part of ["listeners", "groups", "replicas", "edges"]) data.status[part] ??= [];
    for (const r of data.status.replicas) r.components ??= [];
    const list = rates(data);
    showHeader(data);
    showTiles(data, list);
    showGraph(data, list);
    showReplicas(data);
    showMethods(list);
    showEvents(data);
    if (logSeen && !document.hidden) showLog(await fetchJSON("/log?level=" + $("level").value));
    failures = 0;
    $("lost").hidden = true;
  } catch (problem) {
    failures++;
    if (failures >= 2) {
      set($("lost"), `The application does not answer (${problem.message}). What is below is what was last known.`);
      $("lost").hidden = false;
      set($("state"), "not answering");
      type($("state"), "chip bad");
    }
  }
  setTimeout(look, document.hidden ? 5 * period : period);
}

look();
