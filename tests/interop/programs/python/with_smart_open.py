"""smart_open: whole files, up and down."""

import shutil
from importlib.metadata import version
from urllib.parse import quote

import verbs
from verbs import HOST, PASSWORD, PORT, USER

# recipe
import smart_open


class Delivery:
    def url(self, remote):
        return f"ftps://{quote(USER)}:{quote(PASSWORD)}@{HOST}:{PORT}{quote(remote)}"

    def put(self, local, remote):
        with open(local, "rb") as source, smart_open.open(self.url(remote), "wb") as target:
            shutil.copyfileobj(source, target)

    # end of recipe

    def get(self, remote, local):
        with smart_open.open(self.url(remote), "rb") as source, open(local, "wb") as target:
            shutil.copyfileobj(source, target)


if __name__ == "__main__":
    verbs.run(Delivery, f"smart_open {version('smart-open')}")
