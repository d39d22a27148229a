"""Vision-language models behind one interface: what is asked, what comes back, and what it costs."""
