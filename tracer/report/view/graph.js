"use strict";
// The interactive attribution graph: token columns, layer rows, links on a canvas under SVG nodes.
// `mountGraph` is idempotent: the same graph again only takes over the selection and the threshold.

const GRAPH_STRONGEST = 300;
const GRAPH_RADIUS = 4;
const GRAPH_DIAMETER = 9;
const GRAPH_MANY = 12; // of so many selected nodes, links are drawn as totals
const GRAPH_HUES = 8; // of supernodes; the outlines' dashes tell apart what an eye may not
const GRAPH_SHAPES = {
  feature: d3.symbolCircle,
  head: d3.symbolStar,
  attention: d3.symbolTriangle,
  error: d3.symbolDiamond,
  "attention-error": d3.symbolDiamond,
  token: d3.symbolSquare,
  logit: d3.symbolSquare,
};
const GRAPH_ZOOM = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 };

/**
 * Show a graph in an element.
 *
 * raw: the data of a graph, as the page carries it. options: `onSelect(ids)` and `onPrune(threshold)` are told
 * of what a person did; `selected` (ids) and `threshold` (0 to 1) set it from outside. Ids that the graph does
 * not have are left out.
 */
function mountGraph(element, raw, options = {}) {
  if (element.graphView?.data.hash !== raw.hash) {
    const before = element.graphView;
    before?.destroy();
    element.graphView = new GraphView(element, graphParse(raw));
    if (before) element.graphView.take(before.chosen());
  }
  element.graphView.take(options);
  return element.graphView;
}

class GraphView {
  constructor(element, data) {
    Object.assign(this, { data, selected: new Set(), threshold: 1, query: "", hovered: -1, focused: -1, token: -1 });
    this.layout = graphLayout(data);
    this.adjacency = graphAdjacency(data);
    this.transform = d3.zoomIdentity;
    this.options = {};
    this.build(element);
    this.listen();
    this.restyle();
  }

  /** Take over what the outside says; a person's own choices since then are not undone by silence. */
  take(options) {
    this.options = options;
    if (options.threshold !== undefined) this.setThreshold(options.threshold, false);
    if (options.selected) {
      const wanted = options.selected.map((id) => this.data.byId.get(id)).filter((i) => i !== undefined);
      this.select(wanted, false);
    }
  }

  /** What a person chose, as options: kept where the same nodes are drawn again with other groups. */
  chosen() {
    return { selected: [...this.selected].map((i) => this.data.nodes[i].id), threshold: this.threshold };
  }

  destroy() {
    this.stop.abort();
    this.resizing.disconnect();
    this.root.remove();
  }

  // ---- what is there -------------------------------------------------------------------------

  build(element) {
    const { data } = this;
    this.search = graphElement("input", { type: "search", "aria-label": "Search nodes", placeholder: "Search nodes" });
    this.slider = graphElement("input", { type: "range", min: 5, max: 100, value: 100, "aria-label": "Share of influence shown" });
    this.told = graphElement("output", {});
    this.tokens = graphElement("select", { "aria-label": "Zoom to a token" }, graphElement("option", { value: -1 }, "all tokens"));
    this.layout.columns.forEach((column, n) => this.tokens.append(graphElement("option", { value: n }, `${column.position} ${graphShort(column.token, 24)}`)));
    this.live = graphElement("p", { class: "gv-hidden", "aria-live": "polite" });
    this.hint = graphElement("div", { class: "gv-hint", "aria-hidden": "true" });
    this.hint.hidden = true;
    this.canvas = graphElement("canvas", { "aria-hidden": "true" });
    this.stage = graphElement("div", { class: "gv-stage" }, this.canvas, this.hint);
    this.side = graphElement("div", { class: "gv-side", role: "region", tabindex: "0", "aria-label": "Selected node and its connections" });
    const tools = graphElement(
      "div",
      { class: "gv-tools", role: "group", "aria-label": "Graph controls" },
      this.search,
      graphElement("label", {}, "nodes carrying ", this.slider, " ", this.told),
      this.tokens,
      ...this.buttons(),
    );
    this.root = graphElement("div", { class: "gv" }, tools, this.chips(), graphElement("div", { class: "gv-main" }, this.stage, this.side), this.live);
    this.buildSvg();
    element.append(this.root);
    this.root.setAttribute("data-nodes", data.nodes.length);
  }

  buttons() {
    const make = (text, label, act) => {
      const button = graphElement("button", { type: "button", "aria-label": label, title: label }, text);
      button.addEventListener("click", act);
      return button;
    };
    return [
      make("+", "Zoom in", () => this.zoomBy(1.5)),
      make("\u2212", "Zoom out", () => this.zoomBy(1 / 1.5)),
      make("whole", "Show the whole graph", () => this.zoomReset()),
      make("clear", "Clear the selection", () => this.select([])),
    ];
  }

  /** A button for each supernode: it selects the members. */
  chips() {
    const row = graphElement("div", { class: "gv-chips", role: "group", "aria-label": "Supernodes" });
    this.data.supernodes.forEach((supernode, n) => {
      const members = this.data.members[n];
      const text = `${supernode.label} (${members.length} of ${supernode.n_features})`;
      const button = graphElement("button", { type: "button", class: `gv-hue-${n % GRAPH_HUES}` }, text);
      button.disabled = !members.length;
      button.addEventListener("click", () => this.select(members));
      row.append(button);
    });
    row.hidden = !this.data.supernodes.length;
    return row;
  }

  buildSvg() {
    const { data, layout } = this;
    this.svg = d3.create("svg").attr("class", "gv-svg").attr("role", "group").attr("aria-label", data.title);
    this.axes = this.svg.append("g").attr("aria-hidden", "true");
    this.rows = this.axes.selectAll("g.gv-layer").data(d3.range(layout.nRows)).join("g").attr("class", "gv-layer");
    this.rows.append("rect").attr("class", "gv-band");
    this.rows.append("text").attr("text-anchor", "end").text((row) => this.rowName(row));
    this.columns = this.axes.selectAll("g.gv-column").data(layout.columns).join("g").attr("class", "gv-column");
    this.columns.append("line");
    this.columns.append("text").attr("text-anchor", "end").attr("class", "gv-token-name").text((column) => graphShort(column.token, 16))
      .on("pointerdown", (event) => event.stopPropagation())
      .on("click", (_, column) => this.zoomTo(this.token < 0 ? this.layout.columns.indexOf(column) : -1));
    this.folded = this.axes.append("g");
    this.outputs = this.axes.append("text").attr("class", "gv-outputs").attr("text-anchor", "end");
    this.hulls = this.svg.append("g").attr("aria-hidden", "true");
    this.list = this.svg.append("g").attr("role", "listbox").attr("aria-multiselectable", "true").attr("aria-label", "Nodes; arrows move, Enter selects");
    this.marks = this.list.selectAll("g").data(data.nodes).join("g")
      .attr("class", (node) => `gv-node gv-${node.kind}`)
      .attr("role", "option").attr("tabindex", -1).attr("aria-selected", "false")
      .attr("aria-label", (node) => this.spoken(node));
    this.marks.append("path").attr("d", (node) => d3.symbol(GRAPH_SHAPES[node.kind], 56)());
    this.box = this.svg.append("rect").attr("class", "gv-box").attr("visibility", "hidden");
    this.stage.append(this.svg.node());
  }

  rowName(row) {
    if (row === 0) return "token";
    if (row === this.layout.nRows - 1) return "output";
    return `L${row - 1}`;
  }

  spoken(node) {
    const groups = node.supernodes.map((n) => this.data.supernodes[n].label).join(", ");
    return `${graphName(node)}, influence ${(100 * node.influence).toFixed(1)} %${groups ? `, in ${groups}` : ""}`;
  }

  /** Whether the threshold leaves a node; ends, members of supernodes and the selection always stay. */
  shown = (i) => {
    const node = this.data.nodes[i];
    return node.rank <= this.threshold || node.kind === "token" || node.kind === "logit" || node.supernodes.length > 0 || this.selected.has(i);
  };

  /** Whether a node is drawn: shown, and not folded into its cell's count for want of room. */
  seen = (i) => this.shown(i) && (!this.hiding[i] || this.selected.has(i) || this.isMatch(this.data.nodes[i]));

  // ---- what a person does --------------------------------------------------------------------

  listen() {
    this.stop = new AbortController();
    const on = (target, type, act) => target.addEventListener(type, act, { signal: this.stop.signal });
    on(this.search, "input", () => this.find(this.search.value));
    on(this.search, "keydown", (event) => { if (event.key === "Enter") this.select(this.matches()); });
    on(this.slider, "input", () => this.setThreshold(this.slider.value / 100));
    on(this.tokens, "change", () => this.zoomTo(Number(this.tokens.value)));
    on(document, "keydown", (event) => this.escape(event));
    for (const query of ["(prefers-color-scheme: dark)", "print"]) on(window.matchMedia(query), "change", () => this.restyle());
    const svg = this.svg.node();
    on(svg, "pointerdown", (event) => this.press(event));
    on(svg, "pointermove", (event) => this.move(event));
    on(svg, "pointerup", (event) => this.release(event));
    on(svg, "pointercancel", () => this.drop());
    on(svg, "pointerleave", () => this.hover(-1));
    on(this.list.node(), "keydown", (event) => this.key(event));
    on(this.list.node(), "focusin", (event) => this.enter(d3.select(event.target).datum()));
    this.zoom = d3.zoom().scaleExtent([1, 16]).filter(graphMayZoom).on("zoom", (event) => {
      this.transform = event.transform;
      this.redraw();
    });
    this.svg.call(this.zoom).on("dblclick.zoom", null);
    this.resizing = new ResizeObserver(() => this.redraw());
    this.resizing.observe(this.stage);
  }

  /** Escape clears the search where one is written, else the selection, unless another field has the focus. */
  escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const inside = event.composedPath().includes(this.root);
    const fields = "input, select, textarea, [contenteditable], [role=dialog], [role=listbox]";
    if (!inside && event.target.closest(fields)) return;
    if (this.query) {
      this.search.value = "";
      this.find("");
    } else this.select([]);
  }

  press(event) {
    if (event.button !== 0 || event.shiftKey) return;
    const [x, y] = d3.pointer(event, this.svg.node());
    const adds = event.ctrlKey || event.metaKey;
    this.drag = { x, y, adds, moved: false, boxes: event.pointerType !== "touch" };
    if (!this.drag.boxes) this.drag.held = setTimeout(() => { if (this.drag) this.drag.adds = true; }, 500);
    if (this.drag.boxes) this.svg.node().setPointerCapture(event.pointerId);
  }

  move(event) {
    const [x, y] = d3.pointer(event, this.svg.node());
    if (!this.drag) return this.hover(graphNearest(this.points, this.seen, x, y, 14));
    if (Math.hypot(x - this.drag.x, y - this.drag.y) > 4) this.drag.moved = true;
    if (!this.drag.moved || !this.drag.boxes) return;
    const [left, top] = [Math.min(x, this.drag.x), Math.min(y, this.drag.y)];
    this.box.attr("visibility", "visible").attr("x", left).attr("y", top)
      .attr("width", Math.abs(x - this.drag.x)).attr("height", Math.abs(y - this.drag.y));
  }

  release(event) {
    const drag = this.drag;
    this.drop();
    if (!drag || (drag.moved && !drag.boxes)) return;
    const [x, y] = d3.pointer(event, this.svg.node());
    if (drag.moved) return this.select(this.inside(drag.x, drag.y, x, y), true, drag.adds);
    const node = graphNearest(this.points, this.seen, x, y, 14);
    if (node >= 0) {
      this.enter(this.data.nodes[node]);
      this.marks.nodes()[node].focus({ preventScroll: true });
      this.pick(node, drag.adds);
    } else if (!drag.adds) this.select([]);
  }

  drop() {
    clearTimeout(this.drag?.held);
    this.drag = null;
    this.box.attr("visibility", "hidden");
  }

  inside(x0, y0, x1, y1) {
    const [left, right, top, bottom] = [Math.min(x0, x1), Math.max(x0, x1), Math.min(y0, y1), Math.max(y0, y1)];
    const near = GRAPH_RADIUS;
    const holds = ([x, y]) => x >= left - near && x <= right + near && y >= top - near && y <= bottom + near;
    return d3.range(this.points.length).filter((i) => this.shown(i) && holds(this.points[i]));
  }

  key(event) {
    const at = this.focused;
    if (event.key.startsWith("Arrow")) {
      this.marks.nodes()[graphNeighbour(this.points, (i) => this.seen(i) && this.inPlot(i), at, event.key)].focus({ preventScroll: true });
    } else if (event.key === "Enter" || event.key === " ") this.pick(at, event.ctrlKey || event.metaKey);
    else if (event.key === "0") this.zoomReset();
    else if (GRAPH_ZOOM[event.key] && !event.ctrlKey && !event.metaKey) this.zoomBy(GRAPH_ZOOM[event.key]);
    else return;
    event.preventDefault();
  }

  /** Make a node the one tab stop. */
  enter(node) {
    this.focused = this.data.byId.get(node.id);
    this.marks.attr("tabindex", (_, i) => (i === this.focused ? 0 : -1));
  }

  pick(node, adds) {
    if (!adds) return this.select([node]);
    const next = new Set(this.selected);
    if (!next.delete(node)) next.add(node);
    this.select(next);
  }

  select(nodes, tells = true, adds = false) {
    const next = new Set(adds ? [...this.selected, ...nodes] : nodes);
    if (next.size === this.selected.size && [...next].every((i) => this.selected.has(i))) return;
    this.selected = next;
    this.live.textContent = next.size === 1 ? `${this.spoken(this.data.nodes[[...next][0]])} selected` : `${next.size} selected`;
    this.redraw();
    this.fill();
    if (tells) this.options.onSelect?.(Array.from(next, (i) => this.data.nodes[i].id));
  }

  setThreshold(value, tells = true) {
    const threshold = Math.min(1, Math.max(0.05, Number(value) || 1));
    if (threshold === this.threshold) return;
    this.threshold = threshold;
    this.slider.value = Math.round(100 * threshold);
    this.redraw();
    this.fill();
    if (tells) this.options.onPrune?.(threshold);
  }

  find(query) {
    this.query = query.trim().toLowerCase();
    this.redraw();
    this.live.textContent = this.query ? `${this.matches().length} match` : "";
  }

  matches() {
    if (!this.query) return [];
    return d3.range(this.data.nodes.length).filter((i) => this.shown(i) && this.isMatch(this.data.nodes[i]));
  }

  isMatch(node) {
    const groups = node.supernodes.map((n) => this.data.supernodes[n].label);
    const texts = [node.id, node.label, node.token, ...groups, ...node.facts.map(([, text]) => text)];
    return this.query !== "" && texts.some((text) => text.toLowerCase().includes(this.query));
  }

  hover(node) {
    if (node === this.hovered) return;
    this.hovered = node;
    this.hint.hidden = node < 0;
    if (node >= 0) {
      this.hint.textContent = this.spoken(this.data.nodes[node]);
      const [x, y] = this.points[node];
      this.hint.style.left = `${Math.min(x + 12, Math.max(0, this.width - this.hint.offsetWidth - 4))}px`;
      this.hint.style.top = `${y + 14}px`;
    }
    this.redraw();
  }

  zoomBy(factor) { this.svg.call(this.zoom.scaleBy, factor); }
  zoomReset() {
    this.zoomTo(-1);
    this.svg.call(this.zoom.transform, d3.zoomIdentity);
  }

  /** One token's column on the whole width; −1: all of them. */
  zoomTo(column) {
    this.token = column;
    this.tokens.value = column;
    this.svg.call(this.zoom.transform, d3.zoomIdentity);
    this.redraw();
  }

  // ---- what is drawn -------------------------------------------------------------------------

  fill() {
    graphPanel(this.side, this.data, this.adjacency, this.selected, this.shown,
      (node, event) => this.pick(node, event.ctrlKey || event.metaKey), (node) => this.hover(node), (nodes) => this.select(nodes));
  }

  restyle() {
    graphDark(this.root);
    const style = getComputedStyle(this.root);
    this.colour = Object.fromEntries(["plus", "minus"].map((name) => [name, style.getPropertyValue(`--gv-${name}`).trim()]));
    this.redraw();
    this.fill();
  }

  /** Draw at the next frame, once however often it is asked for. */
  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.root.isConnected) this.draw();
    });
  }

  draw() {
    this.place();
    this.drawAxes();
    this.drawLinks();
    this.drawHulls();
    this.drawNodes();
    const n = d3.range(this.data.nodes.length).filter(this.shown).length;
    this.told.textContent = `${Math.round(100 * this.threshold)} % of influence: ${n} nodes`;
  }

  /** Pixels of every node under the zoom. */
  place() {
    const { top, right, bottom, left } = GRAPH_MARGIN;
    this.width = Math.max(320, this.stage.clientWidth);
    this.height = Math.min(680, Math.max(340, 21 * this.layout.nRows)) + top + bottom;
    this.zoom.extent([[left, top], [this.width - right, this.height - bottom]])
      .translateExtent([[left, top], [this.width - right, this.height - bottom]]);
    const column = this.layout.columns[this.token];
    const units = column ? [column.start, column.start + column.width] : [0, this.layout.width];
    const across = d3.scaleLinear(units, [left, this.width - right]);
    const up = d3.scaleLinear([-0.5, this.layout.nRows - 0.5], [this.height - bottom, top]);
    this.across = (units) => this.transform.applyX(across(units));
    this.up = (row) => this.transform.applyY(up(row));
    const perUnit = this.across(1) - this.across(0);
    this.size = d3.median([0.55, 1.5, Math.sqrt(perUnit / 9)]);
    this.points = new Array(this.data.nodes.length);
    this.hiding = new Uint8Array(this.data.nodes.length);
    this.counts = [];
    for (const cell of this.layout.cells) {
      const lane = graphLane(cell, perUnit, GRAPH_DIAMETER * this.size);
      cell.order.forEach((node, n) => {
        const place = cell.right - lane.step * Math.min(n, lane.n);
        this.points[node] = [this.across(place), this.up(cell.layer + 1)];
        this.hiding[node] = Number(n >= lane.n);
      });
      if (cell.order.length > lane.n) this.counts.push({ cell, x: this.across(cell.right - lane.step * (lane.n - 0.4)) });
    }
    this.svg.attr("viewBox", `0 0 ${this.width} ${this.height}`).attr("width", this.width).attr("height", this.height);
  }

  drawAxes() {
    const { top, right, bottom, left } = GRAPH_MARGIN;
    const height = Math.abs(this.up(1) - this.up(0));
    const every = Math.ceil(13 / height);
    const inPlot = (y) => y > top - 2 && y < this.height - bottom + 2;
    this.rows.select("rect").attr("x", left).attr("width", this.width - left - right)
      .attr("y", (row) => d3.median([top, this.height - bottom, this.up(row + 0.5)]))
      .attr("height", (row) => Math.max(0, Math.min(this.height - bottom, this.up(row - 0.5)) - Math.max(top, this.up(row + 0.5))))
      .attr("visibility", (row) => (row % 2 ? "visible" : "hidden"));
    this.rows.select("text").attr("x", left - 6).attr("y", (row) => this.up(row) + 4)
      .attr("visibility", (row) => (inPlot(this.up(row)) && (row % every === 0 || row === this.layout.nRows - 1) ? "visible" : "hidden"));
    let last = -Infinity;
    const middle = (column) => this.across(column.start + column.width / 2);
    this.columns.select("line").attr("x1", (c) => this.across(c.start)).attr("x2", (c) => this.across(c.start))
      .attr("y1", top).attr("y2", this.height - bottom)
      .attr("visibility", (c) => (this.across(c.start) >= left ? "visible" : "hidden"));
    this.columns.select("text")
      .attr("transform", (c) => `translate(${middle(c) + 4} ${this.height - bottom + 14}) rotate(-40)`)
      .attr("visibility", (c) => {
        const x = middle(c);
        if (x < left || x > this.width || x - last < 11) return "hidden";
        last = x;
        return "visible";
      });
    const counts = this.counts.map(({ cell, x }) => ({ x, y: this.up(cell.layer + 1), n: d3.sum(cell.order, (i) => Number(this.shown(i) && !this.seen(i))) }))
      .filter(({ x, y, n }) => n > 0 && x > left && x < this.width - right && inPlot(y));
    this.folded.selectAll("text").data(counts).join("text").attr("class", "gv-count").attr("text-anchor", "end")
      .attr("x", ({ x }) => x).attr("y", ({ y }) => y + 3).text(({ n }) => `+${n}`);
    const logits = this.data.nodes.filter((node) => node.kind === "logit");
    const names = d3.sort(logits, (node) => node.influence).map((node) => node.label.replace(/^output /, ""));
    const text = names.length > 4 ? `… ${names.slice(-4).join("   ")}` : names.join("   ");
    this.outputs.attr("x", this.width - right).attr("y", 16).text(names.length ? `explained: ${text}` : "");
  }

  /** The strongest links; once something is selected, its own, and the others stay away. */
  drawLinks() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const { top, right, bottom, left } = GRAPH_MARGIN;
    pen.beginPath();
    pen.rect(left, top - 8, this.width - left - right + 8, this.height - top - bottom + 16);
    pen.clip();
    if (this.selected.size > GRAPH_MANY) return this.drawTotals(pen);
    const touched = (link) => [link.source, link.target].some((i) => this.selected.has(i) || i === this.hovered);
    const there = this.data.links.filter((link) => this.seen(link.source) && this.seen(link.target));
    const chosen = this.selected.size ? there.filter(touched) : there.slice(0, GRAPH_STRONGEST);
    if (!this.selected.size && this.hovered >= 0) chosen.push(...there.slice(GRAPH_STRONGEST).filter(touched));
    for (const link of chosen) this.drawLink(pen, link, touched(link) ? 0.85 : 0.28);
  }

  /** Of many selected nodes one line from each group that sends to them, and to each that receives. */
  drawTotals(pen) {
    const middle = (nodes) => [d3.mean(nodes, (i) => this.points[i][0]), d3.mean(nodes, (i) => this.points[i][1])];
    const found = graphConnections(this.data, this.adjacency, this.selected);
    const here = middle([...this.selected]);
    for (const total of graphTotals(this.data, found.inputs, false)) this.drawLine(pen, middle(total.nodes), here, total, 0.85);
    for (const total of graphTotals(this.data, found.outputs, true)) this.drawLine(pen, here, middle(total.nodes), total, 0.85);
  }

  drawLink(pen, link, opacity) {
    this.drawLine(pen, this.points[link.source], this.points[link.target], link, opacity);
  }

  drawLine(pen, [x0, y0], [x1, y1], link, opacity) {
    pen.globalAlpha = opacity;
    pen.strokeStyle = link.weight < 0 ? this.colour.minus : this.colour.plus;
    pen.lineWidth = Math.max(0.6, 5 * Math.sqrt(Math.abs(link.share)));
    pen.setLineDash(link.weight < 0 ? [5, 3] : []);
    pen.beginPath();
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
    pen.stroke();
  }

  drawHulls() {
    const around = (i) => d3.range(0, 8).map((n) => {
      const angle = (Math.PI * n) / 4;
      return [this.points[i][0] + 9 * Math.cos(angle), this.points[i][1] + 9 * Math.sin(angle)];
    });
    const groups = this.data.members
      .map((members, n) => ({ n, hull: d3.polygonHull(members.filter((i) => this.inPlot(i)).flatMap(around)) }))
      .filter((group) => group.hull);
    const joined = this.hulls.selectAll("g").data(groups, (group) => group.n).join((enter) => {
      const group = enter.append("g").attr("class", ({ n }) => `gv-hull gv-hue-${n % GRAPH_HUES} gv-dash-${n % 3}`);
      group.append("path");
      group.append("text");
      return group;
    });
    joined.select("path").attr("d", ({ hull }) => `M${hull.map((point) => point.map((v) => v.toFixed(1)).join(" ")).join("L")}Z`);
    joined.select("text").text(({ n }) => graphShort(this.data.supernodes[n].label, 28))
      .attr("x", ({ hull }) => Math.min(d3.min(hull, ([x]) => x), this.width - 90))
      .attr("y", ({ hull }, row) => d3.min(hull, ([, y]) => y) - 4 - 13 * this.crowd(groups, row));
  }

  /** How many labels of earlier hulls would lie where this one's does. */
  crowd(groups, row) {
    const corner = ({ hull }) => [d3.min(hull, ([x]) => x), d3.min(hull, ([, y]) => y)];
    const [x, y] = corner(groups[row]);
    return groups.slice(0, row).map(corner).filter(([ox, oy]) => Math.abs(ox - x) < 90 && Math.abs(oy - y) < 13).length;
  }

  inPlot(i) {
    const { top, right, bottom, left } = GRAPH_MARGIN;
    const [x, y] = this.points[i];
    return x >= left - 4 && x <= this.width - right + 4 && y >= top - 4 && y <= this.height - bottom + 4;
  }

  drawNodes() {
    const { selected } = this;
    const share = new Map();
    if (selected.size) {
      const found = graphConnections(this.data, this.adjacency, selected);
      for (const row of [...found.inputs, ...found.outputs]) share.set(row.node, row.share);
    }
    const { size } = this;
    const seen = (i) => this.seen(i) && this.inPlot(i);
    if (this.focused < 0 || !seen(this.focused)) this.enter(this.data.nodes[d3.range(this.points.length).findLast(seen)] ?? { id: "" });
    this.marks
      .attr("transform", (_, i) => `translate(${this.points[i][0].toFixed(1)} ${this.points[i][1].toFixed(1)}) scale(${size.toFixed(2)})`)
      .attr("display", (_, i) => (seen(i) ? null : "none"))
      .attr("aria-selected", (_, i) => String(selected.has(i)))
      .classed("gv-selected", (_, i) => selected.has(i))
      .classed("gv-found", (node) => this.isMatch(node))
      .classed("gv-hovered", (_, i) => i === this.hovered)
      .classed("gv-faint", (_, i) => selected.size > 0 && !selected.has(i) && !share.has(i))
      .classed("gv-plus", (_, i) => share.get(i) > 0.005)
      .classed("gv-minus", (_, i) => share.get(i) < -0.005);
  }
}

/** Zoom by pinch or Ctrl and wheel, pan by Shift and drag: a plain wheel scrolls the page. */
function graphMayZoom(event) {
  if (event.type === "wheel") return event.ctrlKey || event.metaKey;
  return event.type.startsWith("touch") ? event.touches.length > 1 : event.shiftKey && !event.button;
}
