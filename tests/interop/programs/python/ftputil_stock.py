"""ftputil as it comes: its data channels do not resume the TLS session."""

import ftplib

from with_ftputil import Delivery, main


class Stock(Delivery):
    base_class = ftplib.FTP_TLS


if __name__ == "__main__":
    main(Stock)
