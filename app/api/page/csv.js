// The answers as CSV (RFC 4180): a line for each photo, or for each of its labels if the model names several.
// If the model can tell what is unfamiliar, two more columns say so.

const COLUMNS = ["file", "label", "class_id", "score", "model", "version", "error"];
const FURTHER = ["unfamiliar", "unfamiliarity"];

export function csvOf(photos) {
  const tells = photos.some(({ answer }) => answer?.unfamiliar !== undefined);
  const table = photos.flatMap((photo) => rows(photo).map((row) => (tells ? [...row, ...unfamiliar(photo)] : row)));
  const lines = [tells ? [...COLUMNS, ...FURTHER] : COLUMNS, ...table].map((cells) => cells.map(cell).join(","));
  // Without this mark, Excel reads the text in another encoding than UTF-8.
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

function rows({ name, answer, problem }) {
  if (!answer) return [[name, "", "", "", "", "", problem?.code ?? ""]];
  const model = [answer.model.name, answer.model.version, ""];
  const [best, ...others] = answer.predictions;
  if (!best) return [[name, "", "", "", ...model]];
  const named = best.threshold === undefined ? [best] : [best, ...others];
  return named.map(({ label, class_id: classId, score }) => [name, label, classId, score, ...model]);
}

function unfamiliar({ answer }) {
  return [answer?.unfamiliar ?? "", answer?.unfamiliarity ?? ""];
}

function cell(value) {
  // A spreadsheet would run a text that begins like a formula.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
