"""The command line of `punie-build`. `main` runs a command; `registry` lists all of them."""
