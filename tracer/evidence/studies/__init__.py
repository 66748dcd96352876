"""How each kind of study is judged."""
