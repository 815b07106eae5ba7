"""Stand-ins for model servers and for the Hugging Face Hub, for tests of this project and of its users.

`fake_server`, `fake_ollama` and `fake_hub` speak the real protocols on real sockets; `http_response` writes their
responses. `fake_machine` has the memory limits of other machines. No other package imports them.
"""

__all__ = ("fake_hub", "fake_machine", "fake_ollama", "fake_server")
