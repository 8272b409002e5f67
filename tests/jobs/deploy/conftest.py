"""Deploy starts from registered versions: the project of the core's tests, with the champion's place free."""

from tests.penstock.conftest import make_function, project, shift, shop

__all__ = ["make_function", "project", "shift", "shop"]
