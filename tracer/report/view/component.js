// The view as a Streamlit component: called anew at every rerun, it keeps its own element.
export default function ({ data, parentElement, setStateValue }) {
  let host = parentElement.querySelector("[data-graph-view]");
  if (!host) {
    host = graphElement("div", { "data-graph-view": "", "data-heading": "2" });
    parentElement.append(host);
  }
  const known = host.graphView?.data;
  mountGraph(host, known?.hash === data.hash ? known : JSON.parse(data.graph), {
    selected: data.selected ?? undefined,
    threshold: data.threshold ?? undefined,
    onSelect: (ids) => setStateValue("selected", ids),
    onPrune: (threshold) => setStateValue("threshold", threshold),
  });
}
