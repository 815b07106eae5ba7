"""Stand-ins for a model server and for the Hugging Face Hub, which speak the real protocols on real sockets.

The public modules are `fake_hub` and `fake_server`.
"""
