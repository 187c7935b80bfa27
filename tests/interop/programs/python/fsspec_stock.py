"""fsspec as it comes: it sends each block as an upload of its own."""

import fsspec

import verbs
from with_fsspec import Delivery


class Stock(Delivery):
    def put(self, local, remote):
        self.fs.put_file(local, remote)


if __name__ == "__main__":
    verbs.run(Stock, f"fsspec {fsspec.__version__}")
