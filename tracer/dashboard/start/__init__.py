"""What Streamlit runs: alone in its folder, which Streamlit puts on the path."""
