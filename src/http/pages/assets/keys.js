// Keys for what is done often.
import { base } from './base.js';
import { ask, dialog } from './dialog.js';
import { toggle } from './live.js';
import { open } from './palette.js';

const GO = { n: '', j: '/jobs', r: '/runs', t: '/timeline', c: '/cluster', e: '/explain' };

const HELP = [
  ['/ or Ctrl K', 'find a job, a run or a page'], ['g n · g j · g r · g t · g c · g e', 'now, jobs, runs, timeline, cluster, explain'],
  ['j · k', 'next row, row before'], ['Enter', 'open the row'], ['x', 'tick the row'], ['.', 'run its job now'],
  ['p', 'pause its job'], ['r', 'hold the page still, or let it go on'], ['t', 'change colours'], ['z', 'change the zone'],
  ['+ · -', 'timeline: nearer, farther (also Ctrl and the wheel)'], ['[ · ] · 0', 'timeline: earlier, later, now'],
  ['?', 'this list'], ['Esc', 'close'],
];

/** The row that keys are about, or the whole page. */
const row = () => document.querySelector('tr[data-at], li[data-at]');

/** @param {number} by */
function step(by) {
  const rows = [...document.querySelectorAll('[data-row], .rows > li')];
  if (!rows.length) return;
  const old = row();
  const at = Math.max(0, Math.min(rows.length - 1, old ? rows.indexOf(old) + by : 0));
  old?.removeAttribute('data-at');
  rows[at].setAttribute('data-at', '');
  /** @type {HTMLElement | null} */ (rows[at].querySelector('a'))?.focus();
  rows[at].scrollIntoView({ block: 'nearest' });
}

/** @param {string} key */
function act(key) {
  const link = (row() ?? document).querySelector(`a[data-key="${key}"]`);
  if (link) ask(/** @type {HTMLAnchorElement} */ (link));
}

function help() {
  if (document.querySelector('dialog[open]')) return;
  const sheet = document.createElement('div');
  sheet.className = 'sheet keys';
  const title = document.createElement('h1');
  title.textContent = 'Keys';
  title.id = 'keys-title';
  const list = document.createElement('dl');
  for (const [keys, what] of HELP) {
    const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
    for (const [n, key] of keys.split(' · ').entries()) {
      const kbd = document.createElement('kbd');
      kbd.textContent = key;
      dt.append(n ? ' ' : '', kbd);
    }
    dd.textContent = what;
    list.append(dt, dd);
  }
  const close = document.createElement('button');
  Object.assign(close, { className: 'button', textContent: 'Close', type: 'button' });
  close.dataset.close = '';
  const actions = document.createElement('div');
  actions.className = 'actions';
  actions.append(close);
  sheet.append(title, list, actions);
  dialog('', sheet).setAttribute('aria-labelledby', title.id);
}

function zone() {
  const select = /** @type {HTMLSelectElement | null} */ (document.getElementById('zone'));
  if (!select) return;
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.form?.requestSubmit();
}

export function start() {
  let went = -Infinity;
  const button = document.getElementById('help');
  if (button) { button.hidden = false; button.addEventListener('click', help); }
  const find = document.getElementById('find');
  // The field itself works without a script; with one the palette shows more.
  find?.addEventListener('pointerdown', (event) => { event.preventDefault(); open(); });
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === 'k') { event.preventDefault(); return open(); }
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (target instanceof Element && target.matches('input:not([type=checkbox]), textarea, select, [contenteditable]')) return;
    if (performance.now() - went < 1500 && key in GO) return void (location.href = base + GO[/** @type {keyof GO} */ (key)] || '/');
    went = key === 'g' ? performance.now() : -Infinity;
    /** @type {Record<string, () => void>} */
    const keys = {
      '/': () => open(), '?': help, j: () => step(1), k: () => step(-1), '.': () => act('.'), p: () => act('p'),
      r: toggle, t: () => document.getElementById('theme')?.click(), z: zone,
      x: () => /** @type {HTMLElement | null} */ (row()?.querySelector('input[type=checkbox]'))?.click(),
    };
    if (key in keys) { event.preventDefault(); keys[key](); }
  });
}
