// Several photos: a card for each of them, how far the page has come, and the answers as CSV.

import { csvOf } from "./csv.js";
import { announce, byId, make, say } from "./elements.js";
import { bestOf, headline, isSure, perCent, seconds, shortName } from "./words.js";

let cards = new Map();

/** Show a card for each photo. `open(photo)` is called for a click on one. */
export function showAlbum(photos, open) {
  byId("album").hidden = photos.length < 2;
  cards = new Map(photos.map((photo) => [photo, card(photo, open)]));
  byId("cards").replaceChildren(...[...cards.values()].map((button) => make("li", {}, button)));
  byId("album-title").textContent = `${photos.length} photos`;
  byId("progress").max = photos.length;
  byId("download").onclick = () => download(csvOf(photos));
  photos.forEach(updateCard);
}

/** Show the new state of a photo on its card, and how many photos are done. */
export function updateCard(photo) {
  const button = cards.get(photo);
  const { answer, problem } = photo;
  const unsure = answer && !isSure(answer);
  button.className = `photo-card ${problem ? "failed" : !answer ? "waiting" : unsure ? "unsure" : ""}`;
  button.querySelector(".label").textContent = words(photo);
  say(button.querySelector(".per-cent"), answer && bestOf(answer) ? perCent(bestOf(answer).score) : "");
  showProgress();
}

/** Mark the card of the photo that stands above. */
export function markCard(opened) {
  for (const [photo, button] of cards) button.ariaCurrent = photo === opened ? "true" : null;
}

function words({ answer, problem, waitS }) {
  if (problem) return problem.title;
  if (!answer) return waitS ? `asks again in ${seconds(waitS)}` : "waits";
  if (isSure(answer) || answer.unfamiliar || !bestOf(answer)) return headline(answer);
  return `${shortName(bestOf(answer).label)}?`;
}

function card(photo, open) {
  const image = make("img", { src: photo.url, alt: "", loading: "lazy", decoding: "async" });
  image.onerror = () => image.replaceWith("no preview");
  const file = make("span", { className: "file", textContent: photo.name });
  return make(
    "button",
    { type: "button", title: photo.name, onclick: () => open(photo) },
    make("span", { className: "picture" }, image),
    make("span", { className: "label" }),
    make("span", { className: "origin" }, make("span", { className: "per-cent" }), file),
  );
}

function showProgress() {
  const photos = [...cards.keys()];
  const failed = photos.filter((photo) => photo.problem).length;
  const done = photos.filter((photo) => photo.answer).length + failed;
  const state = `${done} of ${photos.length} done${failed ? `, ${failed} without an answer` : ""}`;
  byId("progress").value = done;
  byId("download").disabled = done < photos.length;
  if (done === photos.length && photos.length > 1 && byId("album-state").textContent !== state) announce(state);
  byId("album-state").textContent = state;
}

function download(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: url, download: "photos.csv" }).click();
  URL.revokeObjectURL(url);
}
