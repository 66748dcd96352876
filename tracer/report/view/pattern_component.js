// The pattern as a Streamlit component: called anew at every rerun, it keeps its own element.
export default function ({ data, parentElement, setTriggerValue }) {
  let host = parentElement.querySelector("[data-pattern-view]");
  if (!host) {
    host = graphElement("div", { "data-pattern-view": "" });
    parentElement.append(host);
  }
  mountPattern(host, data.pattern, { onPick: (query, key) => setTriggerValue("picked", [query, key]) });
}
