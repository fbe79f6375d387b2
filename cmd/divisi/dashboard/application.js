// An application of components: its rates, call graph, replicas and methods.
import { $, age, count, millis, mood, rows, set, type } from "/parts.js";
import { draw } from "/graph.js";

const kept = 6; // looks that rates are computed from

const samples = []; // { time, calls: Map, requests }
const history = []; // calls per second

const counts = ["count", "errors", "failures"];

// since returns what was counted since another look. Counts that shrink are those of a process that
// has ended.
function since(now, before, seconds) {
  const more = (a, b) => Math.max(0, a - b);
  const got = { calls: 0, rate: 0, errorRate: 0, failureRate: 0, bounds: now.bounds ?? [], times: [] };
  if (seconds <= 0) return got;
  const d = Object.fromEntries(counts.map(field => [field, more(now[field] ?? 0, before?.[field] ?? 0)]));
  return { ...got, calls: d.count, rate: d.count / seconds, errorRate: d.errors / seconds, failureRate: d.failures / seconds,
    times: (now.counts ?? []).map((n, i) => more(n, before?.counts?.[i] ?? 0)) };
}

// quantile returns the time in milliseconds that a share of calls did not exceed, as well as
// their buckets say it; null without calls.
function quantile(share, bounds, times) {
  const all = times.reduce((sum, n) => sum + n, 0);
  let below = 0;
  for (let i = 0; all > 0 && i < times.length; i++) {
    if (times[i] > 0 && below + times[i] >= share * all) {
      const low = i > 0 ? bounds[i - 1] : 0, high = i < bounds.length ? bounds[i] : low;
      return (low + (high - low) * (share * all - below) / times[i]) / 1000;
    }
    below += times[i];
  }
  return null;
}

// together adds up the times of lists that have the same bounds.
function together(list) {
  const bounds = list.find(m => m.bounds.length)?.bounds ?? [];
  const times = new Array(bounds.length + 1).fill(0);
  for (const m of list) if (m.bounds.length === bounds.length) m.times.forEach((n, i) => { times[i] += n; });
  return { bounds, times };
}
const two = ({ bounds, times }) => {
  const half = quantile(.5, bounds, times), most = quantile(.99, bounds, times);
  return half === null ? "–" : `${millis(half)} · ${millis(most)} ms`;
};

// rates returns what happened per second since the oldest look that is kept, by method and of HTTP.
function rates(data) {
  const time = Date.parse(data.time);
  const now = new Map(data.calls.map(c => [c.caller + " " + c.component + " " + c.method, c]));
  samples.push({ time, calls: now, requests: data.requests });
  if (samples.length > kept) samples.shift();
  const first = samples[0], seconds = (time - first.time) / 1000;
  const list = [...now].map(([key, c]) => ({ ...c, key, ...since(c, first.calls.get(key), seconds) }));
  list.sort((a, b) => a.component.localeCompare(b.component) || a.method.localeCompare(b.method) ||
    a.caller.localeCompare(b.caller));
  return { list, http: since(data.requests, first.requests, seconds) };
}

function showTiles(data, list, http) {
  const groups = data.status.groups, sum = (of, field) => of.reduce((n, x) => n + x[field], 0);
  const ready = sum(groups, "ready"), wanted = sum(groups, "wanted");
  const calls = sum(list, "rate"), errors = sum(list, "errorRate"), failures = sum(list, "failureRate");
  set($("ready"), `${ready} of ${wanted}`);
  set($("calls"), count(calls));
  set($("failures"), count(failures));
  set($("errors"), `${count(Math.max(0, errors - failures))} errors of the application`);
  set($("times"), two(together(list)));
  set($("requests"), count(http.rate));
  set($("refused"), `${count(http.errorRate)} answered with 5xx`);
  set($("requestTimes"), two(http));
  set($("restarts"), String(sum(data.status.replicas, "restarts")));
  type($("ready").parentElement, ready < wanted ? "tile bad" : "tile");
  type($("failures").parentElement, failures > 0 ? "tile bad" : "tile");
  type($("requests").parentElement, http.errorRate > 0 ? "tile bad" : "tile");
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
    const edge = m.caller + " " + m.component, sum = between.get(edge) ?? { rate: 0, errors: 0, failures: 0 };
    between.set(edge, { rate: sum.rate + m.rate, errors: sum.errors + m.errorRate, failures: sum.failures + m.failureRate });
  }
  for (const [edge, { line, tip, label }] of graph.lines) {
    const { rate, errors, failures } = between.get(edge) ?? { rate: 0, errors: 0, failures: 0 };
    const [from, to] = edge.split(" ");
    const local = !between.has(edge) && s.groups.some(g => g.components.includes(from) && g.components.includes(to));
    line.setAttribute("class", "edge" + (failures > 0 ? " bad" : rate > 0 ? " on" : local ? " local" : ""));
    line.style.strokeWidth = (1.5 + Math.min(4, Math.log10(1 + rate) * 1.5)).toFixed(2) + "px";
    line.setAttribute("marker-end", rate > 0 ? "url(#arrow-on)" : "url(#arrow)");
    set(label, rate > 0 ? `${count(rate)}/s` : local ? "local" : "");
    set(tip, local ? `${from} calls ${to} in the same process: not measured` :
      `${from} calls ${to}: ${count(rate)} calls, ${count(errors)} errors and ${count(failures)} failures per second`);
  }
  graph.picture.setAttribute("aria-label", `${names.length} components; ` +
    s.edges.map(e => `${e.from} calls ${e.to}`).join(", "));
}

function showReplicas(data, showLogOf) {
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
        { text: item.name, more: `version ${item.version.slice(0, 8)}`, press: () => showLogOf(item.name) },
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
  set($("quiet"), "Nobody has called anything yet.");
  rows($("methods"), list, m => m.key, true, m => [
    { text: `${m.component}.${m.method}` },
    { text: m.caller },
    { text: count(m.rate), type: m.rate > 0 ? "n" : "n zero" },
    { text: count(m.errorRate), type: m.errorRate > 0 ? "n" : "n zero" },
    { text: count(m.failureRate), type: m.failureRate > 0 ? "n bad" : "n zero" },
    ...[.5, .99].map(share => quantile(share, m.bounds, m.times)).map(ms => ({ text: millis(ms), type: ms === null ? "n zero" : "n" })),
    { text: m.count.toLocaleString("en"), type: "n" },
  ]);
}

// showApplication shows an application, whose replicas have logs.
export function showApplication(data, showLogOf) {
  const { list, http } = rates(data);
  showTiles(data, list, http);
  showGraph(data, list);
  showReplicas(data, showLogOf);
  showMethods(list);
}

// forgetApplication has what comes next be of another application.
export function forgetApplication() {
  samples.length = history.length = 0;
  graph = null;
  drawn = "";
  $("graph").replaceChildren();
}
