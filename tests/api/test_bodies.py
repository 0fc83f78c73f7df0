"""The ways in which photos may come: the body itself, a form, JSON, and several at once."""

import base64
import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import FILE_FIELD, SETTINGS, assert_problem, form, png

pytest_plugins = ["app_fixtures"]

FORM = "multipart/form-data; boundary=b"
BASE64 = base64.b64encode(png(2)).decode()


def send(client: TestClient, body: bytes, kind: str | None, method: str = "POST") -> Any:  # noqa: ANN401
    headers = {"Content-Type": kind} if kind else {}
    return client.request(method, "/predict", content=body, headers=headers)


def send_json(client: TestClient, **fields: object) -> Any:  # noqa: ANN401
    return client.post("/predict", json=fields)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "kind",
    [
        "image/png",
        "image/jpeg",
        "IMAGE/X; q=1",
        "application/octet-stream",
        None,
        "application/x-www-form-urlencoded",
    ],
)
def test_the_body_may_be_the_photo(client: TestClient, kind: str | None, method: str) -> None:
    response = send(client, png(2), kind, method)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == 2


def test_a_body_that_is_no_image_is_told_so(client: TestClient) -> None:
    assert_problem(send(client, b"text", "image/png"), 415, "unsupported_image")
    assert_problem(send(client, b"text", None), 415, "unsupported_image")
    assert_problem(send(client, b"a=b", "application/x-www-form-urlencoded"), 422, "missing_file")
    assert_problem(send(client, b"", None), 422, "missing_file")


def test_a_part_without_a_file_name_may_be_an_image(client: TestClient) -> None:
    response = send(client, form(('name="file"', png(2))), FORM)
    assert response.json()["predictions"][0]["class_id"] == 2


@pytest.mark.parametrize(
    "given",
    [
        BASE64,
        f"data:image/png;base64,{BASE64}",
        base64.encodebytes(png(2)).decode(),
        BASE64.replace("A", "A\r\n"),
    ],
    ids=["plain", "data URL", "lines", "lines with CR"],
)
def test_json_may_have_base64(client: TestClient, given: str) -> None:
    response = send_json(client, image=given)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image": "http://127.0.0.1/cat.jpg"}, "fetches no URLs"),
        ({"image": "file:///etc/passwd"}, "fetches no URLs"),
        ({"image": "no base64"}, "not a string of base64"),
        ({"image": 5}, "not a string of base64"),
        ({"image": BASE64.replace("/", "_").replace("+", "-") + "-_"}, "not a string of base64"),
        ({"images": [BASE64, None]}, "images[1]: This is not a string of base64"),
        ({"image": BASE64, "top_k": 1}, "'top_k' is in the body; it belongs in the query"),
        ({"image": BASE64, "images": [BASE64]}, "only one of them"),
        ({"images": [BASE64] * 33}, "at most 32"),
    ],
)
def test_what_json_must_not_have(client: TestClient, fields: dict[str, Any], words: str) -> None:
    response = send_json(client, **fields)
    assert_problem(response, 422, "invalid_request")
    assert words in response.json()["detail"]


def test_too_many_photos_are_not_even_read(client: TestClient) -> None:
    response = send_json(client, images=["no base64"] * 33)
    assert_problem(response, 422, "invalid_request")
    assert "at most 32" in response.json()["detail"]


@pytest.mark.parametrize("value", [b"[],", b"{},", b"0,", b"["])
def test_json_of_very_many_values_is_not_parsed(client: TestClient, value: bytes) -> None:
    """Each value would take much more memory than its bytes in the body."""
    body = b'{"images": [' + 200_000 * value + b"0]}"
    response = send(client, body[: SETTINGS.max_body_bytes], "application/json")
    assert_problem(response, 400, "malformed_body")
    assert "more than 200,000 values" in response.json()["detail"]


@pytest.mark.parametrize("fields", [{}, {"images": []}, {"photo": BASE64}, {"images": "x"}])
def test_json_without_a_photo(client: TestClient, fields: dict[str, Any]) -> None:
    assert_problem(send_json(client, **fields), 422, "missing_file")


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_json_that_is_none(client: TestClient, body: bytes) -> None:
    assert_problem(send(client, body, "application/json"), 400, "malformed_body")


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"text"'])
def test_json_that_is_no_object_has_no_photo(client: TestClient, body: bytes) -> None:
    assert_problem(send(client, body, "application/json"), 422, "missing_file")


def test_several_photos_get_an_answer_each_in_their_order(client: TestClient) -> None:
    files = [("files", ("a", png(color))) for color in (2, 0, 1)]
    answers = [client.post("/predict", files=files)]
    images = [base64.b64encode(png(color)).decode() for color in (2, 0, 1)]
    answers.append(send_json(client, images=images))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"model", "results"}
        best = [result["predictions"][0]["class_id"] for result in body["results"]]
        assert best == [2, 0, 1]
        assert body["results"][0]["image"] == {"width": 80, "height": 70, "format": "PNG"}


def test_a_bad_photo_has_an_error_of_its_own(client: TestClient) -> None:
    photos = [png(2), b"text", b"", png()[:60], png(1)]
    answer = client.post("/predict", files=[("files", ("a", photo)) for photo in photos])
    results = answer.json()["results"]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == [None, "unsupported_image", "empty_file", "broken_image", None]
    assert results[1]["error"]["request_id"] == answer.headers["x-request-id"]


def test_where_no_photo_can_be_answered_the_request_fails(client: TestClient, app: FastAPI) -> None:
    app.state.service.pool.failing = True
    files = [("files", ("a", png()))] * 2
    assert_problem(client.post("/predict", files=files), 503, "not_ready")
    app.state.service.pool.failing = False
    response = client.post("/predict", files=files, params={"top_k": 4})
    assert_problem(response, 422, "invalid_request")


def test_each_of_several_photos_takes_a_place(client: TestClient, app: FastAPI) -> None:
    """There are four places, so 12 photos wait for each other."""
    answer = client.post("/predict", files=[("files", ("a", png(2)))] * 12)
    assert [r["predictions"][0]["class_id"] for r in answer.json()["results"]] == [2] * 12
    assert app.state.service.admission.in_flight == 0


def test_photos_of_a_request_that_is_in_wait_longer_than_a_request_may_at_the_door(
    client: TestClient, app: FastAPI
) -> None:
    """A batch takes 20 ms here, and there are four places, so the last photos wait for 0.1 s."""
    app.state.service.pool.seconds = 0.02
    app.state.service.door._longest_wait_s = 0.001
    answer = client.post("/predict", files=[("files", ("a", png(2)))] * 24)
    assert [result.get("error") for result in answer.json()["results"]] == [None] * 24


def test_parameters_in_a_form_are_refused(client: TestClient) -> None:
    body = form((FILE_FIELD, png()), ('name="top_k"', b"1"), ('name="other"', b"1"))
    response = send(client, body, FORM)
    assert_problem(response, 422, "invalid_request")
    assert "'top_k' is in the body" in response.json()["detail"]


def test_an_empty_list_of_photos_is_no_list(client: TestClient) -> None:
    body = form((FILE_FIELD, png()), ('name="files"', b""))
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert "predictions" in client.post("/predict", content=body, headers=headers).json()


def test_the_fields_for_one_and_for_several_exclude_each_other(client: TestClient) -> None:
    body = form((FILE_FIELD, png()), ('name="files"; filename="b"', png()))
    assert_problem(send(client, body, FORM), 422, "invalid_request")


def test_each_photo_and_all_together_have_a_limit(client: TestClient) -> None:
    large = b"\xff\xd8\xff" + b"x" * SETTINGS.max_upload_bytes
    for response in (
        send(client, large, "image/jpeg"),
        client.post("/predict", files=[("files", ("a", png())), ("files", ("b", large))]),
        client.post("/predict", files=[("files", ("b", large[:-3]))] * 4),
    ):
        assert_problem(response, 413, "file_too_large")
        assert "200,000" in response.json()["detail"]


def test_low_scores_may_be_left_out(client: TestClient) -> None:
    response = client.post("/predict", content=png(2), params={"min_score": 0.5})
    assert [each["class_id"] for each in response.json()["predictions"]] == [2]
    for wrong in ("-0.1", "1.1", "much", "nan", "1e-1"):
        response = client.post("/predict", content=png(2), params={"min_score": wrong})
        assert_problem(response, 422, "invalid_request")
        assert "min_score" in response.json()["detail"]


@pytest.mark.parametrize(
    ("name", "hint"), [("topk", "did you mean top_k?"), ("colour", "it knows")]
)
def test_unknown_parameters_are_refused(client: TestClient, name: str, hint: str) -> None:
    response = client.post("/predict", content=png(), params={name: "1"})
    assert_problem(response, 422, "invalid_request")
    assert hint in response.json()["detail"]


def test_a_parameter_that_comes_twice_is_refused(client: TestClient) -> None:
    response = client.post("/predict?top_k=1&top_k=2", content=png())
    assert_problem(response, 422, "invalid_request")
    assert response.json()["detail"] == "query.top_k: the request has it more than once"


def test_a_number_with_too_many_digits_is_told_the_largest_one(client: TestClient) -> None:
    response = client.post("/predict", content=png(), params={"top_k": "9" * 30})
    assert_problem(response, 422, "invalid_request")
    assert "a whole number from 1 to 999999999" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/predict/", "/predict"),
        ("/Predict", "/predict"),
        ("/predic", "/predict"),
        ("/docs/", "/docs"),
        ("/openapi", "/openapi.json"),
    ],
)
def test_a_path_that_is_nearly_right_is_told_so(client: TestClient, path: str, meant: str) -> None:
    response = client.post(path, content=png())
    assert_problem(response, 404, "not_found")
    assert f"did you mean {meant}?" in response.json()["detail"]


def test_another_path_has_no_hint(client: TestClient) -> None:
    assert "did you mean" not in client.get("/nothing/like/it").json()["detail"]


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready", "/metrics"])
def test_head_is_answered_wherever_get_is(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == client.get(path).status_code
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_json_is_documented_with_the_rest(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
        "application/octet-stream",
        "image/*",
    }
    assert "Classifications" in json.dumps(operation["responses"]["200"])
