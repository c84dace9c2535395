// Keeps the page true: when something happens that it shows, it is asked for again, and what differs is taken over.
import { base } from './base.js';
import { patch } from './patch.js';
import { learn, tick } from './time.js';

/** Without a sign of life for so long the connection is taken for dead; replicas send one each 10 s. */
const SILENT = 25_000;
/** However little happens. */
const ANYWAY = 30_000;
/** A page that nobody sees keeps its connection for so long: a browser has few. */
const HIDDEN = 20_000;

/** @type {EventSource | null} */
let source = null;
let heard = 0;
let paused = false;
let stale = '';
let tries = 0;
/** When it was asked for last, how long that took, and whether it is to be asked for. */
let asked = 0, took = 0, busy = false, wanted = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let later, hiding, again;

/** @param {'on' | 'lost' | 'paused' | 'off'} state @param {string} word */
function show(state, word) {
  const live = document.getElementById('live');
  if (!live || live.dataset.state === state) return;
  live.dataset.state = state;
  live.title = { on: 'Live', lost: 'The connection is lost: trying again', paused: 'Paused: press r to go on', off: '' }[state];
  const text = document.getElementById('live-word');
  if (text) text.textContent = word;
}

/**
 * Asks for the page, soon: not more often than it can be made easily, unless whoever looks waits for it.
 * @param {'soon' | 'now'} when
 */
export function refresh(when = 'soon') {
  wanted = true;
  if (busy || (paused && when === 'soon')) return;
  if (later && when === 'soon') return;
  clearTimeout(later);
  const pause = when === 'now' ? 0 : Math.max(1000, took * 20) - (performance.now() - asked);
  later = setTimeout(() => { later = undefined; load(); }, Math.max(0, pause));
}

async function load() {
  if (document.hidden || busy) return;
  busy = true;
  wanted = false;
  asked = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(20_000) });
    if (answer.status === 401) return location.reload();
    if (answer.ok && !answer.redirected) take(await answer.text());
    else if (!answer.ok) again ??= setTimeout(() => { again = undefined; refresh(); }, 3000);
    took = performance.now() - asked;
  } catch {
    show('lost', 'Connection lost');
    again ??= setTimeout(() => { again = undefined; refresh(); }, 3000);
  } finally {
    busy = false;
    if (wanted) refresh();
  }
}

/** @param {string} text */
function take(text) {
  const fresh = new DOMParser().parseFromString(text, 'text/html');
  for (const id of ['banners', 'main']) {
    const [old, next] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && next) patch(old, next);
  }
  if (document.title !== fresh.title) document.title = fresh.title;
  const { now, about, replica } = fresh.documentElement.dataset;
  Object.assign(document.documentElement.dataset, { now, about, replica });
  learn();
  tick();
  document.dispatchEvent(new Event('patched'));
}

/** @param {string[] | null} jobs */
function concerns(jobs) {
  const about = document.documentElement.dataset.about;
  return about === '*' || (!!about && (!jobs || jobs.includes(about)));
}

function open() {
  if (source || paused || document.hidden) return;
  heard = performance.now();
  const mine = source = new EventSource(`${base}/changes`);
  const sign = () => { heard = performance.now(); tries = 0; show('on', 'Live'); };
  mine.addEventListener('hello', sign);
  mine.addEventListener('heartbeat', (event) => {
    sign();
    const since = JSON.parse(event.data).stale_since ?? '';
    if (since !== stale) refresh();
    stale = since;
  });
  mine.addEventListener('changed', (event) => {
    sign();
    if (concerns(JSON.parse(event.data).jobs)) refresh();
    document.dispatchEvent(new CustomEvent('changed', { detail: JSON.parse(event.data).jobs }));
  });
  mine.addEventListener('resync', () => { sign(); refresh(); });
  mine.addEventListener('bye', () => reopen());
  mine.onopen = () => { sign(); if (performance.now() - asked > 2000) refresh(); };
  mine.onerror = () => {
    if (source !== mine) return;
    show('lost', 'Connection lost');
    // It tries again by itself unless it was refused.
    if (mine.readyState === EventSource.CLOSED) reopen();
  };
}

function close() {
  source?.close();
  source = null;
}

function reopen() {
  close();
  setTimeout(open, Math.min(10_000, 500 * 2 ** tries++) * (0.75 + Math.random() / 2));
}

/** Holds the page still, or lets it go on. */
export function toggle() {
  paused = !paused;
  if (paused) { close(); show('paused', 'Paused'); } else { open(); refresh(); }
}

export function start() {
  if (!document.documentElement.dataset.about) return;
  open();
  setInterval(() => {
    if (document.hidden || paused) return;
    if (performance.now() - heard > SILENT) { show('lost', 'Connection lost'); reopen(); heard = performance.now(); }
    if (performance.now() - asked > ANYWAY) refresh();
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    clearTimeout(hiding);
    if (document.hidden) { hiding = setTimeout(close, HIDDEN); } else { open(); refresh(); }
  });
}
