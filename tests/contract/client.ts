// A program with the client that openapi-typescript and openapi-fetch make of the contract:
// it prints the likeliest label, the labels of two photos, and the code of an error.
//
//   node client.js URL KEY PHOTO
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [baseUrl, key, path] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const photo = await readFile(path);

const image = photo.toString("base64");
const one = await client.POST("/predict", {
  params: { query: { top_k: 2 }, header: { "X-Deadline-Ms": 60000 } },
  body: { image },
});
if (one.data && "predictions" in one.data) {
  const best: components["schemas"]["Prediction"] | undefined = one.data.predictions[0];
  console.log(one.data.predictions.length, best?.label);
}

const several = await client.POST("/predict", {
  // The types of OpenAPI know no files, so the form is made here.
  body: { files: [path, path] },
  bodySerializer: () => {
    const form = new FormData();
    for (const name of [path, path]) form.append("files", new Blob([photo]), name);
    return form;
  },
});
if (several.data && "results" in several.data) {
  for (const result of several.data.results) console.log(result.predictions?.[0]?.label);
}

const wrong = await client.POST("/predict", { body: { image: "bm8gcGhvdG8=" } });
if (wrong.error) {
  const code: components["schemas"]["Problem"]["code"] = wrong.error.code;
  // @ts-expect-error: the compiler knows all codes, and this is none of them.
  const unknown = code === "no_such_code";
  console.log(wrong.response.status, code, unknown);
}

const health = await client.GET("/health");
console.log(health.data?.status);
