"""Attribution graphs: what is in one, how it is pruned, scored, kept and exchanged. No torch."""
