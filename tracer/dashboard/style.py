"""Colours of Streamlit's that fall short of 4.5 to 1, in light or dark: other ones for them."""

from __future__ import annotations

STYLE = """<style>
button[data-selected="true"], button[data-selected="true"] * {
  color: inherit !important; transition: none !important;
}
.stCode .token { color: inherit !important; }
.stCode .token.comment { color: light-dark(#5c6670, #a8b2bd) !important; }
.stCode .token.punctuation { color: light-dark(#5c6670, #a8b2bd) !important; }
.stCode .token.key, .stCode .token.keyword { color: light-dark(#a63d00, #ff9a5c) !important; }
.stCode .token.string, .stCode .token.inserted { color: light-dark(#00694b, #4cc79a) !important; }
.stCode .token.number, .stCode .token.function { color: light-dark(#2166ac, #6baed6) !important; }
.stCode .token.boolean, .stCode .token.deleted { color: light-dark(#b2182b, #f4a582) !important; }
</style>"""
"""A constant, with nothing of a run in it; the colours are the report's."""
