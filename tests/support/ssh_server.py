"""An SSH server on loopback that runs commands as this user, for one key. Run as a program: it prints its port.

    python -m tests.support.ssh_server FOLDER

FOLDER gets the keys `client` and `host`, and `known_hosts`. Commands end with their connection.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import asyncssh


async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run the command of a client in a process group of its own, which ends when the client goes."""
    child = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, process_group=0
    )
    await process.redirect(stdout=child.stdout, stderr=child.stderr, send_eof=True)
    ends = [asyncio.ensure_future(each) for each in (child.wait(), process.channel.wait_closed())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    process.exit(await child.wait())


async def serve(folder: Path) -> None:
    keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("client", "host")}
    keys["client"].write_private_key(str(folder / "client"))
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[keys["host"]],
        authorized_client_keys=asyncssh.import_authorized_keys(keys["client"].export_public_key().decode()),
        process_factory=handle,
        encoding=None,
    )
    host = keys["host"].export_public_key().decode().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.get_port()} {host}\n")
    print(server.get_port(), flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
