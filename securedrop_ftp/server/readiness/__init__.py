"""Can this service do its work now? Asked before it serves, by ``/readyz``, and by the doctor."""
