// The same request from a program: with this server's address, and the names of the photos.

import { announce, byId } from "./elements.js";
import { currentKey } from "./key.js";

// Of many photos, this many are enough to show how they are sent.
const SHOWN = 3;

const SNIPPETS = { curl, python, javascript };

let files = ["photo.jpg"];

/** Show how a program sends these photos. */
export function showSnippet(names = files) {
  files = names.slice(0, SHOWN).map(plainName);
  const language = document.querySelector("[name=language]:checked").value;
  const url = new URL(".", document.baseURI).href.slice(0, -1);
  const lines = SNIPPETS[language](url, currentKey() !== null);
  byId("snippet").textContent = lines.filter((line) => line !== false).join("\n");
  byId("copy").textContent = "Copy";
}

/** Return a name that needs no quotes: one with odd characters is replaced. */
function plainName(name, place, names) {
  if (/^\w[\w.-]*$/.test(name)) return name;
  return names.length > 1 ? `photo-${place + 1}.jpg` : "photo.jpg";
}

const isSeveral = () => files.length > 1;
const list = () => `[${files.map((file) => `"${file}"`).join(", ")}]`;

function curl(url, key) {
  const parts = files.map((file) => `-F ${isSeveral() ? "files" : "file"}=@${file}`);
  if (key) parts.push('-H "Authorization: Bearer $KEY"');
  return [`curl ${[...parts, `${url}/predict`].join(isSeveral() ? " \\\n     " : " ")}`];
}

function python(url, key) {
  const head = [
    "# pip install ./clients/python  (in a clone of the project)",
    key && "import os\n",
    `from photo_classifier import ${isSeveral() ? "Answer, " : ""}Classifier`,
    "",
    `classifier = Classifier("${url}"${key ? ', os.environ["KEY"]' : ""})`,
  ];
  if (!isSeveral()) return [...head, `print(classifier.predict("${files[0]}").best)`];
  return [
    ...head,
    `for outcome in classifier.predict(${list()}):`,
    "    print(outcome.best if isinstance(outcome, Answer) else outcome.code)",
  ];
}

function javascript(url, key) {
  const [file] = files;
  return [
    'import { openAsBlob } from "node:fs";  // Node 20 or later',
    "",
    "const body = new FormData();",
    isSeveral()
      ? `for (const name of ${list()}) body.append("files", await openAsBlob(name), name);`
      : `body.append("file", await openAsBlob("${file}"), "${file}");`,
    key && "const headers = { Authorization: `Bearer ${process.env.KEY}` };",
    `const response = await fetch("${url}/predict", { method: "POST", body${key ? ", headers" : ""} });`,
    "const answer = await response.json();",
    isSeveral()
      ? "for (const { predictions, error } of answer.results) console.log(error ? error.code : predictions[0]?.label ?? 'no class');"
      : "console.log(answer.predictions[0]?.label ?? 'no class');",
  ];
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
