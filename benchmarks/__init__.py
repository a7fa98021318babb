"""Side by side with peers, each in a process of its own; nothing in rnnjax imports this."""
