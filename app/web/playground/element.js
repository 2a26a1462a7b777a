/**
 * Makes an element. Text goes in as text, never as markup.
 * @param {string} name `tag` or `tag.class`
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {any} the element
 */
export function element(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = Object.assign(document.createElement(tag), properties);
  if (classes.length) made.classList.add(...classes);
  made.append(...children);
  return made;
}

/** Keeps the end of what scrolls in `box` in view, for as long as the reader is there. */
export function stick(box, content) {
  let near = true;
  let top = 0;
  // What grew since the last scroll must not look like the reader's leaving: only scrolling up is.
  box.addEventListener("scroll", () => {
    if (box.scrollTop + box.clientHeight > box.scrollHeight - 40) near = true;
    else if (box.scrollTop < top) near = false;
    top = box.scrollTop;
  });
  const sizes = new ResizeObserver(() => near && box.scrollTo(0, box.scrollHeight));
  sizes.observe(content);
  sizes.observe(box);
}
