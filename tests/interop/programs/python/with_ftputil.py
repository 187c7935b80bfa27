"""ftputil with ftps_reuse.py."""

import ftputil
import ftputil.session
import ftputil.version

import verbs
from ftps_reuse import ReusingFTPS
from verbs import HOST, PASSWORD, PORT, USER


class Delivery:
    base_class = ReusingFTPS

    # recipe
    def __init__(self):
        factory = ftputil.session.session_factory(base_class=self.base_class, port=PORT)
        self.host = ftputil.FTPHost(HOST, USER, PASSWORD, session_factory=factory)

    def put(self, local, remote):
        self.host.upload(local, remote)

    def resume(self, local, remote):
        offset = self.host.path.getsize(remote)
        with open(local, "rb") as source, self.host.open(remote, "wb", rest=offset) as target:
            source.seek(offset)
            self.host.copyfileobj(source, target)

    # end of recipe

    def get(self, remote, local):
        self.host.download(remote, local)

    def list(self, remote):
        return self.host.listdir(remote)

    def rename(self, old, new):
        self.host.rename(old, new)

    def delete(self, remote):
        self.host.remove(remote)


def main(session):
    verbs.run(session, f"ftputil {ftputil.version.__version__}")


if __name__ == "__main__":
    main(Delivery)
