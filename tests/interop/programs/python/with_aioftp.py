"""aioftp."""

import asyncio
import sys
from pathlib import Path

import aioftp

import verbs
from verbs import HOST, PASSWORD, PORT, USER


# recipe
def session():
    """Logged in, with both channels under TLS that checks the certificate."""
    return aioftp.Client.context(HOST, PORT, USER, PASSWORD, upgrade_to_tls=True)


async def put(local, remote):
    async with session() as client:
        await client.upload(local, remote, write_into=True)


async def resume(local, remote):
    async with session() as client:
        offset = int((await client.stat(remote))["size"])
        with open(local, "rb") as file:
            file.seek(offset)
            async with client.upload_stream(remote, offset=offset) as stream:
                while block := file.read(65536):
                    await stream.write(block)


async def hash_(remote):
    """The digest of what is stored, where the account may read."""
    async with session() as client:
        _, [reply] = await client.command(f"HASH {remote}", "213")
        print(reply.split()[2])


# end of recipe


async def puts(directory, remote, files=None):
    async with session() as client:
        for path in files or sorted(Path(directory).iterdir()):
            await client.upload(path, f"{remote}/{path.name}", write_into=True)


async def four(directory, remote):
    files = sorted(Path(directory).iterdir())
    await asyncio.gather(*(puts(directory, remote, files[n::4]) for n in range(4)))


async def get(remote, local):
    async with session() as client:
        await client.download(remote, local, write_into=True)


async def list_(remote):
    async with session() as client:
        for path, _ in await client.list(remote):
            print(path.name)


async def rename(old, new):
    async with session() as client:
        await client.rename(old, new)


async def delete(remote):
    async with session() as client:
        await client.remove(remote)


VERBS = {
    "put": put, "puts": puts, "four": four, "get": get, "list": list_,
    "rename": rename, "delete": delete, "resume": resume, "hash": hash_,
}  # fmt: skip

if __name__ == "__main__":
    if sys.argv[1] == "version":
        verbs.run(None, f"aioftp {aioftp.__version__}")
    elif sys.argv[1] not in VERBS:
        sys.exit(verbs.UNKNOWN)
    else:
        asyncio.run(VERBS[sys.argv[1]](*sys.argv[2:]))
