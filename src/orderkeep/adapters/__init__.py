"""Technology behind the ports: one file or folder per technology, nothing else knows them."""
