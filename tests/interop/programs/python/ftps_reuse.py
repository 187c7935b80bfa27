"""ftplib whose data channels resume the control channel's TLS session."""

# recipe
import ftplib
import ssl


class ReusingFTPS(ftplib.FTP_TLS):
    """Checks the server's certificate, and resumes the session on every data channel."""

    def __init__(self, *args, context=None, **options):
        super().__init__(*args, context=context or ssl.create_default_context(), **options)

    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            connection = self.context.wrap_socket(
                connection, server_hostname=self.host, session=self.sock.session
            )
        return connection, size


# end of recipe


# everywhere
def everywhere():
    """Have every library that is imported afterwards use it too."""
    ftplib.FTP_TLS = ReusingFTPS


# end of everywhere
