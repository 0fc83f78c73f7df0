"""The documentation: the index, Swagger UI and `/openapi.json`."""

import jsonschema
import pytest
from fakes import FakePool
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import SETTINGS, png, post

from app.errors import codes
from app.main import create_app
from app.model.bundle import Bundle
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

KEY = "a-key-0123456789"


def test_the_index_names_paths_that_exist(client: TestClient) -> None:
    index = client.get("/").json()
    for name in ("docs", "openapi", "health", "metrics"):
        assert client.get(index[name]).status_code == 200


def test_the_document_is_made_once(app: FastAPI) -> None:
    assert app.openapi() is app.openapi()


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
        "403",
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
    problem = {"$ref": "#/components/schemas/Problem"}
    contents = [r.get("content", {}) for o in operations for r in o["responses"].values()]
    kind = "application/problem+json"
    problems = [content[kind] for content in contents if kind in content]
    assert len(problems) > 10
    assert all(each["schema"] == problem for each in problems)
    assert "code" in document["components"]["schemas"]["Problem"]["required"]
    parameters = document["paths"]["/predict"]["post"]["parameters"]
    top_k, min_score, deadline = (parameter["schema"] for parameter in parameters)
    # Neither schema allows null, because a client cannot send null in a query or a header.
    assert top_k == {"type": "integer", "minimum": 1, "maximum": 3, "default": 3}
    assert min_score == {"type": "number", "minimum": 0, "maximum": 1, "default": 0}
    assert deadline == {"type": "integer", "minimum": 1, "maximum": 3_600_000}
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    for kind, name in (("multipart/form-data", "files"), ("application/json", "images")):
        assert content[kind]["schema"]["properties"][name]["maxItems"] == SETTINGS.max_photos


def test_openapi_has_a_true_example_of_every_error(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    problem = document["components"]["schemas"]["Problem"]
    seen = set()
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/problem+json", {})
                for code, example in content.get("examples", {}).items():
                    jsonschema.validate(example["value"], problem)
                    assert example["value"]["code"] == code
                    assert example["value"]["status"] == int(status)
                    assert f"`{code}`" in response["description"]
                    seen.add(code)
    # These two are for requests that no operation answers.
    others = {"malformed_request", "method_not_allowed"}
    assert seen | others == set(problem["properties"]["code"]["enum"]) == set(codes())
    given = post(client, b"no photo").json()
    jsonschema.validate(given, problem)


def test_openapi_has_a_true_example_of_every_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    one_of_two = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    examples = one_of_two["application/json"]["examples"]
    components = {"components": document["components"]}
    answer = {"$ref": "#/components/schemas/Classification"} | components
    answers = {"$ref": "#/components/schemas/Classifications"} | components
    jsonschema.validate(examples["one photo"]["value"], answer)
    jsonschema.validate(examples["several photos"]["value"], answers)
    jsonschema.validate(post(client, png()).json(), answer)
    health = document["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(
        health["examples"]["ready"]["value"], {"$ref": "#/components/schemas/Health"} | components
    )
    # What is no measurement is as the service says it.
    changing = {"workers", "workers_up", "max_batch_size", "batch_ms"}
    said, shown = client.get("/health").json(), health["examples"]["ready"]["value"]
    assert said.keys() == shown.keys()
    assert {name: shown[name] for name in said.keys() - changing} == {
        name: said[name] for name in said.keys() - changing
    }
    for path, status in (("live", "200"), ("live", "503"), ("ready", "200"), ("ready", "503")):
        content = document["paths"][f"/health/{path}"]["get"]["responses"][status]["content"]
        for state, example in content["application/json"]["examples"].items():
            assert example["value"] == {"status": state}


def test_openapi_shows_the_index_the_page_and_the_metrics(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    index = paths["/"]["get"]["responses"]
    assert set(index) == {"200", "304"}
    shown = index["200"]["content"]
    assert shown["application/json"]["examples"]["paths"]["value"] == client.get("/").json()
    (page,) = shown["text/html"]["examples"].values()
    given = client.get("/", headers={"Accept": "text/html"})
    assert page["value"] == given.text
    known = client.get("/", headers={"Accept": "text/html", "If-None-Match": given.headers["ETag"]})
    assert (known.status_code, known.content, "content" in index["304"]) == (304, b"", False)
    content = paths["/metrics"]["get"]["responses"]["200"]["content"]
    (metrics,) = content["text/plain"]["examples"].values()
    lines = metrics["value"].splitlines()
    assert len(lines) == 12
    assert set(lines) < set(client.get("/metrics").text.splitlines())


def test_openapi_names_the_headers_of_answers(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            assert all(
                "X-Request-ID" in each["headers"] for each in operation["responses"].values()
            )
    predict = document["paths"]["/predict"]["post"]["responses"]
    answered = post(client, png()).headers
    assert {name.lower() for name in predict["200"]["headers"]} <= set(answered)
    retried = {status for status, each in predict.items() if "Retry-After" in each["headers"]}
    assert retried == {"429", "503", "504"}
    assert "WWW-Authenticate" in predict["401"]["headers"]


@pytest.mark.parametrize("keys", [{}, {"api_keys": KEY}, {"api_keys": KEY, "admin_key": KEY}])
def test_openapi_asks_for_a_key_where_the_service_does(
    bundle: Bundle, keys: dict[str, str]
) -> None:
    document = create_app(read_settings(**keys), bundle, lambda *_: FakePool()).openapi()
    asked = {
        path: operation["security"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if "security" in operation
    }
    needs = {
        "api_keys": dict.fromkeys(("/predict", "/explain", "/embed"), "ApiKey"),
        "admin_key": {"/models/reload": "AdminKey"},
    }
    expected = {path: scheme for setting in keys for path, scheme in needs[setting].items()}
    assert asked == {path: [{scheme: []}] for path, scheme in expected.items()}
    schemes = document["components"].get("securitySchemes", {})
    assert set(schemes) == set(expected.values())
    assert {(one["type"], one["scheme"]) for one in schemes.values()} <= {("http", "bearer")}
