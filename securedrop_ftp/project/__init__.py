"""The ready-to-run Django project: settings from the environment, URLs, WSGI, the demo."""
