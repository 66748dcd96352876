"use strict";
// The lists beside the picture: what is selected, and what it is connected to. Text nodes only.

const GRAPH_ROWS = 15;
const GRAPH_FIRST = 20; // features that are listed where nothing is selected
const GRAPH_MINUS = "\u2212";

function graphSigned(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value > 0 ? "+" : GRAPH_MINUS) + text;
}

function graphNumber(value) {
  return Number(value.toPrecision(3)).toString().replace("-", GRAPH_MINUS);
}

function graphShort(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function graphElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Take up the page's colours: dark where its text is light. */
function graphDark(root) {
  const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
  root.toggleAttribute("data-dark", 0.3 * r + 0.6 * g + 0.1 * b > 140);
}

/** One line that says what a node is: for lists, hints and screen readers. It does not break inside of the token. */
function graphName(node) {
  return node.kind === "token" || node.kind === "logit" ? node.label : `${node.label}, at ${node.token.replaceAll(" ", "\u00a0")}`;
}

function graphFacts(data, node) {
  const groups = node.supernodes.map((n) => data.supernodes[n].label);
  return [
    ["Id", node.id],
    ["At", `${node.token} (token ${node.position})`],
    ...(node.activation === null ? [] : [[node.kind === "head" ? "Adds to what is explained" : "Activation", graphNumber(node.activation)]]),
    ["Influence on the output", `${(100 * node.influence).toFixed(2)} %`],
    ...(groups.length ? [["Supernode", groups.join(", ")]] : []),
    ...node.facts,
  ];
}

function graphCard(data, selected, level) {
  const nodes = Array.from(selected, (i) => data.nodes[i]);
  if (nodes.length > 1) {
    return [
      graphElement(`h${level}`, { class: "gv-head" }, `${nodes.length} nodes selected`),
      graphElement("p", { class: "gv-muted" }, "Their connections are added up; those among them are left out."),
    ];
  }
  const list = graphElement("dl", {});
  for (const [term, text] of graphFacts(data, nodes[0])) {
    list.append(graphElement("div", {}, graphElement("dt", {}, term), graphElement("dd", {}, text)));
  }
  return [graphElement(`h${level}`, { class: "gv-head" }, graphName(nodes[0])), list];
}

/** A titled list of connected nodes; `pick(node, event)` is called where one is chosen. */
function graphList(data, title, note, rows, pick, hover, level) {
  const list = graphElement("ul", { "aria-label": title });
  for (const { node, share, weight, heads, on } of rows.slice(0, GRAPH_ROWS)) {
    const kind = share < 0 ? "gv-row gv-minus" : "gv-row";
    const button = graphButton(`${graphSigned(100 * share)} %`, graphName(data.nodes[node]), kind, (event) => pick(node, event), [node], hover);
    button.title = `weight ${graphSigned(weight, 3)}`;
    if (heads) button.lastChild.append(graphElement("span", { class: "gv-heads" }, `heads ${heads}`));
    if (on) button.lastChild.append(graphElement("span", { class: "gv-heads" }, `on ${on}`));
    list.append(graphElement("li", {}, button));
  }
  const more = rows.length - GRAPH_ROWS;
  if (more > 0) list.append(graphElement("li", { class: "gv-muted" }, `and ${more} weaker`));
  if (!rows.length) list.append(graphElement("li", { class: "gv-muted" }, "none shown"));
  return [graphElement(`h${level + 1}`, { class: "gv-subhead" }, title), graphElement("p", { class: "gv-muted" }, note), list];
}

/** Why an attention feature looks where it does: what adds to its score, as its file tells it. */
function graphTraced({ title, rows, n_more }, level) {
  const list = graphElement("ul", { "aria-label": title });
  for (const [text, weight] of rows) {
    const kind = weight < 0 ? "gv-traced gv-minus" : "gv-traced";
    const share = graphElement("span", { class: "gv-share" }, (weight > 0 ? "+" : "") + graphNumber(weight));
    list.append(graphElement("li", { class: kind }, share, graphElement("span", {}, text)));
  }
  if (n_more) list.append(graphElement("li", { class: "gv-muted" }, `and ${n_more} weaker`));
  return [graphElement(`h${level + 1}`, { class: "gv-subhead" }, title), list];
}

/** The most influential features: where to begin. */
function graphFirst(data, shown, pick, hover, level) {
  const features = [...data.nodes.keys()].filter((i) => ["feature", "head", "attention"].includes(data.nodes[i].kind) && shown(i));
  const first = d3.sort(features, (i) => -data.nodes[i].influence).slice(0, GRAPH_FIRST);
  const list = graphElement("ul", { "aria-label": "Most influential features" });
  for (const node of first) {
    list.append(graphElement("li", {}, graphButton(`${(100 * data.nodes[node].influence).toFixed(1)} %`, graphName(data.nodes[node]), "gv-row", (event) => pick(node, event), [node], hover)));
  }
  return [
    graphElement("p", { class: "gv-muted" }, "Select a node to see what it is and what it is connected to."),
    graphElement(`h${level}`, { class: "gv-head" }, "Most influential features"),
    list,
  ];
}

function graphButton(share, text, kind, act, nodes, hover) {
  const button = graphElement("button", { type: "button", class: kind }, graphElement("span", { class: "gv-share" }, share), graphElement("span", {}, text));
  button.addEventListener("click", act);
  button.addEventListener("pointerenter", () => hover(nodes[0]));
  button.addEventListener("pointerleave", () => hover(-1));
  return button;
}

/** Totals by supernode of what enters or leaves many nodes; a row selects the group. */
function graphGroups(data, title, rows, receives, select, hover, level) {
  const list = graphElement("ul", { "aria-label": `${title} by supernode` });
  for (const total of graphTotals(data, rows, receives)) {
    const kind = total.share < 0 ? "gv-row gv-minus" : "gv-row";
    const text = `${total.label} (${total.nodes.length})`;
    list.append(graphElement("li", {}, graphButton(`${graphSigned(100 * total.share)} %`, text, kind, () => select(total.nodes), total.nodes, hover)));
  }
  return [graphElement(`h${level + 1}`, { class: "gv-subhead" }, `${title} by supernode`), list];
}

/** The selected features and heads as supernodes of a hypothesis; a whole supernode of the run as its file declares it. */
function graphYaml(data, selected) {
  const nodes = Array.from(selected, (i) => data.nodes[i]);
  const whole = data.supernodes.findIndex((each, n) => each.declared && data.members[n].length === nodes.length && nodes.every((node) => node.supernodes.includes(n)));
  if (whole >= 0) return `supernodes:\n${data.supernodes[whole].declared.replace(/^(?=.)/gm, "  ")}`;
  const features = nodes.filter((node) => node.kind === "feature" && /^\d+_\d+_\d+$/.test(node.id));
  const heads = nodes.filter((node) => node.kind === "head" && node.head);
  const parts = [
    ...graphDeclared(data, "chosen", "features", features, (node) => node.id.replace(/_\d+$/, ""), (node) => node.id),
    ...graphDeclared(data, features.length ? "chosen_heads" : "chosen", "heads", heads, (node) => node.head, null),
  ];
  return parts.length ? ["supernodes:", ...parts, ""].join("\n") : "";
}

/** One supernode: at the span that ends where all of its members stand, or else by the tokens' positions. */
function graphDeclared(data, name, key, nodes, short, long) {
  if (!nodes.length) return [];
  const places = new Set(nodes.map((node) => node.position));
  const span = places.size === 1 ? data.spans?.[nodes[0].position] : undefined;
  if (span === undefined && long === null) return [`  # heads at positions ${[...places].join(", ")}: choose heads at the end of one span`];
  const ids = [...new Set(nodes.map(span === undefined ? long : short))].map((id) => JSON.stringify(id));
  const lines = d3.range(0, ids.length, 5).map((n) => ids.slice(n, n + 5).join(", "));
  const at = span === undefined ? [] : [`    at: ${JSON.stringify(span)}`, `    source: [${JSON.stringify(data.prompt)}]`];
  return [`  ${name}:`, `    ${key}: [${lines.join(",\n      ")}]`, ...at];
}

/** A box with the YAML, and a button that copies it; where a page may not, the text is selected to be copied by hand. */
function graphYamlBox(side, text) {
  const area = graphElement("textarea", { readonly: "", spellcheck: "false", "aria-label": "The selection as YAML", rows: Math.min(12, text.split("\n").length) });
  area.value = text;
  const copy = graphElement("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      area.select();
      copy.textContent = "Selected: copy it with the keyboard";
    }
  });
  const box = graphElement("details", { class: "gv-yaml" }, graphElement("summary", {}, "As YAML"), area, copy);
  box.open = side.hasAttribute("data-yaml");
  box.addEventListener("toggle", () => side.toggleAttribute("data-yaml", box.open));
  return box;
}

/** Fill the side of the view anew for a selection; its headings are of the level that the host's `data-heading` says. */
function graphPanel(side, data, adjacency, selected, shown, pick, hover, select) {
  const level = Number(side.closest("[data-heading]")?.dataset.heading ?? 3);
  const children = selected.size ? graphCard(data, selected, level) : graphFirst(data, shown, pick, hover, level);
  if (selected.size) {
    const yaml = graphYaml(data, selected);
    if (yaml) children.push(graphYamlBox(side, yaml));
    const found = graphConnections(data, adjacency, selected);
    const visible = (rows) => rows.filter((row) => shown(row.node));
    if (selected.size > 1 && data.supernodes.length) {
      children.push(
        ...graphGroups(data, "Inputs", found.inputs, false, select, hover, level),
        ...graphGroups(data, "Outputs", found.outputs, true, select, hover, level),
      );
    }
    children.push(
      ...graphList(data, "Inputs", "share of everything that enters the selection", visible(found.inputs), pick, hover, level),
      ...graphList(data, "Outputs", "share of everything that enters the other", visible(found.outputs), pick, hover, level),
    );
    if (selected.size === 1) {
      const [one] = selected;
      for (const each of data.nodes[one].tracing ?? []) children.push(...graphTraced(each, level));
    }
  }
  side.replaceChildren(...children);
}
