// The call graph as SVG: layers from the left to the right, in the way of Sugiyama. An edge over
// several layers goes through a bend in each of those between, so that it crosses no node.

const width = 168, height = 44, gapX = 78, gapY = 18, bendHeight = 12;

export function svg(name, attributes = {}, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// depths returns the layer of every node: one more than that of its deepest caller. An edge that
// closes a circle does not count.
function depths(names, edges) {
  const depth = new Map(), open = new Set();
  const visit = (name, d) => {
    if (open.has(name) || (depth.get(name) ?? -1) >= d) return;
    depth.set(name, d);
    open.add(name);
    for (const e of edges) if (e.from === name) visit(e.to, d + 1);
    open.delete(name);
  };
  const called = new Set(edges.filter(e => e.from !== e.to).map(e => e.to));
  for (const name of names) if (!called.has(name)) visit(name, 0);
  for (const name of names) if (!depth.has(name)) visit(name, 0);
  return depth;
}

// arrange places nodes and bends: it returns the boxes by name, and for every edge the boxes that
// it goes through.
function arrange(names, edges) {
  const depth = depths(names, edges), layers = [];
  const put = box => (layers[box.layer] ??= []).push(box);
  const boxes = new Map();
  for (const name of names) {
    const box = { name, layer: depth.get(name), next: [], before: [], high: height };
    boxes.set(name, box);
    put(box);
  }
  const ways = edges.map(edge => {
    const from = boxes.get(edge.from), to = boxes.get(edge.to), way = [from];
    for (let layer = from.layer + 1; layer < to.layer; layer++) {
      const bend = { layer, next: [], before: [], high: bendHeight };
      put(bend);
      way.push(bend);
    }
    way.push(to);
    for (let i = 1; i < way.length && from.layer < to.layer; i++) {
      way[i - 1].next.push(way[i]);
      way[i].before.push(way[i - 1]);
    }
    return { edge, way };
  });
  // Boxes move to the middle of their neighbours, until that changes little.
  const middle = (list, box) => list.length ? list.reduce((sum, b) => sum + b.rank, 0) / list.length : box.rank;
  const number = layer => layer.forEach((box, i) => { box.rank = (i + .5) / layer.length; });
  layers.forEach(number);
  for (let round = 0; round < 12; round++) {
    const down = round % 2 === 0;
    for (const layer of down ? layers : layers.toReversed()) {
      const wish = new Map(layer.map(box => [box, middle(down ? box.before : box.next, box)]));
      layer.sort((a, b) => wish.get(a) - wish.get(b));
      number(layer);
    }
  }
  const tall = layer => layer.reduce((sum, box) => sum + box.high + gapY, -gapY);
  const total = Math.max(...layers.map(tall));
  layers.forEach((layer, i) => {
    let y = (total - tall(layer)) / 2;
    for (const box of layer) {
      box.x = i * (width + gapX);
      box.y = y + box.high / 2;
      y += box.high + gapY;
    }
  });
  return { boxes, ways, total, across: layers.length * (width + gapX) - gapX };
}

// path draws a smooth line through boxes.
function path(way) {
  const from = way[0], to = way.at(-1);
  if (from === to) {
    const x = from.x + width - 20, y = from.y - height / 2;
    return `M${x} ${y}c0 -22 34 -22 34 0s-10 22 -16 22`;
  }
  if (from.layer >= to.layer) { // back, below everything between
    const y = Math.max(from.y, to.y) + height / 2 + gapY / 2;
    return `M${from.x + width} ${from.y}C${from.x + width + 50} ${y} ${to.x - 50} ${y} ${to.x - 6} ${to.y}`;
  }
  let d = "", x = from.x + width, y = from.y;
  d += `M${x} ${y}`;
  for (const box of way.slice(1)) {
    const end = box === to ? box.x - 6 : box.x;
    const half = (end - x) / 2;
    d += `C${x + half} ${y} ${end - half} ${box.y} ${end} ${box.y}`;
    x = end;
    y = box.y;
    if (box !== to) {
      x += width;
      d += `H${x}`;
    }
  }
  return d;
}

// draw returns the picture, and functions that change what is in it with time.
export function draw(names, edges) {
  const { boxes, ways, total, across } = arrange(names, edges);
  const pad = 14;
  const w = across + 2 * pad, h = total + 2 * pad;
  const arrow = (id, type) => svg("marker", { id, class: type, viewBox: "0 0 8 8", refX: 2, refY: 4,
    markerWidth: 8, markerHeight: 8, orient: "auto", markerUnits: "userSpaceOnUse" },
    svg("path", { d: "M0 0L8 4L0 8z" }));
  const picture = svg("svg", { viewBox: `${-pad} ${-pad} ${w} ${h}`, width: w, role: "img" },
    svg("defs", {}, arrow("arrow", ""), arrow("arrow-on", "on")));
  picture.style.maxWidth = "100%";
  picture.style.minWidth = `${Math.min(w, 760)}px`;
  const lines = new Map(), nodes = new Map(), labels = [];
  for (const { edge, way } of ways) {
    const line = svg("path", { class: "edge", d: path(way), "marker-end": "url(#arrow)" });
    const tip = svg("title");
    line.append(tip);
    picture.append(line);
    // The rate stands where the edge leaves its first gap: edges are apart there.
    const near = way[1];
    const label = svg("text", { class: "rate", x: near.x - gapX * .3, y: near.y + 4 - (near.y - way[0].y) * .12 });
    labels.push(label);
    lines.set(edge.from + " " + edge.to, { line, tip, label });
  }
  const last = name => name.slice(name.lastIndexOf(".") + 1);
  for (const box of boxes.values()) {
    const name = svg("text", { class: "name", x: 12, y: 19 });
    const under = svg("text", { class: "under", x: 12, y: 35 });
    const tip = svg("title");
    const plain = names.filter(other => last(other) === last(box.name)).length === 1 ? last(box.name) : box.name;
    name.textContent = plain.length > 17 ? plain.slice(0, 16) + "…" : plain;
    const node = svg("g", { class: "node", "data-node": box.name, transform: `translate(${box.x} ${box.y - height / 2})` },
      tip, svg("rect", { width, height, rx: 9 }), name, under);
    picture.append(node);
    nodes.set(box.name, { node, under, tip });
  }
  picture.append(...labels);
  return { picture, lines, nodes };
}
