"""PyFilesystem (fs)."""

from importlib.metadata import version

import verbs
from verbs import HOST, PASSWORD, PORT, USER

# recipe
from fs.ftpfs import FTPFS


class Delivery:
    def __init__(self):
        self.fs = FTPFS(HOST, user=USER, passwd=PASSWORD, port=PORT, tls=True)

    def put(self, local, remote):
        with open(local, "rb") as file:
            self.fs.upload(remote, file)

    # end of recipe

    def get(self, remote, local):
        with open(local, "wb") as file:
            self.fs.download(remote, file)

    def list(self, remote):
        return self.fs.listdir(remote)

    def rename(self, old, new):
        self.fs.move(old, new)

    def delete(self, remote):
        self.fs.remove(remote)


if __name__ == "__main__":
    verbs.run(Delivery, f"fs {version('fs')}")
