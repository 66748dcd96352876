"use strict";
// The pattern of an attention head: a square of queries (rows) by keys (columns), darker where more is paid.
// `mountPattern` is idempotent: the same pattern again only takes over the chosen pair.

const PATTERN_LEFT = 128;
const PATTERN_BOTTOM = 92;
const PATTERN_CELL = { least: 7, most: 24 };

/**
 * Show a pattern in an element.
 *
 * text: the data as JSON, see `PatternData` in `tracer/report/head_reason.py`. options: `onPick(query, key)` is
 * told of the positions of a cell that a person chose; without it cells are only read.
 */
function mountPattern(element, text, options = {}) {
  const { query, key, ...data } = JSON.parse(text);
  const drawn = JSON.stringify(data);
  if (element.patternView?.drawn !== drawn) {
    element.patternView?.destroy();
    element.patternView = new PatternView(element, data, drawn);
  }
  element.patternView.options = options;
  element.patternView.choose(data.positions.indexOf(query), data.positions.indexOf(key));
  return element.patternView;
}

class PatternView {
  constructor(element, data, drawn) {
    Object.assign(this, { data, drawn, options: {}, at: 0, chosen: 0 });
    this.places = data.rows.flatMap((row, query) => row.map((_, key) => ({ query, key })));
    this.build(element);
    this.layOut();
  }

  /** Mark a pair, from outside or by a person. */
  choose(query, key) {
    const place = this.placeOf(query, key);
    this.cells[this.chosen].setAttribute("aria-selected", "false");
    this.cells[place].setAttribute("aria-selected", "true");
    this.chosen = place;
    this.enter(place);
  }

  destroy() {
    this.stop.abort();
    this.resizing.disconnect();
    this.root.remove();
  }

  /** Number of a cell: rows are as long as their number, plus one. */
  placeOf(query, key) { return (query * (query + 1)) / 2 + key; }

  name(place) {
    const { query, key } = this.places[place];
    const token = (n) => `${this.data.tokens[n]} (${this.data.positions[n]})`;
    const share = 100 * this.data.rows[query][key];
    return `from ${token(query)} to ${token(key)}: ${share > 0 && share < 0.1 ? "<0.1" : share.toFixed(1)} %`;
  }

  build(element) {
    const { data } = this;
    this.svg = graphSvg("svg", { class: "pv-svg", role: "group", "aria-label": data.title });
    this.labels = data.tokens.map((token) => ["pv-query", "pv-key"].map((kind) => {
      const label = graphSvg("text", { class: kind, "text-anchor": "end", "aria-hidden": "true" });
      label.textContent = graphShort(token, 16);
      this.svg.append(label);
      return label;
    }));
    this.list = graphSvg("g", { role: "listbox", "aria-label": "Queries by keys; arrows move, Enter chooses" });
    this.cells = this.places.map(({ query, key }, place) => {
      const cell = graphSvg("rect", {
        class: "pv-cell", role: "option", tabindex: -1, "aria-selected": "false", "aria-label": this.name(place),
      });
      // The root, so that small weights are seen beside one large one.
      cell.style.fillOpacity = Math.sqrt(data.rows[query][key]).toFixed(3);
      this.list.append(cell);
      return cell;
    });
    this.svg.append(this.list);
    this.told = graphElement("p", { class: "pv-told", "aria-hidden": "true" });
    const notes = data.cut ? [graphElement("p", { class: "gv-muted" }, data.cut)] : [];
    this.frame = graphElement("div", { class: "pv-frame" }, this.svg);
    this.root = graphElement("div", { class: "gv pv" }, ...notes, this.frame, this.told);
    element.append(this.root);
    this.listen();
  }

  listen() {
    this.stop = new AbortController();
    const on = (target, type, act) => target.addEventListener(type, act, { signal: this.stop.signal });
    const under = (event) => this.cells.indexOf(event.target);
    on(this.list, "pointerover", (event) => this.tell(under(event)));
    on(this.list, "pointerleave", () => this.tell(this.at));
    on(this.list, "click", (event) => this.pick(under(event)));
    on(this.list, "focusin", (event) => this.enter(under(event)));
    on(this.root, "keydown", (event) => this.key(event));
    on(window.matchMedia("(prefers-color-scheme: dark)"), "change", () => graphDark(this.root));
    this.resizing = new ResizeObserver(() => this.layOut());
    this.resizing.observe(this.root);
  }

  /** Cells as large as the width allows; a prompt too long for that is scrolled. */
  layOut() {
    if (!this.root.isConnected) return;
    graphDark(this.root);
    const n = this.labels.length;
    const room = (this.root.clientWidth - PATTERN_LEFT - 2) / n;
    const cell = Math.max(PATTERN_CELL.least, Math.min(PATTERN_CELL.most, room));
    const set = (element, values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, value));
    set(this.svg, { width: PATTERN_LEFT + n * cell + 2, height: n * cell + PATTERN_BOTTOM });
    this.labels.forEach(([query, key], i) => {
      const middle = (i + 0.5) * cell;
      set(query, { x: PATTERN_LEFT - 6, y: middle + 4 });
      set(key, { transform: `translate(${PATTERN_LEFT + middle + 4} ${n * cell + 10}) rotate(-55)` });
      const every = Math.ceil(11 / cell);
      for (const label of [query, key]) label.toggleAttribute("hidden", i % every !== 0);
    });
    this.cells.forEach((each, place) => {
      const { query, key } = this.places[place];
      set(each, { x: PATTERN_LEFT + key * cell + 0.5, y: query * cell + 0.5, width: cell - 1, height: cell - 1 });
    });
  }

  tell(place) {
    if (place >= 0) this.told.textContent = this.name(place);
  }

  /** Make a cell the one tab stop. */
  enter(place) {
    if (place < 0) return;
    this.cells[this.at].setAttribute("tabindex", "-1");
    this.at = place;
    this.cells[place].setAttribute("tabindex", "0");
    this.tell(place);
  }

  pick(place) {
    if (place < 0) return;
    this.cells[place].focus({ preventScroll: true });
    if (!this.options.onPick || place === this.chosen) return;
    const { query, key } = this.places[place];
    this.choose(query, key);
    this.options.onPick(this.data.positions[query], this.data.positions[key]);
  }

  key(event) {
    const { query, key } = this.places[this.at];
    const last = this.labels.length - 1;
    const to = {
      ArrowLeft: [query, key - 1], ArrowRight: [query, key + 1], ArrowUp: [query - 1, key], ArrowDown: [query + 1, key],
      Home: [query, 0], End: [query, query], Escape: [this.places[this.chosen].query, this.places[this.chosen].key],
    }[event.key];
    if (to) {
      const [row, column] = [Math.min(last, Math.max(0, to[0])), Math.max(0, to[1])];
      if (column <= row) this.cells[this.placeOf(row, column)].focus();
    } else if (event.key === "Enter" || event.key === " ") this.pick(this.at);
    else return;
    event.preventDefault();
  }
}

function graphSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
