"""Errors that are not about a photo are problems as well."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import assert_problem, png, post

pytest_plugins = ["app_fixtures"]


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert_problem(client.get("/nothing"), 404, "not_found")
    # The service does not redirect a path with a slash at its end.
    assert_problem(post(client, png(), url="/predict/"), 404, "not_found")
    response = client.get("/predict")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST, PUT"
    assert post(client, png(), url="/health").headers["allow"] == "GET"
    assert client.delete("/explain").headers["allow"] == "POST"


def test_our_own_bug_is_500_in_our_own_words(client: TestClient, app: FastAPI) -> None:
    app.state.service.settings = None
    response = post(client, png())
    assert_problem(response, 500, "internal_error")
    assert "NoneType" not in response.text
