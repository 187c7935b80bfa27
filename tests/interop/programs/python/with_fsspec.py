"""fsspec."""

import os

import fsspec

import verbs
from verbs import HOST, PASSWORD, PORT, USER


class Delivery:
    # recipe
    def __init__(self):
        self.fs = fsspec.filesystem(
            "ftp", host=HOST, port=PORT, username=USER, password=PASSWORD, tls=True
        )

    def put(self, local, remote):
        # In one piece: fsspec sends each further block as an upload of its own.
        self.fs.blocksize = os.path.getsize(local) + 1
        self.fs.put_file(local, remote)

    # end of recipe

    def get(self, remote, local):
        self.fs.get_file(remote, local)

    def list(self, remote):
        return [name.rsplit("/")[-1] for name in self.fs.ls(remote, detail=False)]

    def rename(self, old, new):
        self.fs.mv(old, new)

    def delete(self, remote):
        self.fs.rm(remote)


if __name__ == "__main__":
    verbs.run(Delivery, f"fsspec {fsspec.__version__}")
