"""Messages in the playground: while a run is in progress, with images, with files; and what went wrong, in words."""

import base64
from pathlib import Path

from playwright.sync_api import expect

SLOW = "/quiet /length 5000 /rate 50"
QUICK = "/quiet /length 5 /rate 500"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)

PASTE = """([name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], name, { type }));
  const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
  document.querySelector("#content").dispatchEvent(event);
}"""


def test_messages_wait_are_taken_back_and_interrupt(api, open_tab):
    tab = open_tab()
    tab.send(f"{SLOW} one")
    tab.has_received(5)
    waiting = tab.page.locator("article.waiting")
    tab.send(f"{QUICK} two")
    expect(waiting).to_contain_text("two")
    expect(waiting).to_contain_text("Waits for the run before it")
    tab.send(f"{QUICK} three")
    expect(waiting.nth(1)).to_contain_text("Waits for 2 runs")
    other = open_tab(tab.page.url)
    expect(other.page.locator("article.waiting .user")).to_have_text([f"{QUICK} two", f"{QUICK} three"])

    waiting.nth(1).get_by_role("button").click()
    expect(waiting).to_have_count(1)
    tab.page.fill("#content", f"{QUICK} four")
    tab.page.keyboard.press("Control+Enter")
    tab.has_checked(4)
    expect(waiting).to_have_count(0)
    runs = api.get(f"/sessions/{tab.session}/runs")["items"]
    shown = tab.page.locator("article").evaluate_all("all => all.map(({ dataset }) => [dataset.run, dataset.status])")
    said = [text.split()[-1] for text in tab.page.locator("article .user").all_inner_texts()]
    assert shown == [[run["id"], run["status"]] for run in runs]
    ended = {words: status for words, (_, status) in zip(said, shown, strict=True)}
    assert ended == {"one": "cancelled", "four": "completed", "two": "completed", "three": "cancelled"}
    assert said[:2] == ["one", "four"]
    expect(tab.page.locator("article").first.locator(".end")).to_contain_text("a newer message took its place")
    tab.is_exact(api)
    other.has_checked(4)
    other.is_exact(api)
    assert tab.complaints == []


def test_what_is_sent_while_away_waits_in_sight_and_is_answered_after_resuming(api, open_tab):
    tab = open_tab()
    tab.send(f"{QUICK} one")
    tab.has_checked(1)
    tab.page.click("#drop")
    waiting = tab.page.locator("article.waiting")
    for number, words in enumerate(("two", "three"), 1):
        tab.send(f"{QUICK} {words}")
        expect(waiting).to_have_count(number)
        expect(waiting.last).to_contain_text(f"{words}Sent; shown when you resume.")
    expect(tab.page.locator("#content")).to_have_value("")
    tab.page.click("#resume")
    tab.has_checked(3)
    expect(waiting).to_have_count(0)
    expect(tab.page.locator("article .user")).to_have_text([f"{QUICK} {words}" for words in ("one", "two", "three")])
    tab.is_exact(api)
    assert tab.complaints == []


def test_an_answer_goes_with_a_comment(open_tab):
    tab = open_tab()
    tab.send("/approve /quiet /length 5 /rate 500")
    expect(tab.page.locator("details.tool[data-status=waiting]")).to_have_count(1)
    tab.page.fill(".approval input", "they are old")
    tab.page.get_by_role("button", name="Refuse").click()
    expect(tab.page.locator(".approval .note")).to_have_text("Refused: they are old")
    expect(tab.page.locator("#content")).to_be_focused()
    tab.has_checked(1)
    expect(tab.page.locator("details.tool[data-status=failed]")).to_have_count(1)


def test_images_and_files_go_with_a_message(api, open_tab, tmp_path):
    note = Path(tmp_path / "note.txt")
    note.write_text("a note")
    tab = open_tab()
    tab.page.evaluate(PASTE, ["dot.png", "image/png", base64.b64encode(PNG).decode()])
    tab.page.set_input_files("#picker", note)
    entries = tab.page.locator("#attached li")
    expect(entries).to_have_count(2)
    expect(entries.filter(has_text="note.txt")).to_have_attribute("aria-busy", "false")
    tab.page.evaluate(PASTE, ["other.png", "image/png", base64.b64encode(PNG).decode()])
    tab.page.get_by_role("button", name="Leave out other.png").click()
    expect(entries).to_have_count(2)

    tab.send(f"{QUICK} look")
    tab.has_checked(1)
    expect(entries).to_have_count(0)
    expect(tab.page.locator("article .user small")).to_have_text("note.txt")
    expect(tab.page.locator("article .user img")).to_be_visible()
    (user, _) = api.get(f"/sessions/{tab.session}/messages")["items"]
    assert (user["images"], [file["name"] for file in user["files"]]) == (1, ["note.txt"])
    other = open_tab(tab.page.url)
    expect(other.page.locator("article .user small")).to_have_text("note.txt, 1 image")
    assert tab.complaints == []


def test_what_is_too_large_is_said_before_it_is_sent(open_tab, tmp_path):
    picture, film = tmp_path / "large.png", tmp_path / "film.mp4"
    picture.write_bytes(PNG + bytes(5 * 1024 * 1024))
    film.write_bytes(bytes(20 * 1024 * 1024 + 1))
    tab = open_tab()
    tab.page.set_input_files("#picker", picture)
    expect(tab.page.locator("#notice")).to_have_text("large.png has 5.0 MiB; an image may have 5.0 MiB.")
    tab.page.set_input_files("#picker", film)
    expect(tab.page.locator("#notice")).to_have_text("film.mp4 has 20.0 MiB; a file may have 20.0 MiB.")
    for number in range(5):
        tab.page.evaluate(PASTE, [f"{number}.png", "image/png", base64.b64encode(PNG).decode()])
    expect(tab.page.locator("#attached li")).to_have_count(4)
    expect(tab.page.locator("#notice")).to_have_text("A message takes 4 images; 4.png was left out.")
    assert [frame for frame in tab.frames() if frame["direction"] == "out"] == []


def test_a_picture_that_is_none_is_refused_in_words_and_the_message_stays(open_tab):
    tab = open_tab()
    tab.page.evaluate(PASTE, ["fake.png", "image/png", base64.b64encode(b"no image at all").decode()])
    expect(tab.page.locator("#attached li")).to_have_count(1)
    tab.send("look at this")
    expect(tab.page.locator("#notice")).to_contain_text("(invalid_message)")
    expect(tab.page.locator("#content")).to_have_value("look at this")
    expect(tab.page.locator("#attached li")).to_have_count(1)


def test_what_went_wrong_on_the_server_is_said_with_its_incident(open_tab):
    tab = open_tab()
    problem = {"detail": "something went wrong", "code": "internal_error", "incident": "0123abcd"}
    tab.page.route("**/sessions", lambda route: route.fulfill(status=500, json=problem))
    tab.page.click("#new button")
    expect(tab.page.locator("#notice")).to_have_text(
        "something went wrong (internal_error, incident 0123abcd)", timeout=15_000
    )
