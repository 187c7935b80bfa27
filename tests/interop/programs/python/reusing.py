"""Run another program here with ftps_reuse.py: ``reusing.py PROGRAM VERB ARGUMENT...``."""

import runpy
import sys

# recipe
import ftps_reuse

ftps_reuse.everywhere()  # before anything imports FTP_TLS from ftplib
# end of recipe

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
