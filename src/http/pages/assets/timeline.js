// The picture of time under the hand: nearer and farther with the wheel, what is under the pointer in a line below it,
// and from bar to bar with the arrows.

/** @returns {HTMLElement | null} */
const region = () => document.querySelector('[data-timeline]');

/** @param {string} which */
const go = (which) => {
  const link = /** @type {HTMLAnchorElement | null} */ (document.querySelector(`.steering [data-${which}]`));
  if (link) location.href = link.href;
};

/** The instant under a point. @param {HTMLElement} box @param {number} x */
function instant(box, x) {
  const cell = box.querySelector('thead td, thead th + th');
  if (!cell) return null;
  const { left, width } = cell.getBoundingClientRect();
  const share = (x - left) / width;
  if (share < 0 || share > 1) return null;
  const [from, until] = [Date.parse(box.dataset.from ?? ''), Date.parse(box.dataset.until ?? '')];
  return from + (until - from) * share;
}

/** @param {Element | null} link */
const words = (link) => link?.closest('tr')?.querySelector('.name')?.textContent + ': ' + link?.querySelector('title')?.textContent;

/** @param {string} text */
function tell(text) {
  const told = document.getElementById('told');
  if (told && told.textContent !== text) told.textContent = text;
}

/** @param {HTMLElement} box */
function prepare(box) {
  if (!box.querySelector('.cursor')) {
    const cursor = document.createElement('div');
    cursor.className = 'cursor';
    cursor.hidden = true;
    box.append(cursor);
  }
  // One of them can be reached with the tab key, the others from there.
  if (!box.querySelector('td a[tabindex="0"]')) box.querySelector('tbody td a')?.setAttribute('tabindex', '0');
}

/** @param {HTMLElement} box @param {Element} from @param {string} key */
function step(box, from, key) {
  const lane = from.closest('tr');
  const middle = (/** @type {Element} */ one) => { const { left, right } = one.getBoundingClientRect(); return (left + right) / 2; };
  let next;
  if (key === 'ArrowLeft' || key === 'ArrowRight') {
    const all = [...(lane?.querySelectorAll('td a') ?? [])].sort((a, b) => middle(a) - middle(b));
    next = all[all.indexOf(from) + (key === 'ArrowLeft' ? -1 : 1)];
  } else {
    for (let row = lane; row && !next;) {
      row = /** @type {HTMLTableRowElement | null} */ (key === 'ArrowUp' ? row.previousElementSibling : row.nextElementSibling);
      const all = [...(row?.querySelectorAll('td a') ?? [])];
      next = all.sort((a, b) => Math.abs(middle(a) - middle(from)) - Math.abs(middle(b) - middle(from)))[0];
    }
  }
  if (!next) return;
  for (const old of box.querySelectorAll('td a[tabindex="0"]')) old.setAttribute('tabindex', '-1');
  next.setAttribute('tabindex', '0');
  /** @type {SVGAElement} */ (next).focus();
  next.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

export function start() {
  const first = region();
  if (!first) return;
  const zone = first.dataset.zone;
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
  prepare(first);
  // On a narrow screen what is near now is looked at first.
  const room = first.scrollWidth - first.clientWidth;
  if (room > 0) first.scrollLeft = room / 2;
  document.addEventListener('patched', () => { const box = region(); if (box) prepare(box); });
  document.addEventListener('pointermove', (event) => {
    const box = region();
    const cursor = /** @type {HTMLElement | null | undefined} */ (box?.querySelector('.cursor'));
    if (!box || !cursor) return;
    const inside = event.target instanceof Element && box.contains(event.target);
    const at = inside ? instant(box, event.clientX) : null;
    cursor.hidden = at === null || event.pointerType === 'touch';
    if (at === null) return;
    cursor.style.left = `${event.clientX - box.getBoundingClientRect().left - box.clientLeft + box.scrollLeft}px`;
    cursor.style.height = `${box.scrollHeight}px`;
    const link = /** @type {Element} */ (event.target).closest('td a');
    tell(link ? words(link) : clock.format(at));
  });
  document.addEventListener('focusin', (event) => {
    const link = event.target instanceof Element && event.target.closest('[data-timeline] td a');
    if (link) tell(words(link));
  });
  document.addEventListener('wheel', (event) => {
    const box = region();
    if (!box || !(event.ctrlKey || event.metaKey) || !(event.target instanceof Element) || !box.contains(event.target)) return;
    event.preventDefault();
    const link = /** @type {HTMLAnchorElement | null} */ (document.querySelector(event.deltaY < 0 ? '[data-nearer]' : '[data-farther]'));
    const at = instant(box, event.clientX);
    if (!link || at === null || box.dataset.going) return;
    box.dataset.going = 'yes';
    const to = new URL(link.href);
    to.searchParams.set('at', new Date(Math.floor(at / 60_000) * 60_000).toISOString().replace('.000', ''));
    location.href = to.href;
  }, { passive: false });
  document.addEventListener('keydown', (event) => {
    const box = region();
    const { key, target } = event;
    if (!box || !(target instanceof Element) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches('input, textarea, select') || document.querySelector('dialog[open]')) return;
    const from = target.closest('[data-timeline] td a');
    if (from && key.startsWith('Arrow')) { event.preventDefault(); return step(box, from, key); }
    /** @type {Record<string, string>} */
    const keys = { '+': 'nearer', '-': 'farther', '[': 'earlier', ']': 'later', 0: 'now' };
    if (keys[key]) { event.preventDefault(); document.querySelector(`.steering [data-${keys[key]}]`) && go(keys[key]); }
  });
}
