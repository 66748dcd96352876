"""Reports: a record and its verdict as one page that opens anywhere, offline."""
