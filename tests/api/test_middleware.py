"""The middleware: request ids and the access log."""

import pytest
from fastapi.testclient import TestClient
from posting import png, post

pytest_plugins = ["app_fixtures"]


def test_a_sane_request_id_is_kept(client: TestClient) -> None:
    response = post(client, png(), headers={"X-Request-ID": "trace-1.a:b_c"})
    assert response.headers["x-request-id"] == "trace-1.a:b_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", 'a"b'])
def test_an_odd_request_id_is_replaced(client: TestClient, given: str) -> None:
    response = client.get("/", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] not in {"", given}


@pytest.mark.parametrize(
    "path",
    ["/predict", "/docs/a-b_c.d~e", "/%1B%5B31mred", "/a%0D%0Ab", "/%C2%9B31m", "/a%3Fb%20c"],
)
def test_a_path_is_logged_as_it_came(
    client: TestClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A terminal that shows the log would obey control characters in an unquoted path."""
    with caplog.at_level("INFO", "app.access"):
        status = client.get(path).status_code
    (line,) = [record for record in caplog.records if record.name == "app.access"]
    assert (line.getMessage(), line.__dict__["path"]) == (f"GET {path} {status}", path)
