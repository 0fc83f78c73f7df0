// The same request from a program: with this server's address, and the name of the photo that is shown.

import { announce, byId } from "./elements.js";
import { currentKey } from "./key.js";

const SNIPPETS = {
  curl: ({ url, file, key }) => `curl -F file=@${file} ${key ? '-H "Authorization: Bearer $KEY" ' : ""}${url}`,
  python: ({ url, file, key }) =>
    `${key ? "import os\n\n" : ""}import httpx  # pip install httpx

with open("${file}", "rb") as photo:
    answer = httpx.post("${url}", files={"file": photo}${key ? ', headers={"Authorization": f"Bearer {os.environ[\'KEY\']}"}' : ""})
print(answer.raise_for_status().json()["predictions"][0]["label"])`,
  javascript: ({ url, file, key }) =>
    `import { openAsBlob } from "node:fs";  // Node 20 or later

const body = new FormData();
body.append("file", await openAsBlob("${file}"), "${file}");
${key ? "const headers = { Authorization: `Bearer ${process.env.KEY}` };\n" : ""}const answer = await fetch("${url}", { method: "POST", body${key ? ", headers" : ""} });
console.log((await answer.json()).predictions[0].label);`,
};

let file = "photo.jpg";

/** Show how a program sends this photo. A name with odd characters would have to be quoted, so it is replaced. */
export function showSnippet(name = file) {
  file = /^[\w][\w.-]*$/.test(name) ? name : "photo.jpg";
  const language = document.querySelector("[name=language]:checked").value;
  const url = new URL("predict", document.baseURI).href;
  byId("snippet").textContent = SNIPPETS[language]({ url, file, key: currentKey() !== null });
  byId("copy").textContent = "Copy";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("snippet").textContent);
    byId("copy").textContent = "Copied";
  } catch {
    // Browsers allow it only on https and on localhost.
    getSelection().selectAllChildren(byId("snippet"));
    byId("copy").textContent = "Selected";
  }
  announce(byId("copy").textContent);
}

byId("languages").addEventListener("change", () => showSnippet());
byId("copy").addEventListener("click", copy);
document.addEventListener("keychange", () => showSnippet());
