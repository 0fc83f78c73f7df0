// Answers and errors in words.

// The network is "not sure" below this score. On ImageNet about every second answer there is wrong.
const SURE = 0.4;
// The second class is worth a word if its score is at least this part of the best one's.
const CLOSE = 0.75;
// A headline lists so many labels.
const LISTED = 3;

const ADVICE = {
  broken_image: "Try to open the photo in another program and save it again.",
  costly_image: "Try to save the photo again, smaller or as a plain JPEG.",
  empty_file: "The file has no content. Choose another one.",
  file_too_large: "Make the photo smaller: the network looks at few pixels anyway.",
  internal_error: "Please tell the people who run this server, and name the request.",
  too_many_pixels: "Make the photo smaller: the network looks at few pixels anyway.",
  unreachable: "Look whether you are connected, and try again.",
  unsupported_image: "Save the photo as a JPEG or PNG, and choose that file.",
};

/** Return the class with the highest score; undefined if no class reaches its threshold. */
export const bestOf = ({ predictions }) => predictions[0];

/** Tell whether the model itself decides, by a threshold, which classes it names. */
const decides = ({ predictions: [best] }) => !best || best.threshold !== undefined;

/** Tell whether the answer names a class without doubt. */
export const isSure = (answer) =>
  !answer.unfamiliar && Boolean(bestOf(answer)) && (decides(answer) || bestOf(answer).score >= SURE);

/** Return the first of the names that a label lists. */
export const shortName = (label) => label.split(",")[0];

export function perCent(score) {
  if (score < 0.001) return "under 0.1 %";
  return `${(score * 100).toFixed(score < 0.1 ? 1 : 0)} %`;
}

function several(names) {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).join(", ") + more;
}

export function headline(answer) {
  if (answer.unfamiliar || !bestOf(answer)) return "None of its classes";
  if (decides(answer)) return several(answer.predictions.map(({ label }) => shortName(label)));
  return isSure(answer) ? shortName(bestOf(answer).label) : "Not sure";
}

/** Explain the answer: how likely it is, or why the network is not sure. */
export function explanation(answer, classes) {
  const [best, second] = answer.predictions;
  if (answer.unfamiliar) return unlike(answer, classes);
  if (!best) return `No class ${classes ? `of the ${classes} ` : ""}that the network knows reaches its threshold.`;
  if (decides(answer)) return `${perCent(best.score)}: the model decides by a threshold of ${perCent(best.threshold)}.`;
  const known = classes ? `the ${classes} classes` : "the classes";
  if (isSure(answer)) {
    const rival = second && second.score >= CLOSE * best.score ? ` “${shortName(second.label)}” is nearly as likely.` : "";
    return `${perCent(best.score)}: the likeliest of ${known} that the network knows.${rival}`;
  }
  const perhaps = [best, second].filter(Boolean).map((one) => `perhaps ${shortName(one.label)}`).join(", ");
  return (
    `${perhaps[0].toUpperCase()}${perhaps.slice(1)}. None of ${known} that the network knows reaches ` +
    `${perCent(SURE)}. The photo may show something else, several things at once, or its subject may lie outside the frame.`
  );
}

function unlike({ unfamiliarity, predictions: [best] }, classes) {
  const nearest = best ? ` The likeliest of them would be “${shortName(best.label)}”.` : "";
  return (
    `The photo is unlike those of ${classes ? `the ${classes} classes` : "the classes"} that the network knows: its ` +
    `unfamiliarity is ${perCent(unfamiliarity)}, and the limit is 50 %.${nearest}`
  );
}

export function facts({ image, timings_ms: took }) {
  return (
    `${image.width} × ${image.height} pixels, ${image.format}. Answered in ${Math.round(took.total)}\u00a0ms: ` +
    `decoding ${took.decode.toFixed(1)}, waiting ${took.queue.toFixed(1)}, network ${took.inference.toFixed(1)}.`
  );
}

/** Tell whether the same photo may get an answer later. */
export const mayPass = ({ status }) => status === undefined || status >= 500 || [408, 429].includes(status);

export const advice = (problem) => ADVICE[problem.code] ?? "";

export const seconds = (count) => `${count} second${count === 1 ? "" : "s"}`;
