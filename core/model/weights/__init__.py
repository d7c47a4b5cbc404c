"""Starting weights of a network: where they are (sources), what other libraries call them (layouts), how they are loaded."""
