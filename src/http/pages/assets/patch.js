// Makes what is shown like what was asked for, and touches nothing that is the same: focus, scroll, open details,
// ticks and what somebody is typing stay.

/** @param {Node} old @param {Node} fresh */
export function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || idOf(old) !== idOf(fresh)) {
    old.parentNode?.replaceChild(fresh, old);
  } else if (old instanceof Element && fresh instanceof Element) {
    if (old.hasAttribute('data-keep') || old.isEqualNode(fresh)) return;
    attributes(old, fresh);
    if (!(old instanceof HTMLTextAreaElement || old instanceof HTMLSelectElement)) children(old, fresh);
  } else if (old.nodeValue !== fresh.nodeValue) {
    old.nodeValue = fresh.nodeValue;
  }
}

/** @param {Node} node */
const idOf = (node) => (node instanceof Element ? node.id : '');

/** Those that whoever looks has changed, not the page. */
const THEIRS = new Set(['open', 'value', 'checked', 'data-at']);

/** @param {Element} old @param {Element} fresh */
function attributes(old, fresh) {
  const keeps = old.matches('details, input, dialog, tr');
  for (const { name, value } of [...fresh.attributes]) {
    // A form that was opened later has another key; the one on the screen is as good.
    if (keeps && THEIRS.has(name) && !(old instanceof HTMLInputElement && old.type === 'hidden')) continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(keeps && THEIRS.has(name))) old.removeAttribute(name);
  }
}

/** @param {Element} old @param {Element} fresh */
function children(old, fresh) {
  const known = new Map();
  for (const child of old.children) if (child.id) known.set(child.id, child);
  const wanted = new Set();
  for (const child of fresh.children) if (child.id) wanted.add(child.id);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    // What is gone goes first, so that what follows need not move.
    while (at && idOf(at) && !wanted.has(idOf(at))) at = drop(at);
    const id = idOf(next);
    const same = id ? known.get(id) : undefined;
    if (same) {
      if (same === at) at = at.nextSibling;
      else move(old, same, at);
      patch(same, next);
    } else if (at && !id && !idOf(at) && at.nodeName === next.nodeName) {
      const here = at;
      at = at.nextSibling;
      patch(here, next);
    } else {
      old.insertBefore(next, at);
    }
  }
  while (at) at = drop(at);
}

/** @param {ChildNode} node */
function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

/** Where it can be done the node keeps its focus. @param {any} parent @param {Node} node @param {Node | null} before */
function move(parent, node, before) {
  if (parent.moveBefore) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}
