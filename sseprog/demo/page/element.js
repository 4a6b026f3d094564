// Make an element. All text goes through textContent, so that a name can't be markup.

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child != null));
  return node;
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
