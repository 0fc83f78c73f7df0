// Short names for what the page does with its elements all the time.

export const byId = (id) => document.getElementById(id);

/** Return a new element with these properties and children; a child is an element or a text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Show an element with a text, or hide it if the text is empty. */
export function say(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

/** Let a screen reader speak a sentence that the page shows in another way. */
export function announce(text) {
  byId("announcement").textContent = text;
}
