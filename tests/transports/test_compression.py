"""Pages are compressed for whoever takes it, kept by whoever knows them."""

import gzip

import httpx
import pytest

from app.transports.pages import takes_gzip
from tests.gateway import Gateway, Launch

pytestmark = pytest.mark.anyio

PAGE = "https://app.example"


@pytest.mark.parametrize(
    "accepted", ["gzip", "br, GZIP", "deflate,gzip;q=0.5", "gzip; q=1.0", "br;q=1, gzip ; q=0.001"]
)
def test_gzip_is_taken_where_it_is_named(accepted: str) -> None:
    assert takes_gzip(accepted)


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip", "*;q=0"])
def test_gzip_is_not_taken_where_it_is_not_named_or_is_forbidden(accepted: str) -> None:
    assert not takes_gzip(accepted)


async def body_of(http: httpx.AsyncClient, accepted: str) -> tuple[httpx.Response, bytes]:
    async with http.stream("GET", "/client.js", headers={"accept-encoding": accepted}) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_the_client_is_sent_compressed_or_not_as_its_reader_wants(gateway: Gateway) -> None:
    async with gateway.client() as http:
        (small, packed), (plain, body) = await body_of(http, "gzip"), await body_of(http, "identity")
    assert (small.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert gzip.decompress(packed) == body
    assert small.headers["content-length"] == str(len(packed))
    assert small.headers["etag"] != plain.headers["etag"]
    assert all("accept-encoding" in answer.headers["vary"].lower() for answer in (small, plain))


async def test_what_a_reader_has_is_not_sent_again(gateway: Gateway) -> None:
    async with gateway.client() as http:
        for accepted in ("gzip", "identity"):
            headers = {"accept-encoding": accepted}
            etag = (await http.get("/client.js", headers=headers)).headers["etag"]
            for known in (etag, f'"other",W/{etag}', "*"):
                again = await http.get("/client.js", headers=headers | {"if-none-match": known})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


async def test_caches_know_that_an_answer_depends_on_who_asks_and_how(launch: Launch) -> None:
    async with launch(allowed_origins=PAGE).client(headers={"accept-encoding": "gzip"}) as http:
        own, foreign = await http.get("/client.js"), await http.get("/client.js", headers={"origin": PAGE})
    assert {"accept-encoding", "origin"} <= set(own.headers["vary"].lower().replace(" ", "").split(","))
    assert foreign.headers["vary"].lower() == "origin"
    assert "content-encoding" not in foreign.headers
    assert foreign.headers["access-control-allow-origin"] == PAGE
