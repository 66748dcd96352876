"""The dashboard: past runs read and compared, hypotheses written, without torch until one is run.

`frame` lists the pages; each page is a file with one `render`. What a page shows is worked out in
modules that know nothing of Streamlit. Text from files, tokens and models is data: it is shown by
elements that take text (`st.text`, `st.code`, tables), or passes `plain` where only Markdown fits.
"""
