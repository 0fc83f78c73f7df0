// The key, which the page asks for only after the server has answered 401. The tab keeps it, and nothing else does.

import { byId, say } from "./elements.js";

const NAME = "photo-classifier-key";

// Requests that wait for a key: they all get the same one.
let asked = null;

export const currentKey = () => sessionStorage.getItem(NAME);

/** Wait until the person has given another key than the one that the server has refused. */
export async function askForKey(refused, signal) {
  if (currentKey() !== refused) return;
  if (!asked) {
    asked = Promise.withResolvers();
    byId("key-form").hidden = false;
    say(byId("key-error"), refused ? "The server does not know this key." : "");
    byId("key").select();
    byId("key").focus();
    document.dispatchEvent(new Event("keychange"));
  }
  await Promise.race([asked.promise, aborted(signal)]);
}

/** Tell whether requests wait for a key. */
export const isAsking = () => asked !== null;

function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

function keep(key) {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
  byId("forget").hidden = !key;
  document.dispatchEvent(new Event("keychange"));
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("key-form").hidden = true;
  const { resolve } = asked;
  asked = null;
  keep(byId("key").value.trim());
  resolve();
});
byId("forget").addEventListener("click", () => {
  byId("key").value = "";
  keep(null);
});
byId("forget").hidden = !currentKey();
