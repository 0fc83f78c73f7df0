// The requests that the page sends. All addresses are relative, so a proxy may serve the page below any path.

import { askForKey, currentKey } from "./key.js";

const ATTEMPTS = 30;

// Until this time no request goes out, because the server has asked to wait.
let quietUntil = 0;

/** An error in the server's own words; `code` is a stable name. */
export class Problem extends Error {
  constructor({ code, title, status, detail, request_id: requestId }, retryAfterS = null) {
    super(title);
    Object.assign(this, { code, title, status, detail, requestId, retryAfterS });
  }
}

/** Return the server's state: its model, the network's input and the number of classes. */
export async function health() {
  return json(await get("health"));
}

/** Tell whether this server can say where the network has looked, and how many photos a request may have. */
export async function abilities() {
  const { paths } = await json(await get("openapi.json"));
  const form = paths["/predict"].post.requestBody.content["multipart/form-data"].schema;
  return { explains: "/explain" in paths, mostPhotos: form.properties.files.maxItems };
}

/** Return a file of the page as a photo. */
export async function sample(name) {
  // The browser has shown it already.
  const response = await get(`page/${name}`, { cache: "force-cache" });
  return new File([await response.blob()], name, { type: "image/jpeg" });
}

/** Return the classes of a photo. `onWait` hears for how many seconds the server asks to wait. */
export function classify(file, signal, onWait) {
  return send("predict", file, signal, onWait);
}

/** Return where the network has looked for a class: `map` has rows of numbers between 0 and 1. */
export async function explain(file, classId, signal) {
  const answer = await send(`explain?class_index=${classId}`, file, signal, () => {});
  // The service tells what each place adds to the logit. What speaks against the class is dark.
  const most = Math.max(...answer.map.flat(), Number.MIN_VALUE);
  return { ...answer, map: answer.map.map((row) => row.map((value) => Math.max(0, value / most))) };
}

async function send(path, file, signal, onWait) {
  for (let attempt = 1; ; attempt += 1) {
    await quiet(signal);
    const key = currentKey();
    const body = new FormData();
    body.append("file", file, file.name || "photo");
    const headers = { Accept: "application/json", ...(key && { Authorization: `Bearer ${latin1(key)}` }) };
    const response = await reach(path, { method: "POST", headers, body, signal });
    if (response.ok) return json(response);
    const problem = await problemOf(response);
    if (response.status === 401) {
      await askForKey(key, signal);
    } else if (problem.retryAfterS === null || attempt >= ATTEMPTS) {
      throw problem;
    } else {
      quietUntil = Math.max(quietUntil, performance.now() + problem.retryAfterS * 1000);
      onWait(problem.retryAfterS);
    }
  }
}

/** Return a text whose letters are the bytes of `text` in UTF-8, because headers take no other letters. */
function latin1(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function get(path, options) {
  const response = await reach(path, options);
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Problem({ code: "unreachable", title: "The server cannot be reached" });
  }
}

async function json(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem({ code: "unknown", title: "The server's answer cannot be read" });
  }
}

/** Return the problem that a response tells. A proxy before the server may tell it in HTML. */
async function problemOf(response) {
  const header = response.headers.get("Retry-After");
  const retryAfterS = /^\d+$/.test(header ?? "") ? Math.max(1, Number(header)) : null;
  try {
    return new Problem(await response.json(), retryAfterS);
  } catch {
    const { status } = response;
    return new Problem({ code: "unknown", title: `The server has answered with status ${status}`, status }, retryAfterS);
  }
}

/** Wait until requests may go out again. */
async function quiet(signal) {
  for (let left = quietUntil - performance.now(); left > 0; left = quietUntil - performance.now()) {
    await new Promise((resolve) => setTimeout(resolve, left));
  }
  signal.throwIfAborted();
}
