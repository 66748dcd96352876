"""The folder of the script that Streamlit starts, which it puts on the import path: alone in it."""
