"""The ``doctor``: what is wrong with this installation, in plain words, and how to mend it.

One module for each thing that is looked at; each yields
:class:`~securedrop_ftp.server.doctor.finding.Finding`.
"""
