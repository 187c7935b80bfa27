"""Python's ftplib with ftps_reuse.py."""

import hashlib

import verbs
from ftps_reuse import ReusingFTPS
from verbs import HOST, PASSWORD, PORT, USER


class Delivery:
    # recipe
    def __init__(self):
        self.ftp = ReusingFTPS(timeout=60)
        self.ftp.connect(HOST, PORT)
        self.ftp.login(USER, PASSWORD)
        self.ftp.prot_p()

    def put(self, local, remote):
        with open(local, "rb") as file:
            reply = self.ftp.storbinary(f"STOR {remote}", file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        assert f"SHA-256 {digest}" in reply, reply  # what is stored is what was sent

    def resume(self, local, remote):
        self.ftp.voidcmd("TYPE I")
        with open(local, "rb") as file:
            offset = self.ftp.size(remote)
            file.seek(offset)
            self.ftp.storbinary(f"STOR {remote}", file, rest=offset)

    def hash(self, remote):
        """The digest of what is stored, where the account may read."""
        return self.ftp.sendcmd(f"HASH {remote}").split()[3]

    # end of recipe

    def ascii(self, local, remote):
        with open(local, "rb") as file:
            self.ftp.storlines(f"STOR {remote}", file)

    def get(self, remote, local):
        with open(local, "wb") as file:
            self.ftp.retrbinary(f"RETR {remote}", file.write)

    def list(self, remote):
        return [name for name, facts in self.ftp.mlsd(remote) if facts["type"] == "file"]

    def rename(self, old, new):
        self.ftp.rename(old, new)

    def delete(self, remote):
        self.ftp.delete(remote)


if __name__ == "__main__":
    verbs.run(Delivery, "ftplib")
