// Make an element. All text goes through textContent, so that a name can't be markup.

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child != null));
  return node;
}

// Take a card away. Nobody who works by the keyboard is to be thrown back to the top of the page.
export function takeAway(card, next = card.nextElementSibling ?? card.previousElementSibling) {
  const focused = card.contains(document.activeElement);
  card.remove();
  if (focused && next) giveFocus(next);
  else if (focused) document.getElementById("file").focus();
}

export function giveFocus(card) {
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
}

// A list of names and values; what has no value is left out.
export function facts(...pairs) {
  const list = make("dl", { className: "facts" });
  drawFacts(list, ...pairs);
  return list;
}

export function drawFacts(list, ...pairs) {
  list.replaceChildren(
    ...pairs
      .filter(([, value]) => value)
      .map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))),
  );
}
