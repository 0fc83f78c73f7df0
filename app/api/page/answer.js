// What stands beside the photo: the answer, or the error, or what the page waits for.

import { byId, make, say } from "./elements.js";
import { isAsking } from "./key.js";
import { advice, explanation, facts, headline, isSure, mayPass, perCent, seconds } from "./words.js";

/**
 * Show the state of a photo.
 *
 * `chosen` is the class whose heat map is shown, or null; `choose(classId)` is called for a click on a bar. Without
 * `choose` the bars cannot be clicked.
 */
export function showAnswer(photo, classes, chosen, choose) {
  const { answer, problem } = photo;
  byId("file-name").textContent = photo.name;
  byId("busy").hidden = Boolean(answer || problem || isAsking());
  byId("busy-text").textContent = photo.waitS
    ? `The server is full. The page asks again in ${seconds(photo.waitS)}.`
    : "The network looks at the photo.";
  byId("verdict").hidden = !answer;
  byId("again").hidden = !problem || !mayPass(problem);
  showProblem(problem);
  if (answer) showVerdict(answer, classes, chosen, choose);
}

function showProblem(problem) {
  const box = byId("problem");
  box.hidden = !problem;
  box.replaceChildren();
  if (!problem) return;
  const { title, detail = "" } = problem;
  // Some details only say a little more than the title.
  const sentences = detail.startsWith(title) ? [detail] : [title, detail];
  box.append(make("strong", { textContent: sentences[0] }));
  if (sentences[1]) box.append(make("p", { textContent: sentences[1] }));
  if (advice(problem)) box.append(make("p", { textContent: advice(problem) }));
  if (problem.code === "internal_error") box.append(make("p", { textContent: `Request ${problem.requestId}` }));
}

function showVerdict(answer, classes, chosen, choose) {
  byId("verdict").classList.toggle("unsure", !isSure(answer));
  byId("headline").textContent = headline(answer);
  say(byId("explanation"), explanation(answer, classes));
  byId("facts").textContent = facts(answer);
  byId("explain").hidden = !choose;
  byId("explain-switch").checked = chosen !== null;
  const hadFocus = byId("bars").contains(document.activeElement);
  byId("bars").replaceChildren(...answer.predictions.map((one) => make("li", {}, bar(one, chosen, choose))));
  if (hadFocus) byId("bars").querySelector("[aria-pressed=true]")?.focus();
}

function bar({ class_id: classId, label, score }, chosen, choose) {
  const fill = make("span", { className: "fill" });
  fill.style.width = `${score * 100}%`;
  const words = [make("span", { textContent: label }), make("span", { className: "per-cent", textContent: perCent(score) })];
  if (!choose) return make("div", { className: "bar" }, fill, ...words);
  return make(
    "button",
    { type: "button", className: "bar", ariaPressed: classId === chosen, onclick: () => choose(classId) },
    fill,
    ...words,
  );
}
