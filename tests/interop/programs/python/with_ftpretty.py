"""ftpretty."""

import os
from importlib.metadata import version

import verbs
from verbs import HOST, PASSWORD, PORT, USER

# recipe
from ftpretty import ftpretty


class Delivery:
    def __init__(self):
        self.ftp = ftpretty(HOST, USER, PASSWORD, port=PORT, secure=True)

    def put(self, local, remote):
        with open(local, "rb") as file:
            self.ftp.put(file, remote)

    # end of recipe

    def get(self, remote, local):
        self.ftp.get(remote, local)

    def list(self, remote):
        return [os.path.basename(name) for name in self.ftp.list(remote)]

    def rename(self, old, new):
        self.ftp.rename(old, new)

    def delete(self, remote):
        self.ftp.delete(remote)


if __name__ == "__main__":
    verbs.run(Delivery, f"ftpretty {version('ftpretty')}")
