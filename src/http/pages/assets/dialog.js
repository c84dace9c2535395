// Questions as dialogs, and forms that are sent without leaving the page. Without this they are pages.
import { refresh } from './live.js';

/** What a toast stays for. */
const STAYS = 12_000;

/** @param {string | Node} content */
export function toast(content) {
  const place = document.getElementById('said');
  if (!place) return;
  const box = document.createElement('div');
  if (typeof content === 'string') box.innerHTML = content; else box.append(content);
  place.replaceChildren(box);
  settle();
}

/** What is told goes by itself, unless somebody is at it. */
function settle() {
  const box = document.getElementById('said')?.firstElementChild;
  if (!box) return;
  const leave = () => (box.matches(':hover, :focus-within') ? setTimeout(leave, 2000) : box.remove());
  setTimeout(leave, STAYS);
}

/** @param {string} text */
function bad(text) {
  const box = document.createElement('div');
  box.className = 'toast';
  box.setAttribute('role', 'alert');
  box.textContent = text;
  return box;
}

/** @param {string} className @param {Node[]} inside */
export function dialog(className, ...inside) {
  const box = document.createElement('dialog');
  box.className = className;
  box.append(...inside);
  box.addEventListener('close', () => box.remove());
  box.addEventListener('click', (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/** @param {HTMLAnchorElement} link */
export async function ask(link) {
  try {
    const answer = await fetch(link.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(15_000) });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const sheet = page.querySelector('#main > .sheet');
    if (!sheet || document.querySelector('dialog[open]')) return void (location.href = link.href);
    const box = dialog('question', sheet);
    const heading = sheet.querySelector('h1');
    if (heading) { heading.id = 'question-title'; box.setAttribute('aria-labelledby', heading.id); }
    /** @type {HTMLElement | null} */ (sheet.querySelector('input:not([type=hidden]), button:not([disabled])'))?.focus();
  } catch {
    location.href = link.href;
  }
}

/** @param {HTMLFormElement} form @param {HTMLElement | null} submitter */
async function send(form, submitter) {
  const action = submitter?.getAttribute('formaction') ?? form.getAttribute('action') ?? location.href;
  const body = new URLSearchParams(/** @type {any} */ (new FormData(form, submitter)));
  const box = form.closest('dialog');
  if (form.dataset.busy) return;
  form.dataset.busy = 'yes';
  try {
    const headers = { accept: 'application/json' };
    const answer = await fetch(action, { method: 'POST', body, headers, signal: AbortSignal.timeout(30_000) });
    const said = await answer.json();
    if (!answer.ok) return wrong(form, box, said.detail ?? said.title);
    box?.close();
    toast(said.html);
    refresh('now');
  } catch {
    wrong(form, box, 'There was no answer. Look whether it was done before you try again.');
  } finally {
    delete form.dataset.busy;
  }
}

/** @param {HTMLFormElement} form @param {HTMLDialogElement | null} box @param {string} text */
function wrong(form, box, text) {
  if (!box) return toast(bad(text));
  form.querySelector('.said-bad')?.remove();
  const line = document.createElement('p');
  line.className = 'said-bad';
  line.setAttribute('role', 'alert');
  line.textContent = text;
  form.prepend(line);
}

export function start() {
  settle();
  document.addEventListener('click', (event) => {
    if (!(event.target instanceof Element) || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const link = event.target.closest('a[data-dialog]');
    if (link) { event.preventDefault(); ask(/** @type {HTMLAnchorElement} */ (link)); }
    const close = event.target.closest('dialog [data-close]');
    if (close) { event.preventDefault(); close.closest('dialog')?.close(); }
    const copy = event.target.closest('[data-copy]');
    if (copy instanceof HTMLElement) {
      navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy ?? '')?.textContent ?? '');
      copy.textContent = 'Copied';
    }
  });
  document.addEventListener('submit', (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (!form.matches('[data-act]')) return;
    event.preventDefault();
    send(form, event.submitter);
  });
  document.addEventListener('change', (event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (field.matches('[data-submit]')) field.form?.requestSubmit();
    if (field.matches('[data-all]')) {
      for (const one of field.form?.querySelectorAll('input[name=job]') ?? []) /** @type {any} */ (one).checked = field.checked;
    }
  });
  const reveal = () => { for (const one of document.querySelectorAll('[data-copy][hidden]')) /** @type {any} */ (one).hidden = false; };
  reveal();
  document.addEventListener('patched', reveal);
}
