"""Whether a circuit is still what it was: runs compared with each other and with a blessed one."""
