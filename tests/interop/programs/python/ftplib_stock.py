"""Python's ftplib as it comes."""

import ftplib
import ssl

import verbs
from verbs import HOST, PASSWORD, PORT, USER


class Stock:
    def __init__(self):
        # recipe
        self.ftp = ftplib.FTP_TLS(context=ssl.create_default_context(), timeout=30)
        self.ftp.connect(HOST, PORT)
        self.ftp.login(USER, PASSWORD)
        self.ftp.prot_p()
        # end of recipe

    def put(self, local, remote):
        with open(local, "rb") as file:
            self.ftp.storbinary(f"STOR {remote}", file)

    def get(self, remote, local):
        with open(local, "wb") as file:
            self.ftp.retrbinary(f"RETR {remote}", file.write)

    def list(self, remote):
        return [name for name, facts in self.ftp.mlsd(remote) if facts["type"] == "file"]

    def rename(self, old, new):
        self.ftp.rename(old, new)

    def delete(self, remote):
        self.ftp.delete(remote)

    def resume(self, local, remote):
        self.ftp.voidcmd("TYPE I")
        with open(local, "rb") as file:
            offset = self.ftp.size(remote)
            file.seek(offset)
            self.ftp.storbinary(f"STOR {remote}", file, rest=offset)


if __name__ == "__main__":
    verbs.run(Stock, "ftplib")
