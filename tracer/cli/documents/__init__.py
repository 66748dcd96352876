"""What commands write with `--json`: one model for each document, from which its schema comes."""
