// The photo upright, as browsers show it, with the network's crop and the heat map on it.

import { byId, say } from "./elements.js";

// The colours of a heat map, from dark to bright.
const GLOW = [[10, 7, 46], [110, 25, 110], [220, 60, 60], [252, 160, 30], [255, 250, 160]];

// The photo that the browser has read. Until then the element still has the one before.
let loaded = null;
// The photo that the browser cannot read.
let unreadable = null;

/** Return where the network's input lies in an upright photo, as fractions of its width and height. */
export function cropOf(width, height, { resize_short: short, resize, crop }) {
  const ratio = short / Math.min(width, height);
  const resized = resize ?? [Math.round(width * ratio), Math.round(height * ratio)];
  const [left, top] = resized.map((length, axis) => Math.floor((length - crop[axis]) / 2) / length);
  return { left, top, width: crop[0] / resized[0], height: crop[1] / resized[1] };
}

/** Show a photo, and on it what the network sees, if that is known; or say that the browser cannot show it. */
export function showPicture(photo, input) {
  const image = byId("photo");
  byId("frame").hidden = true;
  byId("heat").hidden = true;
  say(byId("no-preview"), "");
  byId("caption").textContent = "";
  image.onload = () => {
    loaded = photo;
    drawFrame(photo, input);
  };
  image.onerror = () => {
    unreadable = photo;
    drawFrame(photo, input);
  };
  image.alt = photo.name;
  image.src = photo.url;
}

/** Draw what the network sees on the photo, as soon as the browser has read it, or say that it cannot be shown. */
export function drawFrame(photo, input) {
  if (photo === unreadable) say(byId("no-preview"), noPreview(photo));
  const { naturalWidth: width, naturalHeight: height } = byId("photo");
  if (photo !== loaded) return;
  byId("frame").style.setProperty("--ratio", width / height);
  byId("frame").hidden = false;
  // Chromium does not turn a WebP upright as its EXIF data say.
  const isTurned = photo.answer && photo.answer.image.width !== width;
  byId("crop").hidden = !input || isTurned;
  if (isTurned) byId("caption").textContent = "Your browser shows this photo turned. The network sees it upright.";
  if (byId("crop").hidden) return;
  const crop = cropOf(width, height, input);
  for (const [side, fraction] of Object.entries(crop)) byId("crop").style[side] = `${fraction * 100}%`;
  const outside = Math.round((1 - crop.width * crop.height) * 100);
  const whole = outside < 1 ? "all of the photo" : `only what is inside the frame; ${outside} % of the photo lies outside`;
  byId("caption").textContent = `The network sees ${whole}. It gets this as ${input.crop[0]} × ${input.crop[1]} pixels.`;
}

function noPreview({ answer, problem }) {
  const words = "Your browser cannot show this file";
  if (answer) return `${words}, but the server has read it.`;
  return problem ? `${words}.` : `${words}. The server may be able to read it all the same.`;
}

/** Draw a map over the crop: rows of numbers between 0 (dark) and 1 (bright). */
export function drawHeat(map) {
  const canvas = byId("heat");
  [canvas.width, canvas.height] = [map[0].length, map.length];
  const image = new ImageData(canvas.width, canvas.height);
  map.flat().forEach((value, place) => image.data.set([...colour(value), 255], place * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.hidden = false;
}

export function hideHeat() {
  byId("heat").hidden = true;
}

/** Return red, green and blue of a value between 0 and 1, for people who cannot tell red from green as well. */
function colour(value) {
  const place = Math.min(1, Math.max(0, value)) * (GLOW.length - 1);
  const below = Math.min(Math.floor(place), GLOW.length - 2);
  return GLOW[below].map((from, channel) => from + (place - below) * (GLOW[below + 1][channel] - from));
}
