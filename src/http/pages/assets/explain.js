// What is typed is explained at once, and the address says it, so that it can be passed on.
import { refresh } from './live.js';

/** @param {HTMLFormElement} form */
export function start(form) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  const field = /** @type {HTMLInputElement} */ (form.elements.namedItem('schedule'));
  /** The field of the expression that the caret is in. */
  const light = () => {
    const before = field.value.slice(0, field.selectionStart ?? 0).split('|').at(-1)?.trimStart() ?? '';
    const at = document.activeElement === field && field.value ? before.split(/\s+/).length - 1 : -1;
    document.querySelectorAll('[data-field]').forEach((one, n) => one.classList.toggle('lit', n === at));
  };
  const changed = () => {
    clearTimeout(later);
    later = setTimeout(() => {
      const said = [...new FormData(form)].filter(([name, value]) => value && !(name === 'dst_gap' && value === 'shift') && !(name === 'dst_overlap' && value === 'first'));
      const query = new URLSearchParams(/** @type {any} */ (said)).toString();
      history.replaceState(null, '', query ? `?${query}` : location.pathname);
      refresh('now');
    }, 150);
  };
  form.addEventListener('input', changed);
  document.addEventListener('selectionchange', light);
  document.addEventListener('patched', light);
  light();
  // Whoever types fast may have begun before this was there.
  if (field.value !== field.defaultValue) changed();
}
