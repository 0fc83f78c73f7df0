"""The documentation: the index, Swagger UI and `/openapi.json`."""

from fastapi.testclient import TestClient

pytest_plugins = ["app_fixtures"]


def test_the_index_names_paths_that_exist(client: TestClient) -> None:
    index = client.get("/").json()
    for name in ("docs", "openapi", "health", "metrics"):
        assert client.get(index[name]).status_code == 200


def test_the_documentation_asks_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "swagger-ui" in page
    assert "http://" not in page
    assert "https://" not in page


def test_openapi_documents_every_error_of_predict(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    responses = document["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {
        "200",
        "400",
        "401",
        "408",
        "413",
        "415",
        "422",
        "429",
        "500",
        "503",
        "504",
    }
    for status, response in responses.items():
        if status != "200":
            assert list(response["content"]) == ["application/problem+json"]
    assert "`too_many_pixels`" in responses["413"]["description"]


def test_openapi_makes_a_usable_client(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = {operation["operationId"] for operation in operations}
    assert names == {
        "predict",
        "explain",
        "embed",
        "health",
        "live",
        "ready",
        "metrics",
        "reload",
        "index",
    }
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    contents = [r.get("content", {}) for o in operations for r in o["responses"].values()]
    kind = "application/problem+json"
    problems = [content[kind] for content in contents if kind in content]
    assert len(problems) > 10
    assert all(each == problem for each in problems)
    assert "code" in document["components"]["schemas"]["Problem"]["required"]
    parameters = document["paths"]["/predict"]["post"]["parameters"]
    top_k, min_score, deadline = (parameter["schema"] for parameter in parameters)
    # Neither schema allows null, because a client cannot send null in a query or a header.
    assert (top_k["type"], top_k["minimum"]) == ("integer", 1)
    assert (min_score["type"], min_score["minimum"], min_score["maximum"]) == ("number", 0, 1)
    assert (deadline["type"], deadline["minimum"], deadline["maximum"]) == ("integer", 1, 3_600_000)
