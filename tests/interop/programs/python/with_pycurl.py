"""pycurl."""

import io
import os
import re
from urllib.parse import quote

import pycurl

import verbs
from verbs import CA, HOST, PASSWORD, PORT, USER


class Delivery:
    # recipe
    def __init__(self):
        self.curl = pycurl.Curl()  # keeps its connection from one transfer to the next

    def prepare(self, remote):
        self.curl.reset()
        self.curl.setopt(pycurl.URL, f"ftp://{HOST}:{PORT}{quote(remote)}")
        self.curl.setopt(pycurl.USERPWD, f"{USER}:{PASSWORD}")
        self.curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)
        if CA:
            self.curl.setopt(pycurl.CAINFO, CA)

    def put(self, local, remote, offset=0):
        self.prepare(remote)
        with open(local, "rb") as file:
            self.curl.setopt(pycurl.UPLOAD, True)
            self.curl.setopt(pycurl.READDATA, file)
            # Without it a resumed upload sends the file's beginning once more.
            self.curl.setopt(
                pycurl.SEEKFUNCTION, lambda offset, origin: file.seek(offset, origin) and 0
            )
            self.curl.setopt(pycurl.INFILESIZE_LARGE, os.path.getsize(local))
            self.curl.setopt(pycurl.RESUME_FROM_LARGE, offset)
            self.curl.perform()

    def resume(self, local, remote):
        self.put(local, remote, offset=-1)  # curl asks for the size, and appends

    def hash(self, remote):
        """The digest of what is stored, where the account may read."""
        replies = io.BytesIO()
        self.prepare("/")
        self.curl.setopt(pycurl.NOBODY, True)
        self.curl.setopt(pycurl.HEADERFUNCTION, replies.write)
        self.curl.setopt(pycurl.QUOTE, [f"HASH {remote}"])
        self.curl.perform()
        return re.search(r"213 SHA-256 \S+ (\w{64})", replies.getvalue().decode())[1]

    # end of recipe

    def get(self, remote, local):
        self.prepare(remote)
        with open(local, "wb") as file:
            self.curl.setopt(pycurl.WRITEDATA, file)
            self.curl.perform()

    def list(self, remote):
        names = io.BytesIO()
        self.prepare(f"{remote}/")
        self.curl.setopt(pycurl.DIRLISTONLY, True)
        self.curl.setopt(pycurl.WRITEDATA, names)
        self.curl.perform()
        return names.getvalue().decode().split()

    def quote(self, *commands):
        self.prepare("/")
        self.curl.setopt(pycurl.NOBODY, True)
        self.curl.setopt(pycurl.QUOTE, list(commands))
        self.curl.perform()

    def rename(self, old, new):
        self.quote(f"RNFR {old}", f"RNTO {new}")

    def delete(self, remote):
        self.quote(f"DELE {remote}")


if __name__ == "__main__":
    verbs.run(Delivery, " ".join(pycurl.version.split()[:3]))
