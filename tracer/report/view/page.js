"use strict";
// Open the graphs that this page carries, and keep the one that is looked at in the address:
// #g=NUMBER&n=ID,ID&t=0.6. Ids come from outside: those the graph does not have are left out.

async function graphUnpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

class GraphPages {
  constructor(section) {
    this.host = section.querySelector("[data-graph-host]");
    this.packed = [...document.querySelectorAll("script[data-graph]")];
    this.buttons = [...section.querySelectorAll("[data-graph-show]")];
    this.opened = new Map();
    this.state = { g: 0, n: [], t: 1 };
    this.buttons.forEach((button, g) => button.addEventListener("click", () => this.show({ g, n: [], t: 1 }, true)));
    for (const part of section.querySelectorAll("[data-graph-live]")) part.hidden = false;
    window.addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  /** What the address asks for; the plain anchors of the page ask for nothing. */
  follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!["g", "n", "t"].some((key) => asked.has(key))) return this.opened.size ? undefined : this.show(this.state, false);
    const g = Number(asked.get("g") ?? 0);
    const t = Number(asked.get("t") ?? 1);
    const n = (asked.get("n") ?? "").split(",").filter(Boolean);
    const known = Number.isInteger(g) && g >= 0 && g < this.packed.length;
    return this.show({ g: known ? g : 0, n, t: t > 0 && t <= 1 ? t : 1 }, false).then(() => {
      this.host.scrollIntoView({ block: "nearest" });
    });
  }

  async show(state, tells) {
    this.state = state;
    this.buttons.forEach((button, g) => button.setAttribute("aria-pressed", String(g === state.g)));
    if (!this.opened.has(state.g)) this.opened.set(state.g, await graphUnpack(this.packed[state.g].textContent));
    if (this.state !== state) return;
    this.view = mountGraph(this.host, this.opened.get(state.g), {
      selected: state.n,
      threshold: state.t,
      onSelect: (n) => this.remember({ n }),
      onPrune: (t) => this.remember({ t }),
    });
    if (tells) this.remember({});
  }

  remember(change) {
    Object.assign(this.state, change);
    if (location.protocol === "about:") return; // a notebook's frame has no address of its own
    const { g, n, t } = this.state;
    const parts = [...(g ? [`g=${g}`] : []), ...(n.length ? [`n=${n.join(",")}`] : []), ...(t < 1 ? [`t=${t}`] : [])];
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : "#h-graphs");
  }
}

for (const section of document.querySelectorAll("[data-graphs]")) {
  if (section.querySelector("[data-graph-host]") && document.querySelector("script[data-graph]")) new GraphPages(section);
}
