"""Attribution: graphs of direct effects, and patching toward a direction."""
