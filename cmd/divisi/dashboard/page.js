import { $, age, ask, element, keep, mood, period, rows, set, shown, type } from "/parts.js";
import { forgetApplication, showApplication } from "/application.js";
import { showProgram } from "/program.js";

// showApps shows all that runs, to choose from.
function showApps(data) {
  $("apps").hidden = data.apps.length < 2;
  keep($("apps").firstChild, data.apps, app => app.app, app => {
    const item = element("li"), link = element("a");
    link.href = "#" + encodeURIComponent(app.app);
    link.append(element("span"), element("span", "name", app.app), element("span", "badge"), element("span", "unseen"));
    item.append(link);
    return item;
  }, (item, app) => {
    const link = item.firstChild, open = app.questions ?? 0;
    link.ariaCurrent = app.app === data.of ? "page" : null;
    const [dot, , badge, says] = link.children;
    type(dot, "dot " + (mood[app.state] ?? ""));
    set(badge, open ? String(open) : "");
    badge.hidden = open === 0;
    badge.ariaHidden = "true";
    set(says, `, ${app.state}${open ? `, asks ${open === 1 ? "a question" : `${open} questions`}` : ""}`);
  });
}

function showHeader(data) {
  const s = data.status;
  const open = data.program?.questions.length ?? 0;
  document.title = `${open ? `(${open}) ` : ""}${s.app} · Divisi`;
  set($("app"), s.app);
  set($("state"), s.state);
  type($("state"), "chip " + (mood[s.state] ?? ""));
  set($("version"), s.version.slice(0, 12) || "–");
  $("version").title = s.version;
  set($("pid"), String(s.controller.pid || "–"));
  showResume(s);
  $("metrics").href = "/metrics?" + new URLSearchParams({ of: s.app });
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

// showResume says what somebody has to do about what nobody decides about.
function showResume(s) {
  $("resume").hidden = !s.unattended;
  set($("resume"), s.again && !s.members ? `Nobody decides about ${s.app}. Run the program that it is a part of again: ${s.again}`
    : s.again ? `${s.app} does not run, and its servers do. Run it again: ${s.again}`
      + (s.unseen ? `. Its servers on ${s.unseen.join(", ")} are not seen until then.` : "")
    : s.unattended ? `Nobody decides about ${s.app}: divisi attach ${s.app} goes on with it.` : "");
}

function showEvents(data) {
  const latest = data.events.slice(-40).reverse();
  rows($("events"), latest, e => e.time + e.kind + (e.name ?? ""), false, e => [
    { text: new Date(e.time).toLocaleTimeString("en-GB") },
    { text: e.kind, chip: "chip " + (e.kind === "exited" && e.asked ? "" : mood[e.kind] ?? "") },
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
  set($("silent"), "Nothing has been logged, or nothing that is chosen.");
  rows($("log"), latest, e => e.key, false, e => [
    { text: new Date(e.time).toLocaleTimeString("en-GB") },
    { text: e.level, chip: "chip " + (levels[e.level] ?? "") },
    { text: e.replica ?? "" },
    { text: e.text, type: "text" },
  ]);
}

// choices puts what may be chosen into a menu, behind "all".
function choices(menu, names) {
  const key = JSON.stringify(names), chosen = menu.value;
  if (menu.dataset.key === key) return;
  menu.dataset.key = key;
  const options = [...new Set(chosen && !names.includes(chosen) ? [chosen, ...names] : names)].map(n => new Option(n));
  menu.replaceChildren(menu.options[0], ...options);
  menu.value = chosen;
}

function showChoices(status) {
  choices($("replica"), [...new Set(status.replicas.map(r => r.name))]);
  choices($("component"), [...new Set(status.groups.flatMap(g => g.components))]);
}

// showLogOf shows the log of one replica.
function showLogOf(replica) {
  $("replica").value = replica;
  $("log-title").scrollIntoView();
  updateLog().catch(() => {});
}

const fields = ["replica", "component", "text", "level"];
let asked = 0; // how often: only the last answer is shown

async function updateLog() {
  const mine = ++asked;
  const entries = await ask("/log", Object.fromEntries(fields.map(f => [f, $(f).value])));
  if (mine === asked) showLog(entries);
}

$("filter").addEventListener("input", () => updateLog().catch(() => {})); // the next look says what is wrong
$("filter").addEventListener("submit", e => e.preventDefault());

// The log is read from files each time, so it is asked for only while it can be seen.
let logSeen = false;
new IntersectionObserver(changes => { logSeen = changes.at(-1).isIntersecting; }).observe($("log").closest("section"));

// The looks.

let failures = 0, next;

// wanted returns the name of what is to be shown, which is in the address; "" is what the page shows first.
function wanted() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

// turn has the page be about something else.
function turn(of) {
  shown.of = of;
  forgetApplication();
  for (const field of ["replica", "component"]) $(field).value = "";
  rows($("log"), [], String, false, () => []);
}

function show(data) {
  showApps(data);
  if (data.of !== shown.of) turn(data.of);
  if (data.of === "") {
    set($("app"), "Divisi");
    set($("state"), "nothing runs");
    type($("state"), "chip");
    document.body.dataset.kind = "none";
    $("resume").hidden = true;
    return;
  }
  if (!data.status) throw new Error(data.problem);
  for (const part of ["listeners", "groups", "replicas", "edges", "members"]) data.status[part] ??= [];
  for (const r of data.status.replicas) r.components ??= [];
  document.body.dataset.kind = data.program ? "program" : "application";
  showHeader(data);
  if (data.program) showProgram(data, showLogOf, look);
  else showApplication(data, showLogOf);
  showEvents(data);
  showChoices(data.status);
}

let looks = 0; // only the last one is shown

async function look() {
  const mine = ++looks;
  clearTimeout(next);
  try {
    const data = await ask("/data", { of: wanted() });
    if (mine !== looks) return;
    show(data);
    if (data.of && logSeen && !document.hidden) await updateLog();
    failures = 0;
    $("lost").hidden = true;
  } catch (problem) {
    if (mine !== looks) return;
    failures++;
    if (failures >= 2) {
      set($("lost"), `${shown.of || "The page"} does not answer (${problem.message}). What is below is what was last known.`);
      $("lost").hidden = false;
      set($("state"), "not answering");
      type($("state"), "chip bad");
    }
  }
  if (mine === looks) next = setTimeout(look, document.hidden ? 5 * period : period);
}

addEventListener("hashchange", look);
look();
