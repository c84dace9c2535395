// Finds jobs, runs and pages: `/` or Ctrl K.
import { base } from './base.js';
import { dialog } from './dialog.js';

const PAGES = [...document.querySelectorAll('.pages a')].map((link) => ({
  href: link.getAttribute('href') ?? '/', name: link.textContent?.trim() ?? '', more: 'page',
}));

/** @typedef {{href: string, name: string, more: string}} Found */

/** @param {string} text @returns {Promise<Found[]>} */
async function find(text, signal = new AbortController().signal) {
  const word = text.trim().toLowerCase();
  /** @type {Found[]} */
  const found = PAGES.filter((page) => !word || page.name.toLowerCase().includes(word));
  if (!word) return found;
  const answer = await fetch(`${base}/api/v1/jobs?limit=12&q=${encodeURIComponent(word)}`, { signal });
  const jobs = answer.ok ? (await answer.json()).items : [];
  found.unshift(...jobs.map((/** @type {any} */ job) => ({
    href: `${base}/jobs/${encodeURIComponent(job.name)}`, name: job.name, more: `${job.health.replace('_', ' ')} · ${job.schedule_text}`,
  })));
  if (/^[0-9a-f-]{4,36}$/.test(word)) found.push({ href: `${base}/runs/${word}`, name: `Run ${word}`, more: 'by its id' });
  found.push({ href: `${base}/jobs?q=${encodeURIComponent(word)}`, name: `All jobs with “${text.trim()}”`, more: 'list' });
  return found;
}

export function open(text = '') {
  if (document.querySelector('dialog[open]')) return;
  const input = document.createElement('input');
  Object.assign(input, { type: 'search', value: text, placeholder: 'Job, run or page', autocomplete: 'off' });
  const list = document.createElement('ul');
  list.id = 'palette-list';
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'What was found');
  for (const [name, value] of Object.entries({ role: 'combobox', 'aria-expanded': 'true', 'aria-controls': list.id, 'aria-label': 'Find a job, run or page' })) input.setAttribute(name, value);
  const box = dialog('palette', input, list);
  let at = 0;
  let asking = new AbortController();
  const choose = (/** @type {number} */ n) => {
    const rows = [...list.children];
    at = Math.max(0, Math.min(n, rows.length - 1));
    rows.forEach((row, number) => row.setAttribute('aria-selected', String(number === at)));
    rows[at]?.scrollIntoView({ block: 'nearest' });
    input.setAttribute('aria-activedescendant', rows[at]?.id ?? '');
  };
  const show = async () => {
    asking.abort();
    asking = new AbortController();
    const found = await find(input.value, asking.signal).catch(() => null);
    if (!found) return;
    list.replaceChildren(...found.map(({ href, name, more }, n) => {
      const [row, faint] = ['li', 'span'].map((tag) => document.createElement(tag));
      Object.assign(row, { id: `palette-${n}`, role: 'option', onclick: () => { location.href = href; } });
      faint.className = 'faint';
      faint.textContent = more;
      row.append(name, faint);
      return row;
    }));
    choose(0);
  };
  input.addEventListener('input', show);
  box.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); choose(at + step); }
    if (event.key === 'Enter') { event.preventDefault(); /** @type {any} */ (list.children[at])?.click(); }
  });
  show();
  input.focus();
}
