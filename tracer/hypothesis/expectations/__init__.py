"""What a file may expect: a file for each kind of measure."""
