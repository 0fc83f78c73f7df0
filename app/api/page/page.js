// The page as a whole: photos come in, each is sent, and what is known of them is shown.

import { markCard, showAlbum, updateCard } from "./album.js";
import { showAnswer } from "./answer.js";
import { announce, byId, say } from "./elements.js";
import { drawFrame, drawHeat, hideHeat, showPicture } from "./picture.js";
import { Problem, abilities, classify, explain, health, sample } from "./service.js";
import { showSnippet } from "./snippets.js";
import { explanation, headline, mayPass, shortName } from "./words.js";

// The server decodes and batches a few photos at once, and other people send photos as well.
const LANES = 4;

let server = null;
let can = null;
// The photos of the last choice; the one that is shown; and what ends the requests of that choice.
let photos = [];
let shown = null;
let run = new AbortController();
// The class whose heat map is wanted: null for none, "best" for the likeliest one of each photo.
let wanted = null;

/** Take new photos instead of the old ones, and send them. */
async function take(files) {
  if (!files.length) return;
  run.abort();
  run = new AbortController();
  photos.forEach((photo) => URL.revokeObjectURL(photo.url));
  photos = [...files].map((file) => ({ file, name: file.name, url: URL.createObjectURL(file), maps: new Map() }));
  const { signal } = run;
  await meet();
  // Other photos may have come meanwhile.
  if (signal.aborted) return;
  showAlbum(photos, (photo) => {
    show(photo);
    byId("result").focus();
  });
  show(photos[0]);
  showSnippet(photos.slice(0, can?.mostPhotos).map((photo) => photo.name));
  sendAll(photos, signal);
}

/** Ask the server what it is. Its model may change while the page is open. */
async function meet() {
  try {
    server = await health();
    byId("model").textContent = `Model ${server.model.name}, version ${server.model.version}; service ${server.version}. `;
    can ??= await abilities();
  } catch (problem) {
    // The photo that is sent meets the same problem, and tells it in the place of the answer.
    if (!(problem instanceof Problem)) throw problem;
  }
}

/** Send photos, a few at a time. */
async function sendAll(waiting, signal) {
  const queue = waiting.values();
  const lane = async () => {
    for (const photo of queue) await sendOne(photo, signal);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function sendOne(photo, signal) {
  const wait = (seconds) => changed(photo, { waitS: seconds });
  try {
    changed(photo, { answer: await classify(photo.file, signal, wait) });
  } catch (problem) {
    if (signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    changed(photo, { problem });
  }
}

function changed(photo, news) {
  if (!photos.includes(photo)) return;
  Object.assign(photo, { answer: null, problem: null, waitS: 0 }, news);
  updateCard(photo);
  if (photo === shown) showState();
  if (photo.answer && photos.length === 1) {
    announce(`${headline(photo.answer)}. ${explanation(photo.answer, server?.classes)}`);
  }
}

function show(photo) {
  shown = photo;
  wanted = wanted === null ? null : "best";
  byId("result").hidden = false;
  document.body.classList.remove("fresh");
  markCard(photo);
  showPicture(photo, server?.input);
  showState();
}

function showState() {
  const chosen = wanted === "best" ? shown.answer?.predictions[0]?.class_id : wanted;
  drawFrame(shown, server?.input);
  showAnswer(shown, server?.classes, chosen ?? null, can?.explains ? want : null);
  showHeat(shown, chosen ?? null);
}

/** Want the heat map of a class, or of none. */
function want(classId) {
  wanted = classId;
  showState();
}

async function showHeat(photo, classId) {
  hideHeat();
  say(byId("explain-hint"), classId === null ? "" : "The network looks again.");
  if (classId === null) return;
  try {
    if (!photo.maps.has(classId)) photo.maps.set(classId, await explain(photo.file, classId, run.signal));
  } catch (problem) {
    if (run.signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    say(byId("explain-hint"), `${problem.title}. ${problem.detail ?? ""}`);
    return;
  }
  const isStillWanted = photo === shown && [classId, "best"].includes(wanted);
  if (!isStillWanted) return;
  const { map, label } = photo.maps.get(classId);
  drawHeat(map);
  say(byId("explain-hint"), `Bright is what speaks most for “${shortName(label)}”. Choose another class above to compare.`);
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files);
}

for (const input of [byId("files"), byId("camera")]) {
  input.addEventListener("change", () => {
    take([...input.files]);
    // Otherwise the same photo, chosen again, would be no change.
    input.value = "";
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("dropping", event.dataTransfer.types.includes("Files"));
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", dropped);
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", async () => take([await sample(button.dataset.sample)]));
}
byId("again").addEventListener("click", () => {
  const failed = photos.filter(({ problem }) => problem && mayPass(problem));
  failed.forEach((photo) => changed(photo, {}));
  sendAll(failed, run.signal);
});
byId("explain-switch").addEventListener("change", (event) => want(event.target.checked ? "best" : null));
document.addEventListener("keychange", () => shown && showState());

showSnippet();
meet();
