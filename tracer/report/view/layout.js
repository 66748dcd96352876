"use strict";
// Where every node stands, and what is linked to what. Nothing here draws.

const GRAPH_MARGIN = { top: 34, right: 14, bottom: 74, left: 44 };

const GRAPH_WIDEST = 16;

/**
 * Token columns as wide as their fullest layer, up to a width: one crowded layer would push all others
 * together. A cell holds the nodes of one place, the most influential first; they stand from the right.
 */
function graphLayout(data) {
  const places = d3.group(data.nodes.keys(), (i) => data.nodes[i].position, (i) => data.nodes[i].layer);
  const cells = [];
  const columns = [];
  let start = 0;
  for (const position of d3.sort(places.keys())) {
    const rows = [...places.get(position).values()];
    const width = Math.min(GRAPH_WIDEST, d3.max(rows, (row) => row.length)) + 1;
    for (const row of rows) {
      const order = d3.sort(row, (a, b) => data.nodes[b].influence - data.nodes[a].influence);
      cells.push({ order, layer: data.nodes[order[0]].layer, right: start + width - 0.75, room: width - 1 });
    }
    columns.push({ position, token: data.tokens[position], start, width });
    start += width;
  }
  return { cells, columns, width: Math.max(start, 1), nRows: data.nLayers + 2 };
}

/**
 * Where the nodes of a cell stand, in units left of its right end, and how many: those that fit side by
 * side at `perUnit` pixels a unit. The others are counted in their place until one zooms in.
 */
function graphLane(cell, perUnit, diameter) {
  const n = cell.order.length;
  const fits = Math.max(1, Math.floor((cell.room * perUnit) / diameter));
  if (n <= fits) return { n, step: Math.min(1, n > 1 ? (cell.room - diameter / perUnit) / (n - 1) : 1) };
  return { n: Math.max(1, fits - 2), step: diameter / perUnit };
}

/** Links of each node, strongest first as they come. */
function graphAdjacency(data) {
  const into = data.nodes.map(() => []);
  const from = data.nodes.map(() => []);
  for (const link of data.links) {
    into[link.target].push(link);
    from[link.source].push(link);
  }
  return { into, from };
}

/**
 * What enters and leaves a selection: per outside node the summed weight, as a share of Σ |edges|
 * into the selection (inputs) or into that node (outputs). Of a sum of several links neither heads nor prompts are told.
 */
function graphConnections(data, adjacency, selected) {
  const inside = (i) => selected.has(i);
  const add = (sums, node, { weight, heads, on }) => {
    const sum = sums.get(node);
    sums.set(node, { weight: (sum?.weight ?? 0) + weight, heads: sum ? undefined : heads, on: sum ? undefined : on });
  };
  const inputs = new Map();
  const outputs = new Map();
  for (const i of selected) {
    for (const link of adjacency.into[i]) if (!inside(link.source)) add(inputs, link.source, link);
    for (const link of adjacency.from[i]) if (!inside(link.target)) add(outputs, link.target, link);
  }
  const total = d3.sum(selected, (i) => data.nodes[i].input);
  const rows = (sums, whole) =>
    d3.sort(
      Array.from(sums, ([node, { weight, heads, on }]) => ({ node, weight, heads, on, share: whole(node) ? weight / whole(node) : 0 })),
      (row) => -Math.abs(row.share),
    );
  return {
    inputs: rows(inputs, () => total),
    outputs: rows(outputs, (node) => data.nodes[node].input),
  };
}

/**
 * Rows of connections added up by supernode, or by what kind of node they are where they are in none. What a
 * group receives is a share of everything that enters its rows' nodes; what it sends, of the selection's input.
 */
function graphTotals(data, rows, receives) {
  const kinds = {
    feature: "other features",
    head: "heads",
    attention: "attention features",
    error: "errors",
    "attention-error": "errors of attention",
    token: "tokens",
    logit: "outputs",
  };
  const found = new Map();
  for (const { node, weight, share } of rows) {
    const [first] = data.nodes[node].supernodes;
    const label = first === undefined ? kinds[data.nodes[node].kind] : data.supernodes[first].label;
    const total = found.get(label) ?? { label, nodes: [], weight: 0, share: 0 };
    total.nodes.push(node);
    total.weight += weight;
    total.share += share;
    found.set(label, total);
  }
  if (receives) {
    for (const total of found.values()) {
      const whole = d3.sum(total.nodes, (i) => data.nodes[i].input);
      total.share = whole ? total.weight / whole : 0;
    }
  }
  return d3.sort(found.values(), (total) => -Math.abs(total.share));
}

/** The node nearest to a point in pixels, within a reach; −1 where there is none. */
function graphNearest(points, shown, x, y, reach) {
  let best = -1;
  let least = reach * reach;
  points.forEach(([px, py], i) => {
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (shown(i) && distance < least) [best, least] = [i, distance];
  });
  return best;
}

/** The nearest node in the direction of an arrow key; the one itself where there is none. */
function graphNeighbour(points, shown, from, key) {
  const [ax, ay] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = from;
  let least = Infinity;
  points.forEach(([px, py], i) => {
    const [dx, dy] = [px - points[from][0], py - points[from][1]];
    const along = dx * ax + dy * ay;
    if (i === from || !shown(i) || along < 0.5) return;
    const cost = along + 3 * Math.abs(dx * ay) + 3 * Math.abs(dy * ax);
    if (cost < least) [best, least] = [i, cost];
  });
  return best;
}

/** The JSON as Python writes it, with objects for links and what is looked up often. */
function graphParse(raw) {
  const links = raw.links.map(([source, target, weight, share], i) => ({ source, target, weight, share, heads: raw.heads?.[i], on: raw.on?.[i] }));
  const byId = new Map(raw.nodes.map((node, i) => [node.id, i]));
  const members = raw.supernodes.map(() => []);
  raw.nodes.forEach((node, i) => node.supernodes.forEach((n) => members[n].push(i)));
  return { ...raw, links, byId, members, nLayers: raw.n_layers };
}
