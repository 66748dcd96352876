"""Checks a text while it is written: a pause in typing counts as Ctrl+Enter.

Streamlit hears of a text area only when it is left, or on Ctrl+Enter. Without this script that is
still so, and nothing else is lost.
"""

from __future__ import annotations

from streamlit.components.v2 import component

PAUSE = 600
"""Milliseconds without a key."""
LONGEST = 200_000
"""Characters; a longer text is checked when it is left."""

_SCRIPT = """
export default function ({ data }) {
  if (document.tracerLiveTyping) return;
  document.tracerLiveTyping = true;
  const selector = `.st-key-${data.key} textarea`;
  const enter = { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true, cancelable: true };
  const send = () => {
    const area = document.querySelector(selector);
    if (!area || area.value.length > data.longest) return;
    area.dispatchEvent(new KeyboardEvent("keydown", enter));
  };
  let timer = setTimeout(send, data.pause);
  document.addEventListener("input", (event) => {
    if (!event.target.matches(selector)) return;
    clearTimeout(timer);
    timer = setTimeout(send, data.pause);
  });
}
"""
"""It listens to the whole page, once: Streamlit may draw the text area anew. What was typed before
it came is sent too; where nothing was, Streamlit does nothing."""


def live_typing(key: str) -> None:
    """Send what is typed into the text area with this key, of letters and `-`, as it is typed."""
    view = component("tracer_live_typing", js=_SCRIPT)
    view(key=f"{key}-live", data={"key": key, "pause": PAUSE, "longest": LONGEST})
