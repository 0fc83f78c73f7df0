// The answers as CSV (RFC 4180), a line for each photo.

const COLUMNS = ["file", "label", "class_id", "score", "model", "version", "error"];

export function csvOf(photos) {
  const lines = [COLUMNS, ...photos.map(row)].map((cells) => cells.map(cell).join(","));
  // Without this mark, Excel reads the text in another encoding than UTF-8.
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

function row({ name, answer, problem }) {
  if (!answer) return [name, "", "", "", "", "", problem?.code ?? ""];
  const { label, class_id: classId, score } = answer.predictions[0];
  return [name, label, classId, score, answer.model.name, answer.model.version, ""];
}

function cell(value) {
  // A spreadsheet would run a text that begins like a formula.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
