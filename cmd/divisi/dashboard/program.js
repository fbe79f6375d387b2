// A program of package system: what it asks, its tree of nurseries and servers, and what it can be told. Of an ensemble
// nurseries are domains, and what it is told is so from then on.
import { $, age, element, keep, mood, rows, say, set, tell, type } from "/parts.js";

let look = () => {}; // looks at once, after something was done

let decide = () => {}; // answers what the dialog asks

// sure asks whether something is meant, and returns the answer. The dialog's event of closing says nothing: it comes late,
// when the next question may be asked already.
function sure(title, text, yes) {
  set($("sure-title"), title);
  set($("sure-text"), text);
  set($("sure-yes"), yes);
  $("sure").showModal();
  return new Promise(done => { decide = done; });
}
for (const answer of ["yes", "no"]) {
  $("sure-" + answer).addEventListener("click", () => {
    $("sure").close();
    decide(answer === "yes");
  });
}
$("sure").addEventListener("cancel", () => decide(false));

// wrong shows at a field what is wrong with its value, "" for nothing.
function wrong(form, text) {
  const at = form.querySelector(".wrong"), field = form.querySelector("input");
  set(at, text);
  at.hidden = text === "";
  if (field) field.ariaInvalid = text === "" ? null : "true";
}

// sending has a form send something, and shows what is said against it.
async function sending(form, path, order, done) {
  const buttons = [...form.querySelectorAll("button")];
  form.ariaBusy = "true";
  for (const b of buttons) b.disabled = true;
  try {
    done(await tell(path, order));
    wrong(form, "");
  } catch (problem) {
    if (form.isConnected && problem.code !== "not_found") {
      wrong(form, problem.message);
      form.querySelector("input")?.focus();
    } else {
      say(problem.message, true);
    }
  }
  form.ariaBusy = null;
  for (const b of buttons) b.disabled = false;
  look();
}

let fields = 0; // that were made

// field makes an input with its label.
function field(form, text, more = "") {
  const both = element("span", "field"), label = element("label", "", text), input = element("input");
  if (more) label.append(" ", element("span", "more", more));
  Object.assign(input, { id: `field-${++fields}`, autocomplete: "off", spellcheck: false });
  label.htmlFor = input.id;
  input.addEventListener("input", () => { input.dataset.written = "yes"; });
  both.append(label, input);
  form.append(both);
  return input;
}

function button(form, text, press, name = "") {
  const b = element("button", name, text);
  b.type = press ? "button" : "submit";
  if (press) b.addEventListener("click", press);
  form.append(b);
  return b;
}

// errorLine makes the place for what is said against a form.
function errorLine(form, input) {
  const line = element("p", "wrong");
  line.id = `wrong-${fields}`;
  line.setAttribute("role", "alert");
  line.hidden = true;
  input?.setAttribute("aria-describedby", line.id);
  form.append(line);
}

function submit(form, press) {
  form.addEventListener("submit", e => {
    e.preventDefault();
    press();
  });
}

// Questions.

function makeQuestion(q) {
  const item = element("li"), form = element("form"), line = element("div", "line");
  const answer = (kind, value, text) => sending(form, "/answer", { key: q.key, kind, value }, () => say(text));
  item.append(element("p", "asks"), element("p", "hint"), form);
  form.append(line);
  let input = null;
  if (q.type) {
    input = field(line, "your answer", q.type);
    input.placeholder = q.default ?? "";
    button(line, "Answer", null, "main");
    submit(form, () => answer("value", input.value, `${q.key} is answered`));
  }
  if (!q.type || q.default) {
    button(line, q.default ? `Retry with ${q.default}` : "Retry", () => answer("retry", "", `${q.key} is tried once more`), q.type ? "" : "main");
  }
  button(line, "Give up", async () => {
    const meant = await sure(`Give up ${q.key}?`, "The program goes on without an answer, and decides itself what that means.", "Give up");
    if (meant) answer("give-up", "", `${q.key} was given up`);
  });
  errorLine(form, input);
  return item;
}

function showQuestions(data, questions) {
  $("asked").hidden = questions.length === 0;
  keep($("questions"), questions, q => q.key + q.since, makeQuestion, (item, q) => {
    set(item.querySelector(".asks"), q.text.trim());
    set(item.querySelector(".hint"), `${q.key}, asked ${age(Date.parse(data.time) - Date.parse(q.since))} ago`);
    if (q.refused && !item.querySelector("form").ariaBusy) wrong(item.querySelector("form"), q.refused);
  });
}

// The tree.

// name returns what a server of a member is called: that of /orderd/eu/positiond is positiond@/orderd/eu.
const nameOf = path => path.slice(path.lastIndexOf("/") + 1) + "@" + path.slice(0, path.lastIndexOf("/"));
const last = path => path.slice(path.lastIndexOf("/") + 1);
const firstLine = text => text.split("\n")[0];

const busy = new Map(); // what is being done with a member, by path

let ensemble = null; // what it is to be; null for what is none

// path returns that of the member that is a server: of positiond@/orderd/eu /orderd/eu/positiond.
const pathOf = name => name.slice(name.indexOf("@") + 1) + "/" + name.slice(0, name.indexOf("@"));

const verbs = {
  stop: { ing: "Stopping…", ed: "has ended, and stays down" },
  start: { ing: "Starting…", ed: "was started" },
  restart: { ing: "Restarting…", ed: "was restarted" },
  drain: { ing: "Draining…", ed: "has ended, and stays down" },
};

async function order(verb, member) {
  const of = last(member.path);
  const texts = {
    restart: member.state === "stopped" ? `${of} starts.` : `What runs of ${of} ends, and starts again. This counts as no failure.`,
    drain: `What runs of ${of} ends in order, and stays down until it is started.`,
    stop: `${of} ends in order, and stays down until it is started, whatever is killed.`,
    start: `${of} starts, as the ensemble has it.`,
  };
  const word = { drain: "Drain", stop: "Stop", start: "Start" }[verb] ?? (member.state === "stopped" ? "Start" : "Restart");
  if (!await sure(`${word} ${of}?`, texts[verb], word)) return;
  busy.set(member.path, verbs[verb].ing);
  look();
  try {
    if (verb === "stop" || verb === "start") await tell("/ensemble", { verb, args: [nameOf(member.path)] });
    else await tell("/do", { verb, args: [member.path] });
    say(`${of} ${word === "Start" ? "was started" : verbs[verb].ed}`);
  } catch (problem) {
    say(problem.message, true);
  }
  busy.delete(member.path);
  look();
}

// what returns why a member is as it is.
function what(member, server, now) {
  const exit = server?.last_exit;
  const parts = [];
  if (member.host_state) parts.push(member.host_state === "away" ? "its keeper is away" : `its host is ${member.host_state}`);
  if (member.next_start) parts.push(`starts again in ${age(Date.parse(member.next_start) - now + 999)}`);
  if (member.failure && member.state !== "ready" && member.state !== "stopped") parts.push(firstLine(member.failure));
  else if (server?.failing && !member.host_state) parts.push(server.failing);
  else if (exit) parts.push(`${exit.text}, ${age(now - Date.parse(exit.time))} ago`);
  return parts.join(": ");
}

// kinds are what members of an ensemble are called.
const kinds = { scope: "domain", program: "ensemble" };

// about returns what a member is, where, and what for.
function about(member) {
  const kind = ensemble && kinds[member.kind] || member.kind;
  const roles = ensemble?.servers.find(s => s.name === nameOf(member.path))?.roles ?? [];
  return kind + (member.host && member.host !== "local" ? ` on ${member.host}` : "")
    + (member.kind === "server" && roles.length > 0 ? `, ${roles.join(", ")}` : "");
}

// verbOf returns what a button of a member does: a server of an ensemble is stopped and started for good.
function verbOf(button, member) {
  if (!ensemble || member.kind !== "server") return button;
  return button === "drain" ? "stop" : ensemble.servers.some(s => s.stopped && s.name === nameOf(member.path)) ? "start" : button;
}

// cells returns the row of a member, with its server if it is one.
function cells(member, server, now, showLogOf, nobody) {
  const is = member.state;
  const why = what(member, server, now), doing = busy.get(member.path);
  const log = member.kind === "server" || member.kind === "unclaimed";
  const fixed = nobody || member.kind === "program" || member.kind === "unclaimed"; // nothing can be done with it
  const act = (verb, text, hidden) => ({
    text, hidden, disabled: Boolean(doing), label: `${text} ${last(member.path)}`, press: () => order(verbOf(verb, members.get(member.path)), members.get(member.path)),
  });
  return [
    { text: last(member.path), more: about(member), tip: member.site, ...log && { press: () => showLogOf(nameOf(member.path)) } },
    { text: is, chip: "chip " + (member.host_state ? "warn" : mood[is] ?? "") }, // where nobody knows it is the last one
    { text: server?.pid ? String(server.pid) : "–", type: server?.pid ? "n" : "n zero" },
    { text: server?.version || "–", type: server?.version ? "mono" : "zero" },
    { text: String(member.restarts), type: member.restarts ? "n" : "n zero" },
    { text: member.since ? age(now - Date.parse(member.since)) : "–", type: member.since ? "n" : "n zero" },
    { text: why || "–", type: why ? "text" : "text zero", tip: member.failure },
    { text: doing ?? "", type: "acts", buttons: [
      act("restart", is === "stopped" ? "Start" : "Restart", fixed),
      act("drain", ensemble && member.kind === "server" ? "Stop" : "Drain", is === "stopped" || fixed),
    ] },
  ];
}

let members = new Map(); // by path

// addStopped adds the servers of an ensemble that are stopped, each behind what is there of its domain.
function addStopped(items) {
  for (const { name } of ensemble?.servers.filter(s => s.stopped) ?? []) {
    const path = pathOf(name), domain = path.slice(0, path.lastIndexOf("/"));
    if (items.some(item => item.member.path === path)) continue; // it is ending
    const at = items.findLastIndex(item => item.member.path === domain || item.member.path.startsWith(domain + "/"));
    items.splice(at < 0 ? items.length : at + 1, 0, { member: { path, kind: "server", state: "stopped", restarts: 0, failure: "" } });
  }
}

function showTree(data, showLogOf) {
  const s = data.status, now = Date.parse(data.time);
  const servers = new Map(s.replicas.map(r => [r.name, r]));
  const items = s.members.map(m => ({ member: m, server: servers.get(nameOf(m.path)) }));
  if (items.length > 0) items[0].server = { pid: s.controller.pid, version: s.version }; // of the program itself
  const claimed = new Set(s.members.map(m => nameOf(m.path)));
  for (const r of s.replicas.filter(r => !claimed.has(r.name))) {
    items.push({ server: r, member: { path: `${r.group}/${r.name.split("@")[0]}`, kind: "unclaimed", since: r.started, restarts: r.restarts,
      state: s.state === "starting" ? r.state : "unclaimed", failure: "" } });
  }
  addStopped(items);
  members = new Map(items.map(item => [item.member.path, item.member]));
  rows($("tree"), items, item => item.member.path, true, item => cells(item.member, item.server, now, showLogOf, s.unattended));
  items.forEach(({ member, server }, i) => {
    const row = $("tree").tBodies[0].rows[i], depth = member.path.slice(s.domain.length).split("/").length - 1;
    type(row, member.kind);
    row.cells[0].style.setProperty("--depth", depth);
    if (server?.name) row.dataset.server = server.name;
  });
  return items;
}

function showTiles(items, questions) {
  const of = kind => items.filter(item => kind(item.member)).length;
  const isServer = m => m.kind === "server", ready = of(m => isServer(m) && m.state === "ready" && !m.host_state);
  const tile = (id, n, bad) => {
    set($(id), String(n));
    type($(id).parentElement, n > 0 && bad ? "tile " + bad : "tile");
  };
  tile("serversReady", `${ready} of ${of(isServer)}`);
  tile("coming", of(m => ["starting", "backoff", "draining", "stopping"].includes(m.state) && m.kind !== "program"), "warn");
  tile("down", of(m => ["failed", "hung"].includes(m.state)), "bad");
  tile("unclaimed", of(m => m.state === "unclaimed"), "warn");
  tile("again", items.reduce((sum, item) => sum + item.member.restarts, 0));
  tile("open", questions.length, "warn");
}

// Values and verbs.

function makeValue(v) {
  const form = element("form"), name = element("b", "", v.name), line = element("div", "line");
  form.append(name, line);
  const input = field(line, v.type);
  name.id = `name-${fields}`;
  input.setAttribute("aria-labelledby", name.id);
  button(line, "Set").ariaLabel = `Set ${v.name}`;
  errorLine(form, input);
  const [path, verb] = v.scales ? ["/ensemble", "scale"] : ["/do", "set"];
  submit(form, async () => {
    if (v.scales && !await sure(`Have ${input.value} of ${v.name}?`, "The last ones stop first, and new ones start. It is so from then on.", "Scale")) return;
    sending(form, path, { verb, args: [v.name, input.value] }, () => {
      input.dataset.written = "";
      say(`${v.name} is ${input.value}`);
    });
  });
  return form;
}

function showValues(values) {
  $("values").closest("section").hidden = values.length === 0;
  keep($("values"), values, v => v.name, makeValue, (form, v) => {
    const input = form.querySelector("input");
    if (!input.dataset.written && input !== document.activeElement) input.value = v.value;
  });
}

// words returns what is meant by a text in the place of several arguments.
const words = text => text.split(/\s+/).filter(Boolean);

function makeVerb(v) {
  const form = element("form"), line = element("div", "line"), result = element("output");
  form.append(element("b", "", v.name), line);
  const inputs = v.takes.map(a => ({ input: field(line, a.name, a.wants + (a.many ? ", any number of times" : "")), several: a.many }));
  button(line, "Run").ariaLabel = `Run ${v.name}`;
  errorLine(form, inputs[0]?.input);
  form.append(result);
  submit(form, () => {
    set(result, "");
    const args = inputs.flatMap(({ input, several }) => several ? words(input.value) : [input.value]);
    sending(form, "/do", { verb: v.name, args }, answer =>
      set(result, answer === null ? "done" : typeof answer === "string" ? answer : JSON.stringify(answer, null, 2)));
  });
  return form;
}

function showVerbs(list) {
  $("verbs").closest("section").hidden = list.length === 0;
  keep($("verbs"), list, v => JSON.stringify([v.name, v.takes]), makeVerb, (form, v) => { form.title = v.help || v.site; });
}

// showProgram shows a program, whose servers have logs. Look has the page look again at once.
export function showProgram(data, showLogOf, lookAgain) {
  look = lookAgain;
  const { questions, values, verbs } = data.program;
  ensemble = data.ensemble ?? null;
  set($("tree-title"), ensemble ? "Domains and servers" : "Nurseries and servers");
  const numbers = data.status.unattended ? [] : ensemble?.numbers ?? [];
  showQuestions(data, questions);
  showTiles(showTree(data, showLogOf), questions);
  showValues([...numbers.map(n => ({ name: n.of, type: "number of servers", value: String(n.number), scales: true })), ...values ?? []]);
  showVerbs(verbs);
}
