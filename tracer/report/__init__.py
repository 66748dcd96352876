"""A record and its verdict for people: pages, pictures, Markdown, JUnit and the terminal."""
